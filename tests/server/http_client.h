// A client that sends exactly the bytes it is told to, for tests of the listener.
#ifndef ENGRAM_TESTS_SERVER_HTTP_CLIENT_H_
#define ENGRAM_TESTS_SERVER_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace engram::server::testing {

struct RawAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~HttpClient() { ::close(fd_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }
  // False when the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }
  void FinishSending() { ::shutdown(fd_, SHUT_WR); }

  // The next response; nullopt when the server closes or is silent first. `head_only`: no body
  // follows, whatever Content-Length says.
  std::optional<RawAnswer> Receive(bool head_only = false, int timeout_ms = 5000) {
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(timeout_ms)) return std::nullopt;
    }
    RawAnswer answer = ParseHead(buffer_.substr(0, end));
    buffer_.erase(0, end + 4);
    const auto length = answer.headers.find("content-length");
    if (length == answer.headers.end() || head_only) return answer;
    const size_t size = std::stoul(length->second);
    while (buffer_.size() < size) {
      if (!Fill(timeout_ms)) return std::nullopt;
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return answer;
  }
  std::optional<RawAnswer> Ask(std::string_view request) {
    Send(request);
    return Receive();
  }
  // True if the server closes within the time and sends nothing more.
  bool IsClosedWithin(int timeout_ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (buffer_.empty() && !closed_ && std::chrono::steady_clock::now() < end) Fill(10);
    return closed_ && buffer_.empty();
  }
  bool was_reset() const { return reset_; }
  // What has come and was not returned yet, after waiting for `text` to be in it.
  std::string ReceiveUntil(std::string_view text, int timeout_ms = 5000) {
    while (buffer_.find(text) == std::string::npos && Fill(timeout_ms)) {
    }
    return buffer_;
  }

 private:
  static RawAnswer ParseHead(const std::string& head) {
    RawAnswer answer;
    answer.status = std::stoi(head.substr(head.find(' ') + 1));
    size_t line = head.find("\r\n");
    while (line != std::string::npos) {
      const size_t start = line + 2;
      line = head.find("\r\n", start);
      const std::string text = head.substr(start, line - start);
      const size_t colon = text.find(": ");
      std::string name = text.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      answer.headers[name] = text.substr(colon + 2);
    }
    return answer;
  }

  bool Fill(int timeout_ms) {
    pollfd waiting{fd_, POLLIN, 0};
    if (closed_ || ::poll(&waiting, 1, timeout_ms) <= 0) return false;
    char bytes[65536];
    const ssize_t size = ::recv(fd_, bytes, sizeof bytes, 0);
    if (size <= 0) {
      closed_ = true;
      reset_ = size < 0;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }

  int fd_;
  bool connected_ = false;
  bool closed_ = false;
  bool reset_ = false;
  std::string buffer_;
};

}  // namespace engram::server::testing

#endif  // ENGRAM_TESTS_SERVER_HTTP_CLIENT_H_
