#include "server/http/url.h"

#include "base/ascii.h"

namespace engram::server {

std::string PercentDecoded(std::string_view text, Plus plus) {
  const char* special = plus == Plus::kSpace ? "%+" : "%";
  if (text.find_first_of(special) == std::string_view::npos) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::kSpace) {
      out += ' ';
      continue;
    }
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(LowerAscii(text[i + 1]));
      const int low = HexDigit(LowerAscii(text[i + 2]));
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

bool ParseQuery(std::string_view raw_query,
                std::vector<std::pair<std::string, std::string>>* parameters) {
  while (!raw_query.empty()) {
    const size_t end = raw_query.find('&');
    const std::string_view pair = raw_query.substr(0, end);
    raw_query = end == std::string_view::npos ? std::string_view() : raw_query.substr(end + 1);
    if (pair.empty()) continue;
    if (parameters->size() == kQueryParametersMax) return false;
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    parameters->emplace_back(PercentDecoded(pair.substr(0, equals), Plus::kSpace),
                             PercentDecoded(value, Plus::kSpace));
  }
  return true;
}

TargetParts SplitTarget(std::string_view target) {
  const size_t scheme = target.find("://");
  if (scheme != std::string_view::npos && target[0] != '/' && scheme < target.find_first_of("/?")) {
    const std::string_view rest = target.substr(scheme + 3);
    const size_t path = rest.find_first_of("/?");
    target = path == std::string_view::npos || rest[path] == '?' ? "/" : rest.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  TargetParts parts;
  parts.path = target.substr(0, question);
  if (question != std::string_view::npos) parts.query = target.substr(question + 1);
  if (parts.path != "*" && (parts.path.empty() || parts.path[0] != '/')) parts.path = {};
  return parts;
}

}  // namespace engram::server
