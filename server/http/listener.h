// The HTTP/1.1 listener: connections, limits, deadlines, keep-alive, drain. Behind it: Boost.Beast.
#ifndef ENGRAM_SERVER_HTTP_LISTENER_H_
#define ENGRAM_SERVER_HTTP_LISTENER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "server/http/router.h"

namespace engram::server {

struct ListenerOptions {
  std::string address = "127.0.0.1";           // IPv4 or IPv6 literal
  uint16_t port = 7432;                        // 0: any free one
  uint32_t io_threads = 0;                     // 0: cores
  uint32_t blocking_threads = 64;              // handlers that wait for a flush
  uint32_t blocking_queue_max = 4096;          // requests waiting for one of them; more answer 503
  uint32_t connections_max = 4096;             // above it the longest idle connection is closed
  uint32_t header_size_bytes_max = 64u << 10;  // request line (16 KB targets must work) and headers
  uint64_t body_size_bytes_max = 2u << 20;
  // Bodies that arrive and responses that are not taken, of all connections together: beyond it a
  // body is answered with 503, and a client that does not read is closed.
  uint64_t held_size_bytes_max = 512u << 20;
  uint32_t header_deadline_ms = 10'000;
  uint32_t body_deadline_ms = 30'000;
  uint32_t idle_deadline_ms = 75'000;
  uint32_t slowest_client_bytes_per_ms = 64;  // a response has body_deadline_ms + its size by this
  uint32_t linger_deadline_ms = 5'000;        // how long a refused client may go on sending
  uint32_t event_poll_ms = 250;
  uint32_t busy_poll_us = 200;  // busy_poll.h; 0: never, as on one core
  // Held while the busy poll goes on for long (awake_cores.h); empty: never.
  std::string cpu_latency_device;
  std::string api_key;  // empty: none is asked for
};

// What a request cost, for metrics and the foreground's latency. Reported on an I/O thread: the
// receiver must not wait.
struct RequestRecord {
  const Route* route = nullptr;  // null: no route matched, or the request was refused before
  Method method = Method::kGet;
  int status = 0;
  uint64_t duration_ns = 0;  // from the last byte of the request to the response's first write
  uint64_t request_size_bytes = 0;
  uint64_t response_size_bytes = 0;
  std::string_view request_id;
  std::string_view log_detail;  // of a failure, for the log alone
  bool expected = false;        // as Response::expected
};

class Listener {
 public:
  // Binds and listens: clients may connect, and wait for Serve(). `router` and `logger` outlive the
  // listener. kFailedPrecondition if the address is taken (the text names it).
  static Result<std::unique_ptr<Listener>> Start(const ListenerOptions& options,
                                                 const Router& router, Logger& logger,
                                                 std::function<void(const RequestRecord&)> record);
  virtual ~Listener() = default;  // as Drain(0)
  // Starts to accept. Once, before Drain().
  virtual void Serve() = 0;
  virtual uint16_t port() const = 0;
  virtual uint32_t connections() const = 0;  // open now
  // In effect when it returns, for every request whose header is not complete yet.
  virtual void SetApiKey(const std::string& api_key) = 0;
  // True if every I/O thread answers within `timeout_ms`: none is stuck in a handler.
  virtual bool Responsive(uint32_t timeout_ms) = 0;
  // Stops accepting, ends streams and idle connections, lets requests in flight finish within
  // `deadline_ms`, cancels what still runs (Request::cancelled), closes what is left half a second
  // later; a handler that runs even then is waited for. No handler runs after it returns. Once;
  // later calls do nothing.
  virtual void Drain(uint32_t deadline_ms) = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_LISTENER_H_
