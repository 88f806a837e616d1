#include "server/http/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>
#include <limits>
#include <utility>

#include "server/http/error_response.h"
#include "server/http/response_text.h"

namespace engram::server {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerS = 1'000'000'000;
constexpr uint32_t kRequestsPerTurn = 64;  // then the thread's other connections have theirs
constexpr uint64_t kLingerSizeBytesMax = 16u << 20;
constexpr size_t kEventsBufferBytesMax = 1u << 20;
constexpr uint64_t kEventsHeartbeatNs = 15 * kNsPerS;
constexpr size_t kRequestIdBytesMax = 64;
constexpr size_t kKeptCapacityBytes = 4096;
constexpr uint64_t kUncountedSizeBytes = 64u << 10;  // what every connection may hold
constexpr size_t kInlineBodyBytesMax = 64u << 10;    // reading more takes others' time

// A client's own request id is taken if it cannot disturb a log line.
bool IsUsableRequestId(std::string_view id) {
  return !id.empty() && id.size() <= kRequestIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.' || c == ':';
         });
}

Response Overloaded(std::string_view message) {
  Response response = ErrorResponse(503, "MEMORY_CLUSTER_UNAVAILABLE", message,
                                    "try again in a second, from fewer connections");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

// A handler's answer, also where it throws.
template <typename Handler>
Response Guarded(const Handler& handler) {
  try {
    return handler();
  } catch (const std::exception& error) {
    return HandlerFailure(std::string("a handler threw: ") + error.what());
  }
}

void Release(std::string* text) {
  text->clear();
  if (text->capacity() > kKeptCapacityBytes) text->shrink_to_fit();
}

}  // namespace

Connection::Connection(IoThread& thread, tcp::socket socket)
    : thread_(thread),
      options_(thread.context().options),
      socket_(std::move(socket)),
      waiting_since_ns_(MonotonicNowNs()),
      parser_({.header_size_bytes_max = options_.header_size_bytes_max,
               .body_size_bytes_max = options_.body_size_bytes_max}) {
  place_ = thread_.Add(this);
  thread_.context().connections.fetch_add(1, std::memory_order_relaxed);
}

Connection::~Connection() { Close(); }

void Connection::Start() {
  ErrorCode ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  // Who connects has something to say: only a connection that was used may idle.
  deadline_ns_ = AfterMs(options_.header_deadline_ms);
  WaitReadable();
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  Hold(0);
  if (counted_as_stream_) thread_.context().streams.fetch_sub(1);
  thread_.Remove(place_, in_waiting_list_);
  thread_.context().connections.fetch_sub(1, std::memory_order_relaxed);
  if (events_timer_ != nullptr) events_timer_->cancel();
  events_.reset();
  ErrorCode ignored;
  socket_.close(ignored);
}

void Connection::Drain() {
  switch (phase_) {
    case Phase::kReading:
      // A request that has arrived but was not looked at yet is still answered.
      if (IsIdle()) OnReadable();
      break;
    case Phase::kStreaming:
      PollEvents();
      break;
    case Phase::kLingering:
      Close();
      break;
    case Phase::kHandling:
    case Phase::kWriting:
    case Phase::kClosed:
      break;
  }
}

void Connection::OnDeadline() {
  if (phase_ != Phase::kReading || IsIdle()) {
    Close();
    return;
  }
  const bool in_header = parser_.state() == RequestParser::State::kHeader;
  close_after_send_ = true;
  Send(ErrorResponse(408, "REQUEST_TIMEOUT",
                     in_header ? "the request's header did not arrive in time"
                               : "the request's body did not arrive in time",
                     "send the whole request at once"));
}

void Connection::SetPhase(Phase phase, uint64_t deadline_ns) {
  const bool waits = phase == Phase::kReading || phase == Phase::kLingering;
  phase_ = phase;
  deadline_ns_ = deadline_ns;
  if (waits) {
    waiting_since_ns_ = MonotonicNowNs();
    thread_.MoveToWaiting(place_, in_waiting_list_);
  } else if (in_waiting_list_) {
    thread_.MoveToBusy(place_);
  }
  in_waiting_list_ = waits;
}

bool Connection::Hold(uint64_t size_bytes) {
  if (size_bytes < kUncountedSizeBytes) size_bytes = 0;
  if (size_bytes == held_size_bytes_) return true;
  const uint64_t change = size_bytes - held_size_bytes_;  // modulo 2^64, as the sum is
  held_size_bytes_ = size_bytes;
  const uint64_t total = thread_.context().held_size_bytes.fetch_add(change) + change;
  return total <= options_.held_size_bytes_max || size_bytes == 0;
}

uint64_t Connection::AfterMs(uint64_t ms) const { return MonotonicNowNs() + ms * kNsPerMs; }

