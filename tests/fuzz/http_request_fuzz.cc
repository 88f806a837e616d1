// Bytes of a client through the connection's parser, the rules of access, the router and a handler,
// without a socket. Whatever the bytes, and however they are cut: no request is found that is not
// there when they come at once, nothing is kept beyond the limits, and no response's head can be
// broken by what the client sent.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/access.h"
#include "server/http/request_parser.h"
#include "server/http/response_text.h"
#include "server/http/router.h"

namespace {

using namespace engram::server;

constexpr ParserLimits kLimits = {.header_size_bytes_max = 4096, .body_size_bytes_max = 1024};

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "http_request_fuzz: %s\n", what);
  std::abort();
}

Router MakeRouter() {
  Router router;
  const auto add = [&](Method method, const char* pattern, Guard guard, bool takes_json) {
    Route route;
    route.method = method;
    route.pattern = pattern;
    route.guard = guard;
    route.takes_json = takes_json;
    route.handler = [](const Request& request) {
      std::string text = request.path;
      for (const auto& [name, value] : request.path_params) text += name + value;
      for (const auto& [name, value] : request.query) text += name + value;
      Response response = Response::Text(200, text + request.body);
      response.headers.emplace_back("X-Echo", text);
      return response;
    };
    router.Add(std::move(route));
  };
  add(Method::kGet, "/api/v1/memories", Guard::kRead, false);
  add(Method::kPost, "/api/v1/memories", Guard::kControl, true);
  add(Method::kGet, "/api/v1/memories/{id}", Guard::kRead, false);
  add(Method::kDelete, "/api/v1/memories/{id}", Guard::kControl, false);
  add(Method::kGet, "/api/v1/memories/search", Guard::kRead, false);
  add(Method::kPost, "/api/v1/memories/{id}/edges", Guard::kControl, false);
  add(Method::kGet, "/health/alive", Guard::kNone, false);
  return router;
}

std::string Answer(const Router& router, RequestParser& parser) {
  static const AccessRules rules{"key", OwnOrigins("127.0.0.1", 7432)};
  Request& request = parser.request();
  Admission admission = Admit(router, rules, "", parser.raw_path(), &request);
  Require(admission.refusal || admission.route != nullptr, "neither a route nor a refusal");
  const Response response =
      admission.refusal ? *admission.refusal : admission.route->handler(request);
  std::string head;
  AppendResponseHead(response,
                     {.keep_alive = parser.keep_alive(),
                      .request_id = "id",
                      .allow_origin = admission.allow_origin,
                      .date = "today"},
                     &head);
  Require(head.find("\r\n\r\n") == head.size() - 4, "an empty line within a head");
  Require(head.find('\0') == std::string::npos, "a NUL in a head");
  return head + response.body;
}

// The responses to a stream that arrives in pieces of `piece` bytes (0: at once), up to its end or
// to where it cannot be read any further. When that is noticed may depend on the pieces, what was
// answered before it must not.
std::vector<std::string> Serve(const Router& router, std::string_view stream, size_t piece) {
  using State = RequestParser::State;
  RequestParser parser(kLimits);
  std::vector<std::string> answers;
  std::string pending;
  while (!stream.empty()) {
    const size_t size = piece == 0 ? stream.size() : std::min(piece, stream.size());
    pending.append(stream.substr(0, size));
    stream.remove_prefix(size);
    std::string_view unread = pending;
    while (!unread.empty()) {
      const State before = parser.state();
      const size_t taken = parser.Feed(unread);
      Require(taken <= unread.size(), "took more than there was");
      unread.remove_prefix(taken);
      Require(parser.request().body.size() <= kLimits.body_size_bytes_max, "body beyond its limit");
      Require(parser.request().headers.size() <= kHeadersMax, "too many headers kept");
      if (parser.state() == State::kFailed) return answers;
      if (parser.state() == State::kComplete) {
        answers.push_back(Answer(router, parser));
        if (!parser.keep_alive()) return answers;
        parser.Reset();
      } else if (parser.state() == before) {
        break;
      }
    }
    pending.erase(0, pending.size() - unread.size());
    Require(pending.size() <= kLimits.header_size_bytes_max + size, "unread bytes pile up");
  }
  return answers;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Router router = MakeRouter();
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto at_once = Serve(router, stream, 0);
  const auto in_pieces = Serve(router, stream, 1 + data[0] % 64);
  Require(at_once == in_pieces, "another reading when the bytes come in pieces");
  return 0;
}
