#include "server/http/router.h"

#include <map>

#include "base/check.h"
#include "server/http/url.h"

namespace engram::server {

// The routes that share a beginning. Literals and the parameter are apart, so that the literal is
// tried first.
struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::vector<const Route*> routes;  // that end here, one per method
};

namespace {

// Takes the first segment off "/a/b": "a", leaving "/b"; of "/": "", leaving "".
std::string_view TakeSegment(std::string_view* path) {
  path->remove_prefix(1);
  const size_t end = path->find('/');
  const std::string_view segment = path->substr(0, end);
  path->remove_prefix(segment.size());
  return segment;
}

bool IsParameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// The names in `pattern` with the values in `raw_path`, which matches it.
void TakeParameters(std::string_view pattern, std::string_view raw_path,
                    std::vector<std::pair<std::string, std::string>>* parameters) {
  while (!pattern.empty()) {
    const std::string_view name = TakeSegment(&pattern);
    const std::string_view value = TakeSegment(&raw_path);
    if (!IsParameter(name)) continue;
    parameters->emplace_back(name.substr(1, name.size() - 2),
                             PercentDecoded(value, Plus::kLiteral));
  }
}

}  // namespace

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::Add(Route route) {
  ENGRAM_CHECK(!route.pattern.empty() && route.pattern[0] == '/');
  ENGRAM_CHECK(route.handler != nullptr);
  Node* node = root_.get();
  std::string_view rest = route.pattern;
  while (!rest.empty()) {
    const std::string_view segment = TakeSegment(&rest);
    std::unique_ptr<Node>& next =
        IsParameter(segment) ? node->parameter : node->literals[std::string(segment)];
    if (next == nullptr) next = std::make_unique<Node>();
    node = next.get();
  }
  for (const Route* other : node->routes) ENGRAM_CHECK(other->method != route.method);
  routes_.push_back(std::move(route));
  node->routes.push_back(&routes_.back());
}

namespace {

// Depth first, literals first. Node is Router::Node, which is private.
template <typename Node>
const Node* Walk(const Node* node, std::string_view path) {
  if (path.empty()) return node->routes.empty() ? nullptr : node;
  const std::string_view segment = TakeSegment(&path);
  const auto literal =
      segment.find('%') == std::string_view::npos
          ? node->literals.find(segment)
          : node->literals.find(std::string_view(PercentDecoded(segment, Plus::kLiteral)));
  if (literal != node->literals.end()) {
    if (const Node* found = Walk(literal->second.get(), path)) return found;
  }
  if (node->parameter == nullptr || segment.empty()) return nullptr;
  return Walk(node->parameter.get(), path);
}

}  // namespace

Router::Match Router::Find(Method method, std::string_view raw_path) const {
  Match match;
  if (raw_path.empty() || raw_path[0] != '/') return match;
  const Node* node = Walk(root_.get(), raw_path);
  if (node == nullptr) return match;
  const Method wanted = method == Method::kHead ? Method::kGet : method;
  for (const Route* route : node->routes) {
    if (route->method == method) match.route = route;
    if (route->method == wanted && match.route == nullptr) match.route = route;
  }
  if (match.route != nullptr) {
    TakeParameters(match.route->pattern, raw_path, &match.path_params);
    return match;
  }
  for (const Route* route : node->routes) {
    match.allowed.push_back(route->method);
    if (route->method == Method::kGet) match.allowed.push_back(Method::kHead);
  }
  return match;
}

}  // namespace engram::server
