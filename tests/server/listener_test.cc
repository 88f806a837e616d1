// The transport rules, each against a real listener on a free port.
#include "server/http/listener.h"

#include <atomic>
#include <ctime>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "server/http/error_response.h"
#include "tests/server/http_client.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

using testing::HttpClient;
using testing::RawAnswer;

constexpr std::string_view kHost = "Host: x\r\n";

class CountTo final : public EventSource {
 public:
  explicit CountTo(int end) : end_(end) {}
  bool Poll(std::string* out) override {
    if (next_ > end_) return false;
    *out += "event: count\ndata: " + std::to_string(next_++) + "\n\n";
    return true;
  }

 private:
  int next_ = 1;
  const int end_;
};

class ListenerTest : public ::testing::Test {
 protected:
  ListenerTest() {
    options_.port = 0;
    options_.io_threads = 2;
    options_.blocking_threads = 4;
    options_.event_poll_ms = 10;
    Add(Method::kGet, "/inline", Execution::kInline, Guard::kRead,
        [](const Request&) { return Response::Json(200, R"({"ok":true})"); });
    Add(Method::kGet, "/alive", Execution::kInline, Guard::kNone,
        [](const Request&) { return Response::Empty(200); });
    Add(Method::kPost, "/echo", Execution::kBlocking, Guard::kControl, [](const Request& request) {
      Response response = Response::Text(201, request.body);
      if (const auto late = request.Header("X-Late")) {
        response.headers.emplace_back("X-Late", *late);
      }
      return response;
    });
    Add(Method::kGet, "/echo/{id}", Execution::kInline, Guard::kRead, [](const Request& request) {
      return Response::Text(200, std::string(request.PathParam("id")) + "|" +
                                     std::string(request.Query("q").value_or("-")));
    });
    Add(Method::kGet, "/throws", Execution::kBlocking, Guard::kRead,
        [](const Request&) -> Response { throw std::runtime_error("/secret/path"); });
    Add(Method::kGet, "/deferred", Execution::kInlineFirst, Guard::kRead,
        [](const Request& request) {
          if (!request.may_block) return Response::Defer();
          return Response::Text(200, "from the pool");
        });
    Add(Method::kGet, "/big", Execution::kInline, Guard::kRead,
        [](const Request&) { return Response::Text(200, std::string(20u << 20, 'b')); });
    Add(Method::kGet, "/events", Execution::kInline, Guard::kRead, [](const Request&) {
      Response response;
      response.events = std::make_shared<CountTo>(3);
      return response;
    });
    Add(Method::kGet, "/endless", Execution::kInline, Guard::kRead, [](const Request&) {
      Response response;
      response.events = std::make_shared<CountTo>(1 << 30);
      return response;
    });
    Add(Method::kGet, "/hold", Execution::kBlocking, Guard::kRead, [this](const Request&) {
      ++holding_;
      while (!released_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return Response::Text(200, "held");
    });
  }
  ~ListenerTest() override { released_ = true; }

  void Add(Method method, const char* pattern, Execution execution, Guard guard, Handler handler) {
    Route route;
    route.method = method;
    route.pattern = pattern;
    route.execution = execution;
    route.guard = guard;
    route.handler = std::move(handler);
    router_.Add(std::move(route));
  }

  void Start() {
    auto listener =
        Listener::Start(options_, router_, Logger::Null(), [this](const RequestRecord& record) {
          std::lock_guard<std::mutex> lock(mutex_);
          statuses_.push_back(record.status);
        });
    ASSERT_TRUE(listener.ok()) << listener.status().ToString();
    listener_ = std::move(*listener);
    listener_->Serve();
  }
  uint16_t port() const { return listener_->port(); }

  std::optional<RawAnswer> Ask(const std::string& request) {
    return HttpClient(port()).Ask(request);
  }
  static std::string Get(const std::string& target, const std::string& headers = "") {
    return "GET " + target + " HTTP/1.1\r\n" + std::string(kHost) + headers + "\r\n";
  }
  static std::string Post(const std::string& target, const std::string& body,
                          const std::string& headers = "") {
    return "POST " + target + " HTTP/1.1\r\n" + std::string(kHost) + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  void ExpectRefused(const std::string& request, int status, std::string_view code) {
    const auto answer = Ask(request);
    ASSERT_TRUE(answer.has_value()) << request.substr(0, 200);
    EXPECT_EQ(answer->status, status) << request.substr(0, 200);
    EXPECT_NE(answer->body.find("\"code\":\"" + std::string(code) + "\""), std::string::npos)
        << answer->body;
    EXPECT_NE(answer->body.find("\"documentation\":{"), std::string::npos) << answer->body;
    EXPECT_EQ(answer->headers.at("x-content-type-options"), "nosniff");
  }
  void ExpectServes() {
    const auto answer = Ask(Get("/inline"));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, 200);
  }

  ListenerOptions options_;
  Router router_;
  std::atomic<int> holding_{0};
  std::atomic<bool> released_{false};
  std::mutex mutex_;
  std::vector<int> statuses_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, AResponseCarriesTheHeadersThatEachOneCarries) {
  Start();
  const auto answer = Ask(Get("/inline"));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, R"({"ok":true})");
  EXPECT_EQ(answer->headers.at("content-type"), "application/json");
  EXPECT_EQ(answer->headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer->headers.at("x-frame-options"), "DENY");
  EXPECT_EQ(answer->headers.at("x-xss-protection"), "1; mode=block");
  EXPECT_EQ(answer->headers.at("date").size(), 29u);
  EXPECT_FALSE(answer->headers.at("x-request-id").empty());
}

