#include "server/http/io_thread.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <ctime>
#include <future>
#include <random>

#include "server/http/connection.h"
#include "server/http/response_text.h"

namespace engram::server {
namespace {

constexpr size_t kReceiveBufferBytes = 64u << 10;
constexpr uint64_t kNsPerMs = 1'000'000;
constexpr std::chrono::milliseconds kAwakeRest{2};  // a client that rests for longer is done

// Deadlines are looked at this often: fine enough for the shortest of them.
uint64_t SweepIntervalNs(const ListenerOptions& options) {
  const uint32_t shortest_ms = std::min({options.header_deadline_ms, options.body_deadline_ms,
                                         options.idle_deadline_ms, options.linger_deadline_ms});
  return std::clamp<uint64_t>(shortest_ms / 8, 10, 1000) * kNsPerMs;
}

void AppendHex(uint64_t value, int digits, std::string* out) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    *out += "0123456789abcdef"[(value >> shift) & 15];
  }
}

}  // namespace

uint64_t MonotonicNowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

IoThread::IoThread(ServeContext& context, AccessRules rules, uint32_t index)
    : context_(context),
      rules_(std::move(rules)),
      sweep_interval_ns_(SweepIntervalNs(context.options)),
      work_(boost::asio::make_work_guard(io_)),
      sweep_timer_(io_),
      receive_buffer_(kReceiveBufferBytes),
      busy_poll_(context.core_use, uint64_t{context.options.busy_poll_us} * 1000),
      awake_cores_(context.options.cpu_latency_device) {
  AppendHex(std::random_device()(), 4, &request_id_prefix_);
  AppendHex(index, 2, &request_id_prefix_);
  request_id_prefix_ += '-';
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "engram-http");
    Run();
  });
}

IoThread::~IoThread() { Stop(); }

void IoThread::Stop() {
  if (!thread_.joinable()) return;
  boost::asio::post(io_, [this] {
    CloseAll();
    sweep_timer_.cancel();
    work_.reset();
  });
  thread_.join();
}

void IoThread::Run() {
  if (!busy_poll_.enabled()) {
    io_.run();
    return;
  }
  while (!io_.stopped()) {
    if (io_.poll() > 0) continue;
    if (busy_poll_.LooksAgain(MonotonicNowNs())) {
      if (busy_poll_.IsSteady()) awake_cores_.Hold();
      continue;
    }
    if (awake_cores_.held() && busy_poll_.IsSteady() && io_.run_one_for(kAwakeRest) > 0) continue;
    awake_cores_.Release();
    io_.run_one();
  }
  awake_cores_.Release();
}

void IoThread::WaitAtDevice(const std::function<void()>& wait) {
  at_device_.store(true, std::memory_order_relaxed);
  const uint64_t began_ns = MonotonicNowNs();
  wait();
  at_device_.store(false, std::memory_order_relaxed);
  const std::chrono::nanoseconds took(MonotonicNowNs() - began_ns);
  if (took > kAwakeRest) busy_poll_.TookLong();
}

void IoThread::RunAndWait(const std::function<void()>& task) {
  if (!thread_.joinable()) return;
  std::promise<void> done;
  boost::asio::post(io_, [&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void IoThread::Adopt(boost::asio::ip::tcp::socket socket) {
  if (context_.draining.load(std::memory_order_relaxed)) return;
  std::make_shared<Connection>(*this, std::move(socket))->Start();
  ArmSweep();
}

void IoThread::CloseOldestWaiting() {
  if (!waiting_.empty()) waiting_.front()->shared_from_this()->Close();
}

void IoThread::DrainConnections() {
  for (const auto& connection : Connections()) connection->Drain();
}

void IoThread::CloseAll() {
  for (const auto& connection : Connections()) connection->Close();
}

std::vector<std::shared_ptr<Connection>> IoThread::Connections() const {
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(waiting_.size() + busy_.size());
  for (Connection* connection : waiting_) all.push_back(connection->shared_from_this());
  for (Connection* connection : busy_) all.push_back(connection->shared_from_this());
  return all;
}

IoThread::Place IoThread::Add(Connection* connection) {
  const Place place = waiting_.insert(waiting_.end(), connection);
  NoteOldest();
  return place;
}

void IoThread::Remove(Place place, bool waiting) {
  (waiting ? waiting_ : busy_).erase(place);
  NoteOldest();
}

void IoThread::MoveToWaiting(Place place, bool waiting_now) {
  waiting_.splice(waiting_.end(), waiting_now ? waiting_ : busy_, place);
  NoteOldest();
}

void IoThread::MoveToBusy(Place place) {
  busy_.splice(busy_.end(), waiting_, place);
  NoteOldest();
}

void IoThread::NoteOldest() {
  oldest_waiting_ns_.store(waiting_.empty() ? 0 : waiting_.front()->waiting_since_ns(),
                           std::memory_order_relaxed);
}

void IoThread::ArmSweep() {
  if (sweep_armed_ || (waiting_.empty() && busy_.empty())) return;
  sweep_armed_ = true;
  sweep_timer_.expires_after(std::chrono::nanoseconds(sweep_interval_ns_));
  sweep_timer_.async_wait([this](const boost::system::error_code& error) {
    sweep_armed_ = false;
    if (!error) Sweep();
  });
}

void IoThread::Sweep() {
  const uint64_t now_ns = MonotonicNowNs();
  std::vector<std::shared_ptr<Connection>> late;
  for (const std::list<Connection*>* list : {&waiting_, &busy_}) {
    for (Connection* connection : *list) {
      if (connection->deadline_ns() <= now_ns) late.push_back(connection->shared_from_this());
    }
  }
  for (const auto& connection : late) connection->OnDeadline();
  ArmSweep();
}

std::string IoThread::NextRequestId() {
  std::string id = request_id_prefix_;
  AppendHex(++request_count_, 8, &id);
  return id;
}

const std::string& IoThread::Date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_seconds_) {
    date_seconds_ = now;
    date_ = HttpDate(now);
  }
  return date_;
}

}  // namespace engram::server
