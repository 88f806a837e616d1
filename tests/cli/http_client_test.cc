#include "cli/http_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>

namespace engram::cli {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A listening socket; what it does with its one connection is the test's.
class Peer {
 public:
  using Script = std::function<void(int connection, const std::string& request)>;
  // Without a script nobody accepts: the kernel alone takes the connection, as for a process that a
  // debugger has stopped.
  explicit Peer(Script script = nullptr) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    if (script) thread_ = std::thread([this, script = std::move(script)] { Serve(script); });
  }
  ~Peer() {
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  HttpCall Call(uint32_t deadline_ms = 5000) const {
    return {.port = port_, .target = "/x", .deadline_ms = deadline_ms};
  }
  const std::string& request() {
    thread_.join();
    return request_;
  }

 private:
  void Serve(const Script& script) {
    const int connection = accept(listener_, nullptr, nullptr);
    char buffer[4096];
    while (request_.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = recv(connection, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      request_.append(buffer, static_cast<size_t>(count));
    }
    script(connection, request_);
    close(connection);
  }

  int listener_ = -1;
  uint16_t port_ = 0;
  std::string request_;
  std::thread thread_;
};

Peer::Script Answer(const std::string& text) {
  return [text](int connection, const std::string&) {
    send(connection, text.data(), text.size(), MSG_NOSIGNAL);
  };
}

// Sends one byte every 20 ms until the other side leaves.
void Drip(int connection, const std::string&) {
  for (const char* byte = "x"; send(connection, byte, 1, MSG_NOSIGNAL) == 1;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void ExpectLateWithin(const HttpCall& call, int limit_ms) {
  const auto start = Clock::now();
  auto reply = Send(call);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.status().code(), StatusCode::kBusy) << reply.status().ToString();
  EXPECT_GE(took.count(), static_cast<int>(call.deadline_ms) - 5);
  EXPECT_LT(took.count(), limit_ms);
}

TEST(HttpClientTest, AReplyComesBackWithStatusAndBody) {
  Peer peer(Answer("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello, and more"));
  HttpCall call = peer.Call();
  call.method = "POST";
  call.body = "{}";
  call.api_key = "key";
  auto reply = Send(call);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->body, "hello");
  const std::string request = peer.request();
  EXPECT_THAT(request, HasSubstr("POST /x HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer key\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nContent-Length: 2\r\n"));
}

TEST(HttpClientTest, BodiesEndByLengthByChunksOrByTheEnd) {
  for (const char* text : {"HTTP/1.1 200 OK\r\ncontent-length:  3\r\n\r\nabc",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
                           "HTTP/1.0 200 OK\r\n\r\nabc"}) {
    Peer peer(Answer(text));
    auto reply = Send(peer.Call());
    ASSERT_TRUE(reply.ok()) << text << reply.status().ToString();
    EXPECT_EQ(reply->body, "abc") << text;
  }
}

TEST(HttpClientTest, APeerThatNeverAcceptsDoesNotHangTheCaller) {
  Peer peer;
  ExpectLateWithin(peer.Call(300), 900);
}

TEST(HttpClientTest, APeerThatNeverAnswersDoesNotHangTheCaller) {
  Peer peer([](int connection, const std::string&) {
    char byte = 0;
    EXPECT_LE(recv(connection, &byte, 1, 0), 0) << "only the caller's going ends this";
  });
  ExpectLateWithin(peer.Call(300), 900);
}

TEST(HttpClientTest, ADrippingReplyDoesNotOutlastTheDeadline) {
  Peer head(Drip);
  ExpectLateWithin(head.Call(300), 900);
  Peer body([](int connection, const std::string& request) {
    Answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")(connection, request);
    Drip(connection, request);
  });
  ExpectLateWithin(body.Call(300), 900);
}

TEST(HttpClientTest, APeerThatDoesNotReadDoesNotHangTheCaller) {
  Peer peer;
  HttpCall call = peer.Call(300);
  call.method = "POST";
  call.body.assign(64 << 20, 'x');
  ExpectLateWithin(call, 1500);
}

TEST(HttpClientTest, NothingListeningIsNotFound) {
  uint16_t port = 0;
  { port = Peer().Call().port; }
  auto reply = Send({.port = port});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.status().code(), StatusCode::kNotFound);
}

TEST(HttpClientTest, WhatIsNotACompleteHttpReplyIsAnError) {
  for (const char* text : {"", "hello\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
                           "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    Peer peer(Answer(text));
    auto reply = Send(peer.Call());
    ASSERT_FALSE(reply.ok()) << text;
    EXPECT_EQ(reply.status().code(), StatusCode::kIo) << text;
  }
}

TEST(HttpClientTest, AReplyBeyondTheLimitIsRefused) {
  Peer peer(Answer("HTTP/1.1 200 OK\r\n\r\n" + std::string(300'000, 'x')));
  HttpCall call = peer.Call();
  call.reply_size_bytes_max = 100'000;
  auto reply = Send(call);
  ASSERT_FALSE(reply.ok());
  EXPECT_THAT(reply.status().message(), HasSubstr("too large"));
}

TEST(HttpClientTest, PercentEncodingLeavesOnlyUnreservedCharacters) {
  EXPECT_EQ(PercentEncoded("aZ0-_.~"), "aZ0-_.~");
  EXPECT_EQ(PercentEncoded("a/b c?\xc3\xa9%"), "a%2Fb%20c%3F%C3%A9%25");
}

}  // namespace
}  // namespace engram::cli
