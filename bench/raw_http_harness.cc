#include "bench/raw_http_harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace engram::bench {
namespace {

constexpr size_t kRecordBytes = 3584;  // as server_bench.py's raw flushes
constexpr size_t kSlotBytes = 4096;
constexpr size_t kSlots = 16 << 10;
constexpr size_t kAnswerBytes = 220;  // the body of the server's answer to a get

void Require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::abort();
}

// Of the request that `text` begins with, 0 while it is not complete.
size_t RequestBytes(std::string_view text, bool* has_body) {
  constexpr std::string_view kLength = "Content-Length: ";
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string_view::npos) return 0;
  const size_t at = text.substr(0, head).find(kLength);
  *has_body = at != std::string_view::npos;
  const size_t body = *has_body ? std::strtoull(text.data() + at + kLength.size(), nullptr, 10) : 0;
  return text.size() >= head + 4 + body ? head + 4 + body : 0;
}

}  // namespace

RawHttpServer::RawHttpServer(const std::string& path) : path_(path) {
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  Require(file_ >= 0, "open");
  const std::vector<char> zeros(1u << 20);
  for (size_t at = 0; at < kSlots * kSlotBytes; at += zeros.size()) {
    Require(pwrite(file_, zeros.data(), zeros.size(), static_cast<off_t>(at)) > 0, "prewrite");
  }
  Require(fsync(file_) == 0, "fsync");
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  Require(listener_ >= 0 && bind(listener_, name, size) == 0 && listen(listener_, 1) == 0,
          "listen");
  Require(getsockname(listener_, name, &size) == 0, "getsockname");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

RawHttpServer::~RawHttpServer() {
  thread_.join();
  close(listener_);
  close(file_);
  unlink(path_.c_str());
}

void RawHttpServer::Serve() const {
  const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  Require(connection >= 0, "accept");
  const int one = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kAnswerBytes) +
                             "\r\n\r\n" + std::string(kAnswerBytes, 'x');
  const std::string record(kRecordBytes, 'r');
  std::string in;
  std::vector<char> buffer(64u << 10);
  for (size_t slot = 0;;) {
    const ssize_t n = recv(connection, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n == 0) break;
    if (n < 0 && errno == EAGAIN) continue;
    Require(n > 0, "recv");
    in.append(buffer.data(), static_cast<size_t>(n));
    bool has_body = false;
    const size_t size = RequestBytes(in, &has_body);
    if (size == 0) continue;
    in.erase(0, size);
    if (has_body) {
      const auto at = static_cast<off_t>(slot++ % kSlots * kSlotBytes);
      Require(pwrite(file_, record.data(), record.size(), at) > 0, "pwrite");
      Require(fdatasync(file_) == 0, "fdatasync");
    }
    Require(send(connection, answer.data(), answer.size(), MSG_NOSIGNAL) > 0, "send");
  }
  close(connection);
}

}  // namespace engram::bench
