#include "cli/http_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/clock.h"
#include "cli/signals.h"

namespace engram::cli {
namespace {

constexpr uint64_t kHeadSizeBytesMax = 64 << 10;

std::string Where(const HttpCall& call) {
  const bool v6 = call.address.find(':') != std::string::npos;
  return (v6 ? "[" + call.address + "]" : call.address) + ":" + std::to_string(call.port);
}

// A connected socket with a deadline.
class Connection {
 public:
  explicit Connection(const HttpCall& call)
      : call_(call),
        deadline_ns_(Clock::System().MonotonicNs() + uint64_t{call.deadline_ms} * 1'000'000) {}
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status Connect();
  Status Write(std::string_view bytes);
  // Appends what is there, at least one byte; false at the end of the stream.
  Result<bool> Read(std::string* out);

 private:
  Status Wait(short events);
  Status Broken(int error) const {
    return Status::FromErrno(error, "talk to the server at " + Where(call_));
  }

  const HttpCall& call_;
  const uint64_t deadline_ns_;
  int fd_ = -1;
};

Status Connection::Wait(short events) {
  while (true) {
    const uint64_t now = Clock::System().MonotonicNs();
    const uint64_t left_ms = now >= deadline_ns_ ? 0 : (deadline_ns_ - now + 999'999) / 1'000'000;
    pollfd fds[] = {{fd_, events, 0}, {CancelDescriptor(), POLLIN, 0}};
    const int ready = poll(fds, 2, static_cast<int>(left_ms));
    if (ready < 0 && errno != EINTR) return Broken(errno);
    if (CancelFlag().load()) return Status::Cancelled("interrupted while the server answered");
    if (ready > 0 && fds[0].revents != 0) return Status::Ok();
    if (ready == 0 && left_ms == 0) {
      return Status::Busy("the server at " + Where(call_) + " did not answer within " +
                              std::to_string(call_.deadline_ms) + " ms",
                          "`engram status` shows what is known of it without its help");
    }
  }
}

Status Connection::Connect() {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, call_.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(call_.port);
    size = sizeof *v4;
  } else if (inet_pton(AF_INET6, call_.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(call_.port);
    size = sizeof *v6;
  } else {
    return Status::InvalidArgument("\"" + call_.address + "\" is not an IP address");
  }
  fd_ = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return Broken(errno);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&storage), size) == 0) return Status::Ok();
  int error = errno;
  if (error == EINPROGRESS) {
    ENGRAM_TRY(Wait(POLLOUT));
    socklen_t error_size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &error_size);
  }
  if (error == ECONNREFUSED) {
    return Status::NotFound("nothing listens on " + Where(call_),
                            "start the server with `engram start`");
  }
  return error == 0 ? Status::Ok() : Broken(error);
}

Status Connection::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      ENGRAM_TRY(Wait(POLLOUT));
    } else if (errno != EINTR) {
      return Broken(errno);
    }
  }
  return Status::Ok();
}

Result<bool> Connection::Read(std::string* out) {
  char buffer[64 << 10];
  while (true) {
    ENGRAM_TRY(Wait(POLLIN));
    const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count > 0) out->append(buffer, static_cast<size_t>(count));
    if (count >= 0) return count > 0;
    if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return Broken(errno);
  }
}

