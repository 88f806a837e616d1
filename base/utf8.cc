#include "base/utf8.h"

#include "base/crypto.h"

namespace engram {
namespace {

// Length of the sequence that `lead` opens and the bounds of its second byte; 0 if it opens none.
// Unicode 15, table 3-7.
struct Lead {
  uint8_t length;
  uint8_t second_min;
  uint8_t second_max;
};

Lead LeadOf(uint8_t lead) {
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Every code point with the Unicode property White_Space, as UTF-8: what upstream's trim() drops.
constexpr std::string_view kWhitespace[] = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82",
    "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88",
    "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F",
    "\xE3\x80\x80"};

// One white-space code point off either end; false if there was none.
bool TrimOnce(std::string_view* text) {
  for (std::string_view space : kWhitespace) {
    if (text->starts_with(space)) {
      text->remove_prefix(space.size());
      return true;
    }
    if (text->ends_with(space)) {
      text->remove_suffix(space.size());
      return true;
    }
  }
  return false;
}

}  // namespace

bool IsValidUtf8(Bytes bytes) {
  const uint8_t* p = bytes.data();
  const uint8_t* end = p + bytes.size();
  while (p != end) {
    while (end - p >= 8 && (LoadLe<uint64_t>(p) & 0x8080808080808080u) == 0) p += 8;
    if (p == end) break;
    if (*p < 0x80) {
      ++p;
      continue;
    }
    Lead lead = LeadOf(*p);
    if (lead.length == 0 || end - p < lead.length) return false;
    if (p[1] < lead.second_min || p[1] > lead.second_max) return false;
    for (int i = 2; i < lead.length; ++i) {
      if ((p[i] & 0xC0) != 0x80) return false;
    }
    p += lead.length;
  }
  return true;
}

std::string PathText(std::string_view path) {
  if (IsValidUtf8(path)) return std::string(path);
  std::string text;
  for (char c : path) {
    const bool is_ascii = static_cast<unsigned char>(c) < 0x80;
    text += is_ascii ? std::string(1, c) : "\\x" + ToHex(AsBytes(std::string_view(&c, 1)));
  }
  return text;
}

std::string_view TrimWhitespace(std::string_view text) {
  while (TrimOnce(&text)) {
  }
  return text;
}

}  // namespace engram