TEST_F(ListenerTest, RequestIdsDifferAndAClientsOwnIsKeptIfItIsHarmless) {
  Start();
  HttpClient client(port());
  const auto first = client.Ask(Get("/inline")), second = client.Ask(Get("/inline"));
  EXPECT_NE(first->headers.at("x-request-id"), second->headers.at("x-request-id"));
  const auto own = client.Ask(Get("/inline", "X-Request-Id: trace-7\r\n"));
  EXPECT_EQ(own->headers.at("x-request-id"), "trace-7");
  const auto odd = client.Ask(Get("/inline", "X-Request-Id: a b\"c\r\n"));
  EXPECT_NE(odd->headers.at("x-request-id"), "a b\"c");
}

TEST_F(ListenerTest, OneConnectionServesManyRequests) {
  Start();
  HttpClient client(port());
  for (int i = 0; i < 100; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_EQ(client.Ask(Get("/echo/" + id + "?q=%C3%A9+" + id))->body, id + "|\u00e9 " + id);
    ASSERT_EQ(client.Ask(Post("/echo", id))->body, id);
  }
}

TEST_F(ListenerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  HttpClient client(port());
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    requests += i % 3 == 0 ? Post("/echo", std::to_string(i)) : Get("/echo/" + std::to_string(i));
  }
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < 300; ++i) {
    const auto answer = client.Receive();
    ASSERT_TRUE(answer.has_value()) << i;
    ASSERT_EQ(answer->body, i % 3 == 0 ? std::to_string(i) : std::to_string(i) + "|-");
  }
}

TEST_F(ListenerTest, ARequestThatComesByteByByteIsTheSameRequest) {
  Start();
  HttpClient client(port());
  for (char c : Post("/echo", "slowly", "X-Request-Id: slow\r\n")) {
    ASSERT_TRUE(client.Send({&c, 1}));
  }
  const auto answer = client.Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, "slowly");
}

TEST_F(ListenerTest, PipelinedGarbageIsRefusedAfterWhatCameBeforeIt) {
  Start();
  HttpClient client(port());
  ASSERT_TRUE(client.Send(Get("/inline") + "\x16\x03\x01 nonsense\r\n\r\n" + Get("/inline")));
  EXPECT_EQ(client.Receive()->status, 200);
  const auto refused = client.Receive();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status, 400);
  EXPECT_EQ(refused->headers.at("connection"), "close");
  client.FinishSending();
  EXPECT_TRUE(client.IsClosedWithin(2000));
  ExpectServes();
}