std::string RequestText(const HttpCall& call) {
  std::string text = call.method + " " + call.target + " HTTP/1.1\r\nHost: " + Where(call) +
                     "\r\nConnection: close\r\nAccept: application/json\r\n";
  if (!call.api_key.empty()) text += "Authorization: Bearer " + call.api_key + "\r\n";
  for (const auto& [name, value] : call.headers)
    text.append(name).append(": ").append(value) += "\r\n";
  if (!call.body.empty()) text += "Content-Type: application/json\r\n";
  if (!call.body.empty() || call.method == "POST" || call.method == "PUT") {
    text += "Content-Length: " + std::to_string(call.body.size()) + "\r\n";
  }
  return text + "\r\n" + call.body;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

// What of a reply's head says where its body ends.
struct Head {
  int status = 0;
  std::optional<uint64_t> length;
  bool chunked = false;
};

std::optional<Head> ParseHead(std::string_view text) {
  Head head;
  constexpr size_t kStatusAt = 9;  // behind "HTTP/1.1 "
  if (!text.starts_with("HTTP/1.") || text.size() < kStatusAt + 3) return std::nullopt;
  const auto parsed =
      std::from_chars(text.data() + kStatusAt, text.data() + kStatusAt + 3, head.status);
  if (parsed.ptr != text.data() + kStatusAt + 3) return std::nullopt;
  for (size_t at = text.find("\r\n"); at != std::string_view::npos;) {
    const size_t end = text.find("\r\n", at + 2);
    const std::string line = LowerCase(
        text.substr(at + 2, end == std::string_view::npos ? std::string_view::npos : end - at - 2));
    at = end;
    const size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
    if (value == std::string::npos) continue;
    if (line.starts_with("content-length:")) {
      uint64_t length = 0;
      const auto number = std::from_chars(line.data() + value, line.data() + line.size(), length);
      if (number.ec != std::errc()) return std::nullopt;
      head.length = length;
    }
    head.chunked = head.chunked || (line.starts_with("transfer-encoding:") &&
                                    line.find("chunked") != std::string::npos);
  }
  if (head.status == 204 || head.status == 304) head.length = 0;
  return head;
}

// Moves whole chunks from `raw` (behind `*at`) to `body`. True when the last one was seen, nullopt
// if it is not chunked coding.
std::optional<bool> TakeChunks(std::string_view raw, size_t* at, std::string* body) {
  while (true) {
    const size_t line_end = raw.find("\r\n", *at);
    if (line_end == std::string_view::npos) return false;
    uint64_t size = 0;
    const auto parsed = std::from_chars(raw.data() + *at, raw.data() + line_end, size, 16);
    if (parsed.ec != std::errc() || size > raw.max_size() / 2) return std::nullopt;
    if (size == 0) return true;
    if (raw.size() < line_end + 2 + size + 2) return false;
    body->append(raw.substr(line_end + 2, size));
    *at = line_end + 2 + size + 2;
  }
}

class Reader {
 public:
  Reader(const HttpCall& call, Connection& connection) : call_(call), connection_(connection) {}

  Result<HttpReply> Read() {
    ENGRAM_ASSIGN_OR_RETURN(const size_t body_at, ReadHead());
    HttpReply reply{head_.status, ""};
    if (call_.method == "HEAD") return reply;
    if (head_.chunked) {
      ENGRAM_TRY(ReadChunks(body_at, &reply.body));
      return reply;
    }
    while (!head_.length || raw_.size() - body_at < *head_.length) {
      ENGRAM_ASSIGN_OR_RETURN(const bool more, connection_.Read(&raw_));
      ENGRAM_TRY(CheckSize());
      if (!more && head_.length) return NotHttp("ends too early");
      if (!more) break;
    }
    reply.body = raw_.substr(body_at, head_.length.value_or(std::string::npos));
    return reply;
  }

 private:
  Status NotHttp(const std::string& why) const {
    return Status::Io("the reply of " + Where(call_) + " " + why,
                      "check that it is an engram server which listens there");
  }
  Status CheckSize() const {
    return raw_.size() <= call_.reply_size_bytes_max ? Status::Ok() : NotHttp("is too large");
  }
  Result<size_t> ReadHead() {
    while (true) {
      const size_t end = raw_.find("\r\n\r\n");
      if (end != std::string::npos) {
        const auto head = ParseHead(std::string_view(raw_).substr(0, end));
        if (!head) return NotHttp("is not HTTP");
        head_ = *head;
        return end + 4;
      }
      if (raw_.size() > kHeadSizeBytesMax) return NotHttp("has no end of its head");
      ENGRAM_ASSIGN_OR_RETURN(const bool more, connection_.Read(&raw_));
      if (!more) return NotHttp("ends too early");
    }
  }
  Status ReadChunks(size_t at, std::string* body) {
    while (true) {
      const auto done = TakeChunks(raw_, &at, body);
      if (!done) return NotHttp("is not HTTP");
      if (*done) return Status::Ok();
      ENGRAM_ASSIGN_OR_RETURN(const bool more, connection_.Read(&raw_));
      ENGRAM_TRY(CheckSize());
      if (!more) return NotHttp("ends too early");
    }
  }

  const HttpCall& call_;
  Connection& connection_;
  std::string raw_;
  Head head_;
};

}  // namespace

Result<HttpReply> Send(const HttpCall& call) {
  Connection connection(call);
  ENGRAM_TRY(connection.Connect());
  // A server that refuses early may close before it has read all: its reply is what counts.
  Status written = connection.Write(RequestText(call));
  if (!written.ok() && written.code() != StatusCode::kIo) return written;
  Reader reader(call, connection);
  Result<HttpReply> reply = reader.Read();
  return !reply.ok() && !written.ok() ? Result<HttpReply>(written) : reply;
}

std::string PercentEncoded(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

}  // namespace engram::cli
