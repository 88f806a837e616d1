// One event loop and the connections that live on it. A connection never leaves its thread, so
// nothing in it is locked.
#ifndef ENGRAM_SERVER_HTTP_IO_THREAD_H_
#define ENGRAM_SERVER_HTTP_IO_THREAD_H_

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/http/access.h"
#include "server/http/answer_lanes.h"
#include "server/http/awake_cores.h"
#include "server/http/busy_poll.h"
#include "server/http/listener.h"
#include "server/http/worker_pool.h"

namespace engram::server {

class Connection;

// What all connections of a listener share. Outlives them.
struct ServeContext {
  ListenerOptions options;
  const Router& router;
  Logger& logger;
  std::function<void(const RequestRecord&)> record;
  WorkerPool& pool;
  AnswerLanes& lanes;
  bool listens_on_any_address = false;
  std::atomic<uint32_t> connections{0};
  std::atomic<uint64_t> held_size_bytes{0};
  std::atomic<uint32_t> streams{0};
  std::atomic<bool> draining{false};
  std::atomic<bool> cancelled{false};  // the drain's deadline has passed
  CoreUse core_use{};
};

uint64_t MonotonicNowNs();

class IoThread {
 public:
  // `index` tells the request ids of the threads apart.
  IoThread(ServeContext& context, AccessRules rules, uint32_t index);
  ~IoThread();  // as Stop()
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  boost::asio::io_context& io() { return io_; }
  // From any thread. Runs `task` on the loop and, unless the loop has stopped, waits for its end.
  void RunAndWait(const std::function<void()>& task);
  // When the connection that waits longest for its client began to; 0: none waits.
  uint64_t oldest_waiting_ns() const { return oldest_waiting_ns_.load(std::memory_order_relaxed); }
  // It waits for a device on behalf of its one client, and is not hung.
  bool is_at_device() const { return at_device_.load(std::memory_order_relaxed); }
  void Stop();  // closes what is left, ends the loop

  // The rest: on the loop alone.
  void Adopt(boost::asio::ip::tcp::socket socket);
  void CloseOldestWaiting();
  void DrainConnections();
  void CloseAll();
  void SetApiKey(const std::string& api_key) { rules_.api_key = api_key; }

  // Something of `client` has come.
  void NoteWork(const Connection* client) {
    if (busy_poll_.enabled()) busy_poll_.Works(client, MonotonicNowNs());
  }
  void NoteHandOver() { busy_poll_.HandedOver(); }
  // Nobody but one client has come for a while: what it waits for may be waited for here, which
  // spares two changes of thread.
  bool HasOneClient() const { return busy_poll_.HasOneClient(); }
  // Such a wait.
  void WaitAtDevice(const std::function<void()>& wait);

  // For the connections. Each is in one of two lists: those that wait for their client, longest
  // first, and those that do not.
  using Place = std::list<Connection*>::iterator;
  Place Add(Connection* connection);
  void Remove(Place place, bool waiting);
  void MoveToWaiting(Place place, bool waiting_now);  // to the end: it began to wait now
  void MoveToBusy(Place place);
  std::string NextRequestId();
  const std::string& Date();

  ServeContext& context() { return context_; }
  const AccessRules& rules() const { return rules_; }
  // Received bytes and response heads pass through these; nothing is kept in them.
  std::vector<char>& receive_buffer() { return receive_buffer_; }
  std::string& head_buffer() { return head_buffer_; }

 private:
  void Run();
  void ArmSweep();
  void Sweep();
  void NoteOldest();
  std::vector<std::shared_ptr<Connection>> Connections() const;

  ServeContext& context_;
  AccessRules rules_;
  const uint64_t sweep_interval_ns_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweep_timer_;
  bool sweep_armed_ = false;
  std::atomic<bool> at_device_{false};
  std::list<Connection*> waiting_;
  std::list<Connection*> busy_;
  std::atomic<uint64_t> oldest_waiting_ns_{0};
  std::vector<char> receive_buffer_;
  std::string head_buffer_;
  std::string request_id_prefix_;
  uint32_t request_count_ = 0;
  int64_t date_seconds_ = -1;
  std::string date_;
  BusyPoll busy_poll_;
  AwakeCores awake_cores_;
  std::thread thread_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_IO_THREAD_H_
