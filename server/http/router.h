// Method and path to handler. Built before the listener starts, immutable afterwards.
#ifndef ENGRAM_SERVER_HTTP_ROUTER_H_
#define ENGRAM_SERVER_HTTP_ROUTER_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

namespace engram::server {

// Where a handler runs.
enum class Execution {
  kInline,    // on the I/O thread: never waits for a flush, a lock held over I/O, or a long scan
  kBlocking,  // on the pool of blocking threads
  // On the I/O thread with `request.may_block` false; if that answers Response::Defer(), again on
  // the pool with it true. For what is mostly at hand and sometimes not. Response::After() leaves
  // to the pool what remains to be waited for.
  kInlineFirst,
};
// Who may call, when the server listens beyond the loopback or a browser is behind it.
enum class Guard {
  kNone,     // health probes: no key needed
  kRead,     // needs the key if one is configured
  kControl,  // writes, administration, shutdown: as kRead, and a foreign Origin is refused
};

using Handler = std::function<Response(const Request&)>;

struct Route {
  Method method = Method::kGet;
  std::string pattern;  // "/api/v1/memories/{id}": a parameter is one whole, non-empty segment
  Execution execution = Execution::kBlocking;
  Guard guard = Guard::kRead;
  Handler handler;
  // Any other Content-Type than JSON is answered with 415, before the body is read.
  bool takes_json = false;
};

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // REQUIRES: no other route with the same method and pattern; the pattern begins with "/".
  void Add(Route route);

  struct Match {
    const Route* route = nullptr;  // null: 404, or 405 if `allowed` is not empty
    std::vector<std::pair<std::string, std::string>> path_params;  // percent-decoded
    std::vector<Method> allowed;                                   // what the path would take
  };
  // `raw_path` as in the request line, still percent-encoded. A literal segment wins over a
  // parameter; where the literal leads nowhere the parameter is tried. HEAD takes a GET route.
  Match Find(Method method, std::string_view raw_path) const;

  // In the order of Add(); a Route stays where it is.
  const std::deque<Route>& routes() const { return routes_; }

 private:
  struct Node;
  std::deque<Route> routes_;
  std::unique_ptr<Node> root_;  // one node per segment
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ROUTER_H_