bool Connection::IsIdle() const {
  return parser_.state() == RequestParser::State::kHeader && parser_.size_bytes() == 0 &&
         pending_.empty();
}

// ---- Reading

void Connection::WaitReadable() {
  if (wait_readable_armed_) return;
  wait_readable_armed_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const ErrorCode& error) {
    self->wait_readable_armed_ = false;
    if (error) {
      self->Close();
    } else {
      self->OnReadable();
    }
  });
}

void Connection::OnReadable() {
  if (phase_ == Phase::kLingering || phase_ == Phase::kStreaming) {
    Discard();
    return;
  }
  if (phase_ != Phase::kReading) return;
  thread_.NoteWork(this);
  std::vector<char>& buffer = thread_.receive_buffer();
  const ssize_t size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
  if (size > 0) {
    Process({buffer.data(), static_cast<size_t>(size)});
  } else if (size < 0 && (errno == EAGAIN || errno == EINTR) &&
             !(IsIdle() && thread_.context().draining.load(std::memory_order_relaxed))) {
    WaitReadable();
  } else {
    Close();
  }
}

void Connection::Process(std::string_view bytes) {
  if (pending_.empty()) {
    ServeBuffered(bytes);
  } else {
    std::string held = std::move(pending_);
    pending_.clear();
    held.append(bytes);
    ServeBuffered(held);
  }
}

// Answers as many requests as `bytes` holds and keeps the rest.
void Connection::ServeBuffered(std::string_view bytes) {
  using State = RequestParser::State;
  uint32_t served = 0;
  while (phase_ == Phase::kReading && !bytes.empty() && served < kRequestsPerTurn) {
    const State before = parser_.state();
    bytes.remove_prefix(parser_.Feed(bytes));
    const State after = parser_.state();
    if (!Hold(parser_.request().body.capacity())) {
      close_after_send_ = true;
      Send(Overloaded("too much is being sent at once"));
      break;
    }
    if (header_begun_ns_ == 0 && parser_.size_bytes() > 0) header_begun_ns_ = MonotonicNowNs();
    if (after == before) break;
    if (after == State::kFailed) {
      OnFailure();
      break;
    }
    if (before == State::kHeader) OnHeader();
    if (phase_ == Phase::kReading && parser_.state() == State::kComplete) {
      OnRequest();
      ++served;
    }
  }
  if (phase_ == Phase::kClosed) return;
  pending_.assign(bytes);
  if (phase_ != Phase::kReading) return;
  if (served == kRequestsPerTurn) {
    boost::asio::post(thread_.io(), [self = shared_from_this()] {
      if (self->phase_ == Phase::kReading) self->Process({});
    });
    return;
  }
  AwaitMore();
}

void Connection::AwaitMore() {
  if (parser_.state() == RequestParser::State::kHeader) {
    if (IsIdle()) {
      Release(&pending_);
      if (thread_.context().draining.load(std::memory_order_relaxed)) {
        Close();
        return;
      }
      deadline_ns_ = AfterMs(options_.idle_deadline_ms);
    } else {
      if (header_begun_ns_ == 0) header_begun_ns_ = MonotonicNowNs();
      deadline_ns_ = header_begun_ns_ + options_.header_deadline_ms * kNsPerMs;
    }
  }
  WaitReadable();
}