TEST_F(ListenerTest, UnknownRoutesAndMethodsAreToldApart) {
  Start();
  ExpectRefused(Get("/nothing"), 404, "RESOURCE_NOT_FOUND");
  ExpectRefused("PATCH /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, "METHOD_NOT_ALLOWED");
  const auto answer = Ask("DELETE /echo/1 HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 405);
  EXPECT_EQ(answer->headers.at("allow"), "GET, HEAD, OPTIONS");
}

TEST_F(ListenerTest, MalformedAndAmbiguousRequestsAreRefused) {
  Start();
  const std::string line = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  for (const std::string& request : std::vector<std::string>{
           "nonsense\r\n\r\n", "GET /inline HTTP/9.9\r\nHost: x\r\n\r\n",
           "GET /inline HTTP/1.1\r\n\r\n",  // no Host
           "GET /inline HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
           "GET inline HTTP/1.1\r\nHost: x\r\n\r\n", "GET /echo/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /inline HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n",
           line + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
           line + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
           line + "Content-Length: 1, 1\r\n\r\na", line + "Content-Length: -1\r\n\r\n",
           line + "Content-Length: +1\r\n\r\na",
           line + "Content-Length: 99999999999999999999999\r\n\r\n",
           line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           line + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
           line + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
           "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    ExpectRefused(request, 400, "BAD_REQUEST");
  }
  ExpectRefused(line + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "NOT_IMPLEMENTED");
  ExpectRefused(line + "Expect: cake\r\nContent-Length: 1\r\n\r\na", 417, "EXPECTATION_FAILED");
  ExpectServes();
}

TEST_F(ListenerTest, ChunkedBodiesAreJoinedAndTheirTrailersDropped) {
  Start();
  HttpClient client(port());
  const auto answer = client.Ask(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;note=\"x\"\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Late: smuggled\r\nHost: evil\r\n\r\n");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "abcdefg");
  EXPECT_EQ(answer->headers.count("x-late"), 0u);
  EXPECT_EQ(client.Ask(Get("/inline"))->status, 200);
}

TEST_F(ListenerTest, LongTargetsWorkAndTooLongHeadersAreRefused) {
  Start();
  const std::string query(16'000, 'q');
  EXPECT_EQ(Ask(Get("/echo/1?q=" + query))->body, "1|" + query);
  ExpectRefused(Get("/echo/1?q=" + std::string(70'000, 'q')), 431, "HEADERS_TOO_LARGE");
  ExpectRefused(Get("/inline", "X: " + std::string(70'000, 'x') + "\r\n"), 431,
                "HEADERS_TOO_LARGE");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  ExpectRefused(Get("/inline", many), 431, "HEADERS_TOO_LARGE");
  // No part is too long, the whole is.
  HttpClient client(port());
  client.Send("GET /inline HTTP/1.1\r\nHost: x\r\n");
  const std::string header = "A: " + std::string(1500, 'a') + "\r\n";
  std::string first;
  for (int i = 0; i < 40; ++i) first += header;
  client.Send(first);  // 60 KB are parsed
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (int i = 0; i < 10; ++i) client.Send(header);
  client.Send("\r\n");
  const auto answer = client.Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 431);
}

TEST_F(ListenerTest, ABodyBeyondTheLimitIsRefusedReadably) {
  options_.body_size_bytes_max = 2u << 20;
  Start();
  const std::string largest(2u << 20, 'x');
  EXPECT_EQ(Ask(Post("/echo", largest))->status, 201);
  // The client sends everything before it reads.
  ExpectRefused(Post("/echo", largest + "x"), 413, "PAYLOAD_TOO_LARGE");
  ExpectRefused(Post("/echo", largest + largest + largest), 413, "PAYLOAD_TOO_LARGE");
  std::string chunks = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 40; ++i) chunks += "10000\r\n" + std::string(0x10000, 'c') + "\r\n";
  ExpectRefused(chunks + "0\r\n\r\n", 413, "PAYLOAD_TOO_LARGE");
  ExpectRefused(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\nabc",
      413, "PAYLOAD_TOO_LARGE");
  // What the client still sends is taken, so that no reset overtakes the answer.
  HttpClient client(port());
  EXPECT_TRUE(client.Send(Post("/echo", largest + largest + largest)));
  EXPECT_EQ(client.Receive()->status, 413);
  client.FinishSending();
  EXPECT_TRUE(client.IsClosedWithin(2000));
  EXPECT_FALSE(client.was_reset());
}

TEST_F(ListenerTest, ARefusedClientThatGoesOnSendingIsCutOff) {
  options_.linger_deadline_ms = 200;
  Start();
  HttpClient client(port());
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 413);
  const auto begin = std::chrono::steady_clock::now();
  while (client.Send("x") && std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(ListenerTest, ExpectationsAreAnsweredBeforeTheBody) {
  Start();
  HttpClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 100);
  EXPECT_EQ(client.Ask("abc")->body, "abc");
  HttpClient refused(port());
  refused.Send(
      "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(refused.Receive()->status, 404);
}

TEST_F(ListenerTest, HeadHasTheHeadersOfGetAndNoBody) {
  Start();
  HttpClient client(port());
  client.Send("HEAD /inline HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto head = client.Receive(true);
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->headers.at("content-length"), "11");
  EXPECT_EQ(client.Ask(Get("/inline"))->body, R"({"ok":true})");
}

TEST_F(ListenerTest, OldClientsAndThoseThatSayCloseAreClosed) {
  Start();
  HttpClient old(port());
  EXPECT_EQ(old.Ask("GET /inline HTTP/1.0\r\n\r\n")->headers.at("connection"), "close");
  EXPECT_TRUE(old.IsClosedWithin(2000));
  HttpClient kept(port());
  EXPECT_EQ(
      kept.Ask("GET /inline HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")->headers.at("connection"),
      "keep-alive");
  EXPECT_EQ(kept.Ask(Get("/inline", "Connection: close\r\n"))->status, 200);
  EXPECT_TRUE(kept.IsClosedWithin(2000));
}

TEST_F(ListenerTest, AClientThatFinishedSendingStillGetsItsAnswer) {
  Start();
  HttpClient client(port());
  client.Send(Post("/echo", "last words"));
  client.FinishSending();
  EXPECT_EQ(client.Receive()->body, "last words");
  EXPECT_TRUE(client.IsClosedWithin(2000));
}

TEST_F(ListenerTest, AbsoluteTargetsAndAnEmptyLineBeforeTheRequestAreTaken) {
  Start();
  EXPECT_EQ(Ask(Get("http://x/echo/1?q=2"))->body, "1|2");
  EXPECT_EQ(Ask("\r\n" + Get("/echo/1"))->body, "1|-");
}

TEST_F(ListenerTest, AHandlerThatThrowsIsAnErrorWithoutItsDetails) {
  Start();
  ExpectRefused(Get("/throws"), 500, "MEMORY_SYSTEM_ERROR");
  EXPECT_EQ(Ask(Get("/throws"))->body.find("secret"), std::string::npos);
  ExpectServes();
}

TEST_F(ListenerTest, WhatIsNotAtHandIsDeferredToThePool) {
  Start();
  EXPECT_EQ(Ask(Get("/deferred"))->body, "from the pool");
}

// Routes whose answer waits until the test opens the gate.
class PendingAnswerTest : public ListenerTest {
 protected:
  PendingAnswerTest() {
    Add(Method::kGet, "/staged/{what}", Execution::kInlineFirst, Guard::kRead,
        [this](const Request& request) {
          EXPECT_FALSE(request.may_block);
          staged_on_ = std::this_thread::get_id();
          return Response::After(this, [this, what = std::string(request.PathParam("what"))] {
            ++holding_;
            while (!released_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            std::lock_guard<std::mutex> lock(mutex_);
            finished_on_.push_back(std::this_thread::get_id());
            if (what == "throws") throw std::runtime_error("/secret/path");
            return Response::Text(201, what);
          });
        });
  }
  size_t ThreadsThatFinished() {
    std::sort(finished_on_.begin(), finished_on_.end());
    return static_cast<size_t>(std::unique(finished_on_.begin(), finished_on_.end()) -
                               finished_on_.begin());
  }

  std::atomic<std::thread::id> staged_on_;
  std::vector<std::thread::id> finished_on_;  // guarded by mutex_
};

TEST_F(PendingAnswerTest, OneThreadWaitsForAllThatWaitForTheSame) {
  options_.blocking_threads = 8;
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<HttpClient>(port()));
    clients.back()->Send(Get("/staged/" + std::to_string(i)) + Get("/inline"));
  }
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ExpectServes();  // the loops are free meanwhile
  EXPECT_EQ(holding_, 1);
  released_ = true;
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(clients[i]->Receive()->body, std::to_string(i));
    EXPECT_EQ(clients[i]->Receive()->body, R"({"ok":true})");  // what came behind it
  }
  EXPECT_LE(ThreadsThatFinished(), 2u);  // a second one if some came after the first was through
}

TEST_F(PendingAnswerTest, OneClientAloneIsWaitedForOnItsLoop) {
  options_.busy_poll_us = 2000;
  released_ = true;
  Start();
  HttpClient client(port()), other(port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.Ask(Get("/staged/1"))->status, 201);
  EXPECT_EQ(finished_on_.back(), staged_on_.load());
  EXPECT_EQ(other.Ask(Get("/inline"))->status, 200);
  EXPECT_EQ(client.Ask(Get("/staged/1"))->status, 201);
  EXPECT_NE(finished_on_.back(), staged_on_.load());
}

// A device that hangs is no reason to have the service restarted.
TEST_F(PendingAnswerTest, ALoopThatWaitsForItsClientsDeviceIsResponsive) {
  options_.busy_poll_us = 2000;
  released_ = true;
  Start();
  HttpClient client(port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.Ask(Get("/staged/1"))->status, 201);
  released_ = false;
  holding_ = 0;
  client.Send(Get("/staged/last"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(listener_->Responsive(100));
  released_ = true;
  EXPECT_EQ(client.Receive()->body, "last");
}

TEST_F(PendingAnswerTest, WhatThrowsAtItsEndIsAnErrorWithoutItsDetails) {
  options_.busy_poll_us = 2000;
  released_ = true;
  Start();
  HttpClient client(port());
  for (int i = 0; i < 20; ++i) {  // on the pool, then on the loop
    const auto answer = client.Ask(Get("/staged/throws"));
    ASSERT_EQ(answer->status, 500);
    EXPECT_EQ(answer->body.find("secret"), std::string::npos);
  }
}

TEST_F(PendingAnswerTest, ADrainWaitsForThem) {
  Start();
  HttpClient client(port());
  client.Send(Get("/staged/1"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::thread release([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    released_ = true;
  });
  listener_->Drain(5000);
  release.join();
  EXPECT_EQ(client.Receive()->body, "1");
}

TEST_F(ListenerTest, AClientThatReadsSlowlyGetsEverything) {
  Start();
  HttpClient client(port());
  client.Send(Get("/big") + Get("/inline"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto big = client.Receive();
  ASSERT_TRUE(big.has_value());
  EXPECT_EQ(big->body.size(), 20u << 20);
  EXPECT_EQ(client.Receive()->body, R"({"ok":true})");
}

TEST_F(ListenerTest, JsonRoutesRefuseOtherTypes) {
  Route route;
  route.method = Method::kPost;
  route.pattern = "/json";
  route.takes_json = true;
  route.handler = [](const Request& request) { return Response::Json(200, request.body); };
  router_.Add(std::move(route));
  Start();
  ExpectRefused(Post("/json", "{}"), 415, "UNSUPPORTED_MEDIA_TYPE");
  ExpectRefused(Post("/json", "{}", "Content-Type: text/plain\r\n"), 415, "UNSUPPORTED_MEDIA_TYPE");
  for (const char* type :
       {"application/json", "Application/JSON; charset=utf-8", "application/problem+json"}) {
    EXPECT_EQ(Ask(Post("/json", "{}", std::string("Content-Type: ") + type + "\r\n"))->status, 200);
  }
  // The refused body is read to its end: the connection goes on.
  HttpClient client(port());
  EXPECT_EQ(client.Ask(Post("/json", std::string(100'000, ' ')))->status, 415);
  EXPECT_EQ(client.Ask(Get("/inline"))->status, 200);
}

TEST_F(ListenerTest, EventsAreStreamedUntilTheirEnd) {
  Start();
  HttpClient client(port());
  const auto head = client.Ask(Get("/events"));
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(client.ReceiveUntil("data: 3\n\n"),
            "event: count\ndata: 1\n\nevent: count\ndata: 2\n\nevent: count\ndata: 3\n\n");
}

TEST_F(ListenerTest, StreamsCannotTakeEveryConnection) {
  options_.connections_max = 8;
  Start();
  HttpClient first(port()), second(port()), third(port());
  EXPECT_EQ(first.Ask(Get("/endless"))->status, 200);
  EXPECT_EQ(second.Ask(Get("/endless"))->status, 200);
  EXPECT_EQ(third.Ask(Get("/endless"))->status, 503);
}

TEST_F(ListenerTest, AClientThatLeavesAStreamIsForgotten) {
  Start();
  {
    HttpClient client(port());
    client.Ask(Get("/endless"));
    client.ReceiveUntil("data: 2\n\n");
    EXPECT_EQ(listener_->connections(), 1u);
  }
  for (int i = 0; i < 200 && listener_->connections() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(listener_->connections(), 0u);
}

// ---- Deadlines and limits

TEST_F(ListenerTest, SlowHeadersAndBodiesEndAtTheirDeadlines) {
  options_.header_deadline_ms = 200;
  options_.body_deadline_ms = 300;
  Start();
  HttpClient header(port()), body(port());
  body.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  header.Send("GET /inline HTTP/1.1\r\n");
  // Bytes that trickle in do not move the deadline.
  for (int i = 0; i < 80; ++i) {
    header.Send("A: b\r\n");
    body.Send("x");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (HttpClient* client : {&header, &body}) {
    const auto answer = client->Receive(false, 1);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, 408);
  }
}

TEST_F(ListenerTest, AnIdleConnectionIsClosedSilentlyAtItsDeadline) {
  options_.idle_deadline_ms = 200;
  Start();
  HttpClient used(port());
  EXPECT_EQ(used.Ask(Get("/inline"))->status, 200);
  EXPECT_TRUE(used.IsClosedWithin(2000));
}

TEST_F(ListenerTest, AFreshConnectionThatSendsNothingHasTheHeaderDeadline) {
  options_.header_deadline_ms = 200;
  Start();
  HttpClient fresh(port()), used(port());
  EXPECT_EQ(used.Ask(Get("/inline"))->status, 200);
  EXPECT_TRUE(fresh.IsClosedWithin(2000));
  EXPECT_EQ(used.Ask(Get("/inline"))->status, 200);
}

TEST_F(ListenerTest, AClientThatReadsNothingIsClosedAndOthersAreServed) {
  options_.body_deadline_ms = 200;
  options_.slowest_client_bytes_per_ms = 1u << 20;
  Start();
  HttpClient client(port());
  client.Send(Get("/big"));
  for (int i = 0; i < 5000 && listener_->connections() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ExpectServes();
  for (int i = 0; i < 300 && listener_->connections() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(listener_->connections(), 0u);
}

TEST_F(ListenerTest, AtTheConnectionLimitTheLongestIdleGivesWay) {
  options_.connections_max = 8;
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<HttpClient>(port()));
    EXPECT_EQ(clients.back()->Ask(Get("/inline"))->status, 200);
    // A connection waits from after its answer was sent: on a busy machine that is a little later.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(clients[0]->Ask(Get("/inline"))->status, 200);  // now 1 is idle for longest
  HttpClient next(port());
  EXPECT_EQ(next.Ask(Get("/inline"))->status, 200);
  EXPECT_TRUE(clients[1]->IsClosedWithin(2000));
  EXPECT_EQ(clients[0]->Ask(Get("/inline"))->status, 200);
  EXPECT_EQ(clients[2]->Ask(Get("/inline"))->status, 200);
}

TEST_F(ListenerTest, ConnectionsThatTrickleGiveWayToo) {
  options_.connections_max = 8;
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<HttpClient>(port()));
    clients.back()->Send("GET /inline HT");
  }
  for (int i = 0; i < 20; ++i) {
    for (auto& client : clients) client->Send("T");
    ExpectServes();
  }
}

TEST_F(ListenerTest, AThousandIdleConnectionsHoldNothingUp) {
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 400; ++i) clients.push_back(std::make_unique<HttpClient>(port()));
  for (auto& client : clients) ASSERT_TRUE(client->connected());
  ExpectServes();
  for (auto& client : clients) ASSERT_EQ(client->Ask(Get("/inline"))->status, 200);
}

TEST_F(ListenerTest, AFullQueueAnswersTryAgain) {
  options_.blocking_threads = 1;
  options_.blocking_queue_max = 1;
  Start();
  HttpClient running(port()), queued(port()), refused(port());
  running.Send(Get("/hold"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  queued.Send(Get("/hold"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto answer = refused.Ask(Get("/hold"));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->headers.at("retry-after"), "1");
  EXPECT_EQ(refused.Ask(Get("/inline"))->status, 200);  // reads go on
  released_ = true;
  EXPECT_EQ(running.Receive()->body, "held");
  EXPECT_EQ(queued.Receive()->body, "held");
}

TEST_F(ListenerTest, RequestsPipelinedBehindOneThatWaitsAreAnsweredInOrder) {
  options_.io_threads = 1;
  Start();
  HttpClient client(port());
  client.Send(Post("/echo", "first") + Get("/echo/second") + Post("/echo", "third") +
              Get("/echo/fourth"));
  EXPECT_EQ(client.Receive()->body, "first");
  EXPECT_EQ(client.Receive()->body, "second|-");
  EXPECT_EQ(client.Receive()->body, "third");
  EXPECT_EQ(client.Receive()->body, "fourth|-");
}

// Whoever asks again at once finds the loop awake; afterwards it sleeps.
TEST_F(ListenerTest, AnIdleLoopDoesNotPoll) {
  options_.busy_poll_us = 2000;
  Start();
  HttpClient client(port());
  for (int i = 0; i < 500; ++i) ASSERT_EQ(client.Ask(Get("/inline"))->status, 200);
  const std::clock_t began = std::clock();  // of the process
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(double(std::clock() - began) / CLOCKS_PER_SEC, 0.05);
}

// They are let go when it rests, and when it is not alone.
TEST_F(ListenerTest, CoresAreKeptAwakeForAClientThatDoesNotRest) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "on one core nothing polls";
  const engram::testing::TempDir dir;
  const std::string awake(4, '\0'), as_they_like(4, '\xff');
  options_.busy_poll_us = 10'000;
  options_.io_threads = 1;
  options_.cpu_latency_device = dir.Join("cpu_dma_latency");
  const auto told = [&] {
    std::ostringstream bytes;
    bytes << std::ifstream(options_.cpu_latency_device, std::ios::binary).rdbuf();
    return bytes.str();
  };
  std::ofstream(options_.cpu_latency_device).flush();
  Start();
  HttpClient client(port()), other(port());
  // Whether the kernel is told so while these clients ask in turns.
  const auto is_told = [&](const std::string& what, const std::vector<HttpClient*>& clients) {
    for (int i = 0; i < 20'000; ++i) {
      for (HttpClient* asks : clients) EXPECT_EQ(asks->Ask(Get("/inline"))->status, 200);
      if (told() == what) return true;
    }
    return false;
  };
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.Ask(Get("/inline"))->status, 200);
  EXPECT_EQ(told(), "") << "a few requests are no reason";
  EXPECT_TRUE(is_told(awake, {&client}));
  EXPECT_TRUE(is_told(as_they_like, {&client, &other}));
  EXPECT_TRUE(is_told(awake, {&client}));
  for (int i = 0; i < 500 && told() == awake; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(told(), as_they_like) << "it rests";
}

TEST_F(ListenerTest, WhatAllClientsSendTogetherIsBounded) {
  options_.held_size_bytes_max = 1u << 20;
  Start();
  const std::string half = std::string(700'000, 'x');
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(half.size() + 1) +
      "\r\n\r\n";
  HttpClient first(port()), second(port());
  ASSERT_TRUE(first.Send(head + half));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(second.Send(head + half));
  const auto refused = second.Receive();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->headers.at("retry-after"), "1");
  EXPECT_EQ(first.Ask("y")->body.size(), half.size() + 1);
  // What was held is given back, before the connection goes on.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(first.Ask(Post("/echo", half))->status, 201);
}

// ---- Access

TEST_F(ListenerTest, TheKeyIsAskedForExceptWhereNoneIsNeeded) {
  options_.api_key = "s3cret";
  Start();
  ExpectRefused(Get("/inline"), 401, "UNAUTHORIZED");
  ExpectRefused(Get("/inline", "Authorization: Bearer s3cre\r\n"), 401, "UNAUTHORIZED");
  ExpectRefused(Get("/inline", "Authorization: Bearer s3crets3cret\r\n"), 401, "UNAUTHORIZED");
  ExpectRefused(Get("/inline", "Authorization: Basic s3cret\r\n"), 401, "UNAUTHORIZED");
  ExpectRefused(Get("/inline", "Authorization: Bearer \r\n"), 401, "UNAUTHORIZED");
  ExpectRefused(Get("/nothing"), 401, "UNAUTHORIZED");
  EXPECT_EQ(Ask(Get("/inline", "Authorization: Bearer s3cret\r\n"))->status, 200);
  EXPECT_EQ(Ask(Get("/inline", "authorization: bearer s3cret\r\n"))->status, 200);
  EXPECT_EQ(Ask(Get("/alive"))->status, 200);
  listener_->SetApiKey("other");
  ExpectRefused(Get("/inline", "Authorization: Bearer s3cret\r\n"), 401, "UNAUTHORIZED");
  EXPECT_EQ(Ask(Get("/inline", "Authorization: Bearer other\r\n"))->status, 200);
}

TEST_F(ListenerTest, AForeignOriginIsRefusedWhereItCouldChangeSomething) {
  Start();
  const std::string own = std::to_string(port());
  for (const std::string& origin :
       {std::string("null"), std::string("http://evil.example"), "http://127.0.0.1:1" + own,
        "https://127.0.0.1:" + own, std::string("http://127.0.0.1"),
        "http://127.0.0.1:" + own + ".evil.example"}) {
    ExpectRefused(Post("/echo", "x", "Origin: " + origin + "\r\n"), 403, "FORBIDDEN");
    const auto read = Ask(Get("/inline", "Origin: " + origin + "\r\n"));
    EXPECT_EQ(read->status, 200);
    EXPECT_EQ(read->headers.at("access-control-allow-origin"), "*");
  }
  for (const std::string host : {"127.0.0.1", "localhost", "[::1]", "LOCALHOST"}) {
    EXPECT_EQ(Ask(Post("/echo", "x", "Origin: http://" + host + ":" + own + "\r\n"))->status, 201);
  }
}

TEST_F(ListenerTest, APreflightNamesWhatTheOriginMayUse) {
  Start();
  const std::string ask = "OPTIONS /echo HTTP/1.1\r\nHost: x\r\n";
  const auto foreign = Ask(ask + "Origin: http://evil.example\r\n\r\n");
  EXPECT_EQ(foreign->status, 204);
  EXPECT_EQ(foreign->headers.at("access-control-allow-methods"), "OPTIONS");
  const auto own = Ask(ask + "Origin: http://localhost:" + std::to_string(port()) + "\r\n\r\n");
  EXPECT_EQ(own->headers.at("access-control-allow-methods"), "POST, OPTIONS");
  EXPECT_EQ(own->headers.at("access-control-allow-origin"),
            "http://localhost:" + std::to_string(port()));
  EXPECT_EQ(Ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")->status, 204);
  EXPECT_EQ(Ask("OPTIONS /none HTTP/1.1\r\nHost: x\r\n\r\n")->status, 404);
}

// ---- Start and drain

TEST_F(ListenerTest, ATakenAddressIsAnErrorThatNamesIt) {
  Start();
  ListenerOptions second = options_;
  second.port = port();
  const auto refused = Listener::Start(second, router_, Logger::Null(), nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.status().message().find("127.0.0.1:" + std::to_string(port())),
            std::string::npos);
  second.address = "localhost";
  EXPECT_EQ(Listener::Start(second, router_, Logger::Null(), nullptr).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(ListenerTest, ADrainAnswersWhatIsInFlightAndClosesTheRest) {
  Start();
  HttpClient idle(port()), busy(port()), stream(port());
  EXPECT_EQ(idle.Ask(Get("/inline"))->status, 200);
  stream.Ask(Get("/endless"));
  busy.Send(Get("/hold"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::thread release([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    released_ = true;
  });
  const auto begin = std::chrono::steady_clock::now();
  listener_->Drain(5000);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  release.join();
  const auto answer = busy.Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, "held");
  EXPECT_EQ(answer->headers.at("connection"), "close");
  EXPECT_TRUE(idle.IsClosedWithin(1000));
  EXPECT_FALSE(HttpClient(port()).connected());
}

TEST_F(ListenerTest, ADrainDoesNotWaitBeyondItsDeadlineForSlowClients) {
  Start();
  HttpClient slow(port());
  slow.Send("GET /inline HT");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto begin = std::chrono::steady_clock::now();
  listener_->Drain(200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_TRUE(slow.IsClosedWithin(1000));
}

TEST_F(ListenerTest, WhatRunsBeyondTheDrainsDeadlineIsCancelledAndAnswered) {
  Add(Method::kGet, "/long", Execution::kBlocking, Guard::kRead, [this](const Request& request) {
    ++holding_;
    while (!*request.cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return StatusResponse(Status::Cancelled("verification was cancelled"));
  });
  Start();
  HttpClient client(port());
  client.Send(Get("/long"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto begin = std::chrono::steady_clock::now();
  listener_->Drain(100);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  const auto answer = client.Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 503);
}

TEST_F(ListenerTest, EveryRequestIsReported) {
  Start();
  Ask(Get("/inline"));
  Ask(Get("/nothing"));
  Ask("garbage\r\n\r\n");
  listener_->Drain(1000);
  std::sort(statuses_.begin(), statuses_.end());
  EXPECT_EQ(statuses_, (std::vector<int>{200, 400, 404}));
}

TEST_F(ListenerTest, AStuckHandlerShowsAsNotResponsive) {
  Route route;
  route.method = Method::kGet;
  route.pattern = "/stuck";
  route.execution = Execution::kInline;
  route.handler = [this](const Request&) {
    ++holding_;
    while (!released_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return Response::Empty(200);
  };
  router_.Add(std::move(route));
  Start();
  EXPECT_TRUE(listener_->Responsive(1000));
  HttpClient client(port());
  client.Send(Get("/stuck"));
  while (holding_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(listener_->Responsive(50));
  released_ = true;
  EXPECT_TRUE(listener_->Responsive(1000));
}

}  // namespace
}  // namespace engram::server
