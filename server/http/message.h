// One request and its response, free of any HTTP library: what handlers see.
#ifndef ENGRAM_SERVER_HTTP_MESSAGE_H_
#define ENGRAM_SERVER_HTTP_MESSAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace engram::server {

enum class Method { kGet, kPost, kPut, kDelete, kHead, kOptions, kOther };
std::string_view MethodName(Method method);  // "GET", ...

// Names are compared without regard to case (headers) or exactly (query, path parameters).
struct Request {
  Method method = Method::kGet;
  std::string path;                                        // percent-decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  std::vector<std::pair<std::string, std::string>> path_params;  // of the route's pattern
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string request_id;  // the client's X-Request-Id if it is short and printable, else made here
  // Becomes true when the server wants to end and waits for this request: what works for seconds
  // passes it on and returns. Null: never.
  const std::atomic<bool>* cancelled = nullptr;
  bool may_block = true;  // false: the first attempt of Execution::kInlineFirst

  // The first one of that name; nullopt if there is none.
  std::optional<std::string_view> Query(std::string_view name) const;
  std::optional<std::string_view> Header(std::string_view name) const;
  // REQUIRES: the route's pattern has `{name}`.
  std::string_view PathParam(std::string_view name) const;
};

// A response that goes on: server-sent events. Polled by the connection until it ends, the client
// goes or the server drains. Called from one thread at a time.
class EventSource {
 public:
  virtual ~EventSource() = default;
  // Appends whole events ("event: ...\ndata: ...\n\n") to `out`; nothing new appends nothing.
  // Returns false when the stream has ended. Must not block.
  virtual bool Poll(std::string* out) = 0;
};

struct PendingAnswer;

struct Response {
  int status = 200;
  std::string content_type = "application/json";  // empty: no body and no such header
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<EventSource> events;  // set: text/event-stream, `body` is not used
  bool defer = false;  // Execution::kInlineFirst: no answer yet, run it again where it may block
  // Set: the answer is what this gives; the rest is not used. Only where the request may not block.
  std::shared_ptr<PendingAnswer> pending;
  std::string log_detail;  // for the log alone: what the client must not see of a failure
  bool expected = false;   // a 5xx that a healthy server gives: nobody is warned of it

  static Response Json(int status, std::string body);
  static Response Text(int status, std::string body);
  static Response Empty(int status);
  static Response Defer();
  static Response After(const void* lane, std::function<Response()> finish);
};

// An answer that waits for something: a flush. Those with the same `lane` wait for the same thing.
struct PendingAnswer {
  const void* lane = nullptr;
  std::function<Response()> finish;  // waits; called once, on any thread
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_MESSAGE_H_