// The header is complete: what is known to be refused is refused before its body.
void Connection::OnHeader() {
  Request& request = parser_.request();
  const auto id = request.Header("X-Request-Id");
  request.request_id = id && IsUsableRequestId(*id) ? std::string(*id) : thread_.NextRequestId();
  const bool needs_local = thread_.context().listens_on_any_address && request.Header("Origin");
  admission_ = Admit(thread_.context().router, thread_.rules(),
                     needs_local ? LocalOrigin() : std::string(), parser_.raw_path(), &request);
  if (parser_.state() != RequestParser::State::kBody) return;
  deadline_ns_ = AfterMs(options_.body_deadline_ms);
  if (admission_.refusal) parser_.DiscardBody();
  if (!parser_.expects_continue()) return;
  if (admission_.refusal) {
    close_after_send_ = true;  // whether the client sends the body now is its own choice
    Send(std::move(*admission_.refusal));
    return;
  }
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  if (::send(socket_.native_handle(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(kContinue.size())) {
    Close();
  }
}

void Connection::OnFailure() {
  const ParseFailure& failure = parser_.failure();
  close_after_send_ = true;
  Send(ErrorResponse(failure.status, failure.code, failure.message, failure.guidance));
}

std::string Connection::LocalOrigin() const {
  ErrorCode error;
  const tcp::endpoint end = socket_.local_endpoint(error);
  return error ? std::string() : OwnOrigins(end.address().to_string(), end.port()).front();
}

// ---- Handling

void Connection::OnRequest() {
  received_ns_ = MonotonicNowNs();
  parser_.request().cancelled = &thread_.context().cancelled;
  if (admission_.refusal) {
    Send(std::move(*admission_.refusal));
    return;
  }
  const bool inline_first = admission_.route->execution == Execution::kInlineFirst;
  if (admission_.route->execution == Execution::kBlocking ||
      (inline_first && parser_.request().body.size() > kInlineBodyBytesMax)) {
    HandOver();
    return;
  }
  parser_.request().may_block = !inline_first;
  Response response = RunHandler();
  parser_.request().may_block = true;
  if (response.defer && inline_first) {
    HandOver();
  } else if (response.pending != nullptr) {
    Await(std::move(response.pending));
  } else {
    Send(std::move(response));
  }
}

Response Connection::RunHandler() {
  const bool may_block = parser_.request().may_block;
  Response response = Guarded([&] { return admission_.route->handler(parser_.request()); });
  if (may_block && (response.defer || response.pending != nullptr)) {
    response = HandlerFailure("a handler deferred where it may block");
  }
  return response;
}

// It is not handed over to the pool: nobody else is served later by waiting for it here.
void Connection::Await(std::shared_ptr<PendingAnswer> pending) {
  if (thread_.HasOneClient()) {
    Response response;
    thread_.WaitAtDevice([&] { response = Guarded(pending->finish); });
    Send(std::move(response));
    return;
  }
  SetPhase(Phase::kHandling, kNever);
  thread_.context().lanes.Submit(
      pending->lane, {.finish = [self = shared_from_this(),
                                 pending] { self->handled_ = Guarded(pending->finish); },
                      .thread = &thread_,
                      .deliver = [self = shared_from_this()] { self->OnHandled(); }});
}

void Connection::HandOver() {
  SetPhase(Phase::kHandling, kNever);
  thread_.NoteHandOver();
  const bool accepted = thread_.context().pool.Submit([self = shared_from_this()] {
    self->handled_ = self->RunHandler();
    boost::asio::post(self->thread_.io(), [self] { self->OnHandled(); });
  });
  if (accepted) return;
  SetPhase(Phase::kReading, deadline_ns_);
  Send(Overloaded("too many requests are waiting"));
}

void Connection::OnHandled() {
  if (phase_ == Phase::kClosed) return;
  SetPhase(Phase::kReading, kNever);
  Send(std::move(handled_));
  if (phase_ == Phase::kReading) Process({});
}

// ---- Writing

// Afterwards the phase is kReading if the response is out and the connection goes on.
void Connection::Send(Response response) {
  Request& request = parser_.request();
  if (response.events != nullptr && !AdmitStream()) {
    response = Overloaded("too many streams are open");
  }
  if (request.request_id.empty()) request.request_id = thread_.NextRequestId();
  const bool whole = parser_.state() == RequestParser::State::kComplete;
  if (!whole || !parser_.keep_alive() || response.events != nullptr ||
      thread_.context().draining.load(std::memory_order_relaxed)) {
    close_after_send_ = true;
  }
  std::string& head = thread_.head_buffer();
  head.clear();
  AppendResponseHead(response,
                     {.keep_alive = !close_after_send_,
                      .http_1_0 = parser_.is_http_1_0(),
                      .request_id = request.request_id,
                      .allow_origin = admission_.allow_origin,
                      .date = thread_.Date()},
                     &head);
  const bool head_only = request.method == Method::kHead;
  Report(response, head.size());
  events_ = head_only ? nullptr : std::move(response.events);
  if (head_only) response.body.clear();
  // The head is written out of the thread's buffer; what the client does not take at once is kept.
  out_head_.swap(head);
  out_body_ = std::move(response.body);
  out_offset_ = 0;
  const bool alive = WriteSome();
  const bool done = alive && out_offset_ == out_head_.size() + out_body_.size();
  if (done) out_head_.swap(head);
  if (!alive) {
    Close();
  } else if (done) {
    OnSent();
  } else if (!Hold(held_size_bytes_ + out_body_.size())) {
    Close();
  } else {
    SetPhase(Phase::kWriting,
             AfterMs(options_.body_deadline_ms +
                     out_body_.size() / std::max(options_.slowest_client_bytes_per_ms, 1u)));
    WaitWritable();
  }
}

void Connection::Report(const Response& response, uint64_t head_size_bytes) {
  RequestRecord record;
  record.route = admission_.route;
  record.method = parser_.request().method;
  record.status = response.status;
  record.duration_ns = received_ns_ == 0 ? 0 : MonotonicNowNs() - received_ns_;
  record.request_size_bytes = parser_.size_bytes();
  record.response_size_bytes = head_size_bytes + response.body.size();
  record.request_id = parser_.request().request_id;
  record.log_detail = response.log_detail;
  record.expected = response.expected;
  if (thread_.context().record) thread_.context().record(record);
}

bool Connection::WriteSome() {
  while (out_offset_ < out_head_.size() + out_body_.size()) {
    iovec parts[2];
    int count = 0;
    if (out_offset_ < out_head_.size()) {
      parts[count++] = {out_head_.data() + out_offset_, out_head_.size() - out_offset_};
    }
    const size_t body_offset = out_offset_ - std::min(out_offset_, out_head_.size());
    if (body_offset < out_body_.size()) {
      parts[count++] = {out_body_.data() + body_offset, out_body_.size() - body_offset};
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = static_cast<size_t>(count);
    const ssize_t size = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    out_offset_ += static_cast<size_t>(size);
  }
  return true;
}

void Connection::WaitWritable() {
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const ErrorCode& error) {
    if (self->phase_ == Phase::kClosed) return;
    if (error || !self->WriteSome()) {
      self->Close();
    } else if (self->out_offset_ < self->out_head_.size() + self->out_body_.size()) {
      self->WaitWritable();
    } else if (self->phase_ == Phase::kStreaming) {
      self->FlushEvents();
    } else {
      self->OnSent();
      if (self->phase_ == Phase::kReading) self->Process({});
    }
  });
}

void Connection::OnSent() {
  Release(&out_head_);
  Release(&out_body_);
  out_offset_ = 0;
  Hold(0);
  if (events_ != nullptr) {
    StartEvents();
    return;
  }
  if (close_after_send_) {
    Linger();
    return;
  }
  parser_.Reset();
  admission_ = {};
  header_begun_ns_ = received_ns_ = 0;
  SetPhase(Phase::kReading, kNever);
}

// A connection that is closed while its client still sends loses what the client has not read yet.
// So the response's end is sent, and what comes is dropped, for a bounded time and amount.
void Connection::Linger() {
  const bool whole = parser_.state() == RequestParser::State::kComplete && pending_.empty();
  ErrorCode ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  Release(&pending_);
  if (whole) {
    Close();
    return;
  }
  SetPhase(Phase::kLingering, AfterMs(options_.linger_deadline_ms));
  WaitReadable();
}

void Connection::Discard() {
  std::vector<char>& buffer = thread_.receive_buffer();
  while (true) {
    const ssize_t size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
      WaitReadable();
      return;
    }
    lingered_size_bytes_ += size > 0 ? static_cast<uint64_t>(size) : 0;
    if (size <= 0 || lingered_size_bytes_ > kLingerSizeBytesMax) {
      Close();
      return;
    }
  }
}

