// Comparisons of protocol text: ASCII only, whatever the locale.
#ifndef ENGRAM_SERVER_HTTP_ASCII_H_
#define ENGRAM_SERVER_HTTP_ASCII_H_

#include <cstddef>
#include <string_view>

namespace engram::server {

inline char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

inline bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (LowerAscii(a[i]) != LowerAscii(b[i])) return false;
  }
  return true;
}

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ASCII_H_
