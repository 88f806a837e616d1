#include "server/api/refusal.h"

#include "base/utf8.h"

namespace engram::server {

std::string Shown(std::string_view text) {
  constexpr size_t kSizeBytesMax = 100;
  std::string shown(text.substr(0, kSizeBytesMax));
  if (text.size() > kSizeBytesMax) {
    while (!shown.empty() && (static_cast<uint8_t>(text[shown.size()]) & 0xC0) == 0x80) {
      shown.pop_back();
    }
    shown += "...";
  }
  if (IsValidUtf8(shown)) return shown;
  for (char& c : shown) {
    if (static_cast<uint8_t>(c) >= 0x80) c = '?';
  }
  return shown;
}

}  // namespace engram::server