// ---- Streaming

// A stream gives way to nobody, so only some connections may be one.
bool Connection::AdmitStream() {
  ServeContext& context = thread_.context();
  if (context.streams.fetch_add(1) < std::max(options_.connections_max / 4, 1u)) {
    counted_as_stream_ = true;
    return true;
  }
  context.streams.fetch_sub(1);
  return false;
}

void Connection::StartEvents() {
  events_timer_ = std::make_unique<boost::asio::steady_timer>(thread_.io());
  events_sent_ns_ = MonotonicNowNs();
  SetPhase(Phase::kStreaming, kNever);
  // A client that vanished acknowledges no heartbeat.
  const int vanished_ms = static_cast<int>(options_.body_deadline_ms);
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &vanished_ms,
               sizeof vanished_ms);
  WaitReadable();  // tells when the client goes
  PollEvents();
}

void Connection::PollEvents() {
  if (phase_ != Phase::kStreaming) return;
  if (!events_ended_ && out_body_.size() < kEventsBufferBytesMax) {
    const size_t before = out_body_.size();
    events_ended_ =
        !events_->Poll(&out_body_) || thread_.context().draining.load(std::memory_order_relaxed);
    if (out_body_.size() == before && MonotonicNowNs() - events_sent_ns_ > kEventsHeartbeatNs) {
      out_body_ += ": still here\n\n";
    }
  }
  FlushEvents();
}

void Connection::FlushEvents() {
  const bool had_output = !out_body_.empty();
  if (!WriteSome()) {
    Close();
    return;
  }
  if (out_offset_ < out_body_.size()) {  // one wait for the client at a time
    deadline_ns_ = std::min(deadline_ns_, AfterMs(options_.body_deadline_ms));
    events_timer_->cancel();
    WaitWritable();
    return;
  }
  Release(&out_body_);
  out_offset_ = 0;
  deadline_ns_ = kNever;
  if (had_output) events_sent_ns_ = MonotonicNowNs();
  if (events_ended_) {
    events_.reset();
    Linger();
    return;
  }
  events_timer_->expires_after(std::chrono::milliseconds(options_.event_poll_ms));
  events_timer_->async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error) self->PollEvents();
  });
}

}  // namespace engram::server
