#include "base/json_text.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace engram {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

void AppendEscaped(unsigned char c, std::string* out) {
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      *out += "\\u00";
      *out += kHexDigits[c >> 4];
      *out += kHexDigits[c & 15];
  }
}

bool NeedsEscape(unsigned char c) { return c < 0x20 || c == '"' || c == '\\'; }

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  size_t start = 0;
  unsigned char seen = 0;
  const size_t begin = out->size();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    seen |= c;
    if (!NeedsEscape(c)) continue;
    out->append(text, start, i - start);
    AppendEscaped(c, out);
    start = i + 1;
  }
  out->append(text, start);
  if (seen >= 0x80 && !IsValidUtf8(text)) {
    out->resize(begin - 1);
    return AppendJsonString(PathText(text), out);
  }
  *out += '"';
}

void AppendJsonFloat(float value, FloatStyle style, std::string* out) {
  if (style == FloatStyle::kExact) {
    const auto bits = std::bit_cast<uint32_t>(value);
    char text[10] = {'"', 0, 0, 0, 0, 0, 0, 0, 0, '"'};
    for (int i = 0; i < 8; ++i) text[1 + i] = kHexDigits[(bits >> (28 - 4 * i)) & 15];
    out->append(text, sizeof text);
    return;
  }
  if (!std::isfinite(value) && style == FloatStyle::kDecimalOrNull) {
    *out += "null";
    return;
  }
  if (!std::isfinite(value)) {
    *out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out->append(text, end);
  // Many readers take "-0" for an integer, and some want to see that "1" is none.
  const std::string_view written(text, static_cast<size_t>(end - text));
  const bool is_whole = written.find_first_of(".e") == std::string_view::npos;
  if ((value == 0 && std::signbit(value)) || (is_whole && style == FloatStyle::kDecimalOrNull)) {
    *out += ".0";
  }
}

void AppendJsonInteger(uint64_t value, std::string* out) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out->append(text, end);
}

std::string* ObjectText::Key(std::string_view key) {
  if (!first_) *out_ += ',';
  first_ = false;
  *out_ += '"';
  *out_ += key;
  *out_ += "\":";
  return out_;
}

}  // namespace engram
