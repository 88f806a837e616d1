#include "server/http/listener.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "server/http/access.h"
#include "server/http/io_thread.h"
#include "server/http/worker_pool.h"

namespace engram::server {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptPause(50);  // after an accept failed: no descriptors
constexpr std::chrono::milliseconds kCrowdedPause{5};
constexpr std::chrono::seconds kAcceptWarningPause(10);
constexpr std::chrono::milliseconds kDrainPoll(5);
constexpr std::chrono::milliseconds kCancelGrace(500);  // for answers of what was cancelled

std::string AddressText(const tcp::endpoint& end) {
  const std::string address = end.address().to_string();
  return (end.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(end.port());
}

Status ListenError(const ErrorCode& error, const tcp::endpoint& end) {
  if (error == boost::asio::error::address_in_use) {
    return Status::FailedPrecondition(
        "the address " + AddressText(end) + " is taken by another program",
        "stop it (`engram status` tells whether it is engram), or choose another port: --port N, "
        "ENGRAM_HTTP_PORT or server.http_port; 0 takes any free one");
  }
  return Status::FromErrno(error.value(), "listen on " + AddressText(end))
      .WithHint("set server.http_bind to an address of this machine, and a port you may use");
}

class AsioListener final : public Listener {
 public:
  AsioListener(const ListenerOptions& options, const Router& router, Logger& logger,
               std::function<void(const RequestRecord&)> record)
      : pool_(options.blocking_threads, options.blocking_queue_max),
        lanes_(pool_),
        context_{options, router, logger, std::move(record), pool_, lanes_} {
    context_.core_use.several_cores = std::thread::hardware_concurrency() > 1;
  }
  ~AsioListener() override { Drain(0); }

  Status Open() {
    ErrorCode error;
    const auto address = boost::asio::ip::make_address(context_.options.address, error);
    if (error) {
      return Status::InvalidArgument(
          "\"" + context_.options.address + "\" is not an IP address",
          "set server.http_bind to an address such as 127.0.0.1, 0.0.0.0 or ::1");
    }
    const tcp::endpoint end(address, context_.options.port);
    tcp::acceptor acceptor(accept_io_);
    acceptor.open(end.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(end, error);
    if (!error) acceptor.listen(4096, error);
    if (error) return ListenError(error, end);
    port_ = acceptor.local_endpoint(error).port();
    context_.listens_on_any_address = address.is_unspecified();
    StartThreads();
    acceptor_ =
        std::make_unique<tcp::acceptor>(threads_[0]->io(), end.protocol(), acceptor.release(error));
    accept_timer_ = std::make_unique<boost::asio::steady_timer>(threads_[0]->io());
    return Status::Ok();
  }

  void Serve() override {
    threads_[0]->RunAndWait([this] { Accept(); });
  }

  uint16_t port() const override { return port_; }
  uint32_t connections() const override {
    return context_.connections.load(std::memory_order_relaxed);
  }

  void SetApiKey(const std::string& api_key) override {
    for (auto& thread : threads_) {
      thread->RunAndWait([&] { thread->SetApiKey(api_key); });
    }
  }

  bool Responsive(uint32_t timeout_ms) override {
    auto answered = std::make_shared<std::vector<std::atomic<bool>>>(threads_.size());
    for (size_t i = 0; i < threads_.size(); ++i) {
      boost::asio::post(threads_[i]->io(), [answered, i] { (*answered)[i] = true; });
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    for (size_t i = 0; i < threads_.size(); ++i) {
      while (!(*answered)[i] && !threads_[i]->is_at_device()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(kDrainPoll);
      }
    }
    return true;
  }

  void Drain(uint32_t deadline_ms) override {
    if (std::exchange(drained_, true) || threads_.empty()) return;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
    threads_[0]->RunAndWait([this] {
      ErrorCode ignored;
      acceptor_->close(ignored);
      accept_timer_->cancel();
    });
    context_.draining.store(true);
    for (auto& thread : threads_) {
      thread->RunAndWait([&] { thread->DrainConnections(); });
    }
    WaitForConnections(end);
    context_.cancelled.store(true);
    WaitForConnections(end + kCancelGrace);
    // First the connections: what the pool drops may hold the last reference to one.
    for (auto& thread : threads_) {
      thread->RunAndWait([&] { thread->CloseAll(); });
    }
    pool_.Stop();
    lanes_.Drop();
    for (auto& thread : threads_) thread->Stop();
  }

 private:
  void WaitForConnections(std::chrono::steady_clock::time_point end) const {
    while (connections() > 0 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(kDrainPoll);
    }
  }

  void StartThreads() {
    uint32_t count = context_.options.io_threads;
    if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
    const AccessRules rules{context_.options.api_key, OwnOrigins(context_.options.address, port_)};
    for (uint32_t i = 0; i < count; ++i) {
      threads_.push_back(std::make_unique<IoThread>(context_, rules, i));
    }
  }

  // On the first I/O thread, as all below.
  void Accept() {
    IoThread& thread = *threads_[next_thread_++ % threads_.size()];
    acceptor_->async_accept(
        thread.io(), [this, &thread](const ErrorCode& error, tcp::socket socket) {
          if (!acceptor_->is_open()) return;
          if (error) {
            PauseAccepting();
            return;
          }
          const uint32_t open = connections();
          if (open < 2 * context_.options.connections_max) {  // else none of them waits
            boost::asio::post(thread.io(), [this, &thread, taken = std::move(socket)]() mutable {
              // Looked at here: in a rush many are accepted before the first of them counts.
              if (connections() >= context_.options.connections_max) {
                CloseOldestWaiting(Room::kAtTheLimit);
              }
              thread.Adopt(std::move(taken));
            });
          }
          // In a rush the threads get the time to close what gives way.
          const uint32_t crowded =
              context_.options.connections_max + context_.options.connections_max / 2;
          if (open < crowded) return Accept();
          AcceptAfter(kCrowdedPause);
        });
  }

  IoThread* ThreadOfOldestWaiting() const {
    IoThread* oldest = nullptr;
    uint64_t oldest_ns = 0;
    for (const auto& thread : threads_) {
      const uint64_t since_ns = thread->oldest_waiting_ns();
      if (since_ns == 0 || (oldest != nullptr && since_ns >= oldest_ns)) continue;
      oldest = thread.get();
      oldest_ns = since_ns;
    }
    return oldest;
  }

  enum class Room { kAtTheLimit, kNone };
  // On any I/O thread. What a thread shows is old until it gets the processor: looked at again
  // where it closes, or a thread that was late would close one for each connection that was
  // accepted meanwhile.
  void CloseOldestWaiting(Room room) {
    IoThread* oldest = ThreadOfOldestWaiting();
    if (oldest == nullptr) return;
    boost::asio::post(oldest->io(), [this, oldest, room] {
      if (room == Room::kAtTheLimit && connections() < context_.options.connections_max) return;
      if (ThreadOfOldestWaiting() != oldest) return CloseOldestWaiting(room);
      oldest->CloseOldestWaiting();
    });
  }

  // No descriptor, or no memory for one: a waiting connection gives way.
  void PauseAccepting() {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_accept_warning_) {
      next_accept_warning_ = now + kAcceptWarningPause;
      context_.logger.Warning("connections cannot be accepted: no descriptors or memory left");
    }
    CloseOldestWaiting(Room::kNone);
    AcceptAfter(kAcceptPause);
  }

  void AcceptAfter(std::chrono::milliseconds pause) {
    accept_timer_->expires_after(pause);
    accept_timer_->async_wait([this](const ErrorCode& error) {
      if (!error && acceptor_->is_open()) Accept();
    });
  }

  WorkerPool pool_;
  AnswerLanes lanes_;
  ServeContext context_;
  boost::asio::io_context accept_io_;  // for opening alone
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<tcp::acceptor> acceptor_;
  std::unique_ptr<boost::asio::steady_timer> accept_timer_;
  std::chrono::steady_clock::time_point next_accept_warning_;
  size_t next_thread_ = 0;
  uint16_t port_ = 0;
  bool drained_ = false;
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::Start(
    const ListenerOptions& options, const Router& router, Logger& logger,
    std::function<void(const RequestRecord&)> record) {
  auto listener = std::make_unique<AsioListener>(options, router, logger, std::move(record));
  ENGRAM_TRY(listener->Open());
  return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace engram::server
