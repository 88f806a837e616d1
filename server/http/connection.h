// One client's connection: reads requests, has them answered, writes the responses in order.
#ifndef ENGRAM_SERVER_HTTP_CONNECTION_H_
#define ENGRAM_SERVER_HTTP_CONNECTION_H_

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/access.h"
#include "server/http/io_thread.h"
#include "server/http/message.h"
#include "server/http/request_parser.h"

namespace engram::server {

// Lives on one I/O thread; only its handler may run elsewhere, and then nothing else of it does.
// Kept alive by what it waits for. While it waits for a request it holds no buffer.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(IoThread& thread, boost::asio::ip::tcp::socket socket);
  ~Connection();

  void Start();
  void Close();       // at once
  void Drain();       // when what it does is done; now if it does nothing
  void OnDeadline();  // deadline_ns() has passed
  uint64_t deadline_ns() const { return deadline_ns_; }
  uint64_t waiting_since_ns() const { return waiting_since_ns_; }

 private:
  enum class Phase {
    kReading,    // waits for bytes of a request
    kHandling,   // its handler runs on the pool
    kWriting,    // the client does not take the response as fast as it comes
    kStreaming,  // server-sent events
    kLingering,  // has said its last word, takes and drops what the client still sends
    kClosed,
  };

  // Reading.
  void WaitReadable();
  void OnReadable();
  void Process(std::string_view bytes);
  void ServeBuffered(std::string_view bytes);
  void OnHeader();
  void OnFailure();
  void AwaitMore();
  bool IsIdle() const;

  // Handling.
  void OnRequest();
  Response RunHandler();
  void HandOver();
  void OnHandled();
  void Await(std::shared_ptr<PendingAnswer> pending);

  // Writing.
  void Send(Response response);
  void Report(const Response& response, uint64_t head_size_bytes);
  bool WriteSome();  // false: the connection is gone
  void WaitWritable();
  void OnSent();
  void Linger();
  void Discard();

  // Streaming.
  void StartEvents();
  void PollEvents();
  void FlushEvents();

  void SetPhase(Phase phase, uint64_t deadline_ns);
  bool AdmitStream();
  bool Hold(uint64_t size_bytes);  // false: that is more than the listener has left
  uint64_t AfterMs(uint64_t ms) const;
  std::string LocalOrigin() const;

  IoThread& thread_;
  const ListenerOptions& options_;
  boost::asio::ip::tcp::socket socket_;
  IoThread::Place place_;
  bool in_waiting_list_ = true;
  Phase phase_ = Phase::kReading;
  uint64_t deadline_ns_ = 0;
  uint64_t waiting_since_ns_ = 0;
  uint64_t header_begun_ns_ = 0;  // 0: no byte of the next request yet
  uint64_t received_ns_ = 0;      // the request was whole
  bool wait_readable_armed_ = false;

  uint64_t held_size_bytes_ = 0;  // this connection's part of the listener's

  RequestParser parser_;
  std::string pending_;  // received and not parsed yet
  Admission admission_;
  Response handled_;  // what the pool's thread made

  bool close_after_send_ = false;
  std::string out_head_;
  std::string out_body_;
  size_t out_offset_ = 0;  // over both
  uint64_t lingered_size_bytes_ = 0;

  std::shared_ptr<EventSource> events_;
  std::unique_ptr<boost::asio::steady_timer> events_timer_;
  uint64_t events_sent_ns_ = 0;
  bool events_ended_ = false;
  bool counted_as_stream_ = false;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_CONNECTION_H_
