// Percent-encoding and the query of a request target.
#ifndef ENGRAM_SERVER_HTTP_URL_H_
#define ENGRAM_SERVER_HTTP_URL_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace engram::server {

inline constexpr size_t kQueryParametersMax = 1000;

enum class Plus { kLiteral, kSpace };  // in a path, in a query

// Escapes that are none ("%zz") stay as they are.
std::string PercentDecoded(std::string_view text, Plus plus);

// "a=1&b=%20&c" in order; empty pairs are left out. False: more than kQueryParametersMax.
bool ParseQuery(std::string_view raw_query,
                std::vector<std::pair<std::string, std::string>>* parameters);

// The path and the query of a request target, both raw. An absolute target ("http://host/path")
// loses its scheme and host. An empty path: the target is neither a path, nor absolute, nor "*".
struct TargetParts {
  std::string_view path;
  std::string_view query;
};
TargetParts SplitTarget(std::string_view target);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_URL_H_
