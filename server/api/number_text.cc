#include "server/api/number_text.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/coding.h"

namespace engram::server {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

const char* SkipDigits(const char* at, const char* end) {
  while (at != end && IsDigit(*at)) ++at;
  return at;
}
const char* SkipBlanks(const char* at, const char* end) {
  while (at != end && IsBlank(*at)) ++at;
  return at;
}

// The end of the number that `at` begins with, null if JSON knows none there.
const char* NumberEnd(const char* at, const char* end) {
  if (at != end && *at == '-') ++at;
  const char* const whole = at;
  at = SkipDigits(at, end);
  if (at == whole || (*whole == '0' && at - whole > 1)) return nullptr;
  if (at != end && *at == '.') {
    const char* const fraction = ++at;
    at = SkipDigits(at, end);
    if (at == fraction) return nullptr;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '-' || *at == '+')) ++at;
    const char* const exponent = at;
    at = SkipDigits(at, end);
    if (at == exponent) return nullptr;
  }
  return at;
}

// `text` is a JSON number.
tl::expected<float, NumberFault> ParseAnyFloat(std::string_view text) {
  float value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc()) return value;
  value = std::strtof(std::string(text).c_str(), nullptr);  // too large, or too small and rounded
  if (std::isinf(value)) return tl::unexpected(NumberFault::kRange);
  return value;
}

// The digits that eight bytes begin with.
struct Digits {
  uint64_t value;
  unsigned count;
};
Digits LeadingDigits(const char* at) {
  const uint64_t bytes = LoadLe<uint64_t>(at) ^ 0x3030303030303030;  // a digit is 0 to 9 now
  const uint64_t others = ((bytes + 0x7676767676767676) | bytes) & 0x8080808080808080;
  const unsigned bits = others == 0 ? 64 : static_cast<unsigned>(std::countr_zero(others)) & ~7u;
  // Moved to the upper end, with zeros before them; then sums of neighbours, pairs, fours.
  uint64_t digits = bits == 0 ? 0 : bytes << (64 - bits);
  digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ff;
  digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffff;
  return {(digits * 10'000 + (digits >> 32)) & 0xffffffff, bits / 8};
}

// A number as embeddings mostly have them, one digit before the point and at most 15 behind it, in
// few steps that do not depend on how many. nullopt: it is another one, or needs more care.
//
// The quotient of two exact doubles is rounded once. Rounding keeps the order, and what lies half
// way between two floats is a double: a double that is not such a point lies on the same side of
// all of them as the number does.
std::optional<float> TakeShortFraction(const char** at, const char* end) {
  static constexpr double kPowers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  static constexpr uint64_t kPowersOfSecond[] = {1,       10,        100,        1'000,      10'000,
                                                 100'000, 1'000'000, 10'000'000, 100'000'000};
  constexpr ptrdiff_t kSizeMax = 1 + 2 + 16;  // sign, digit, point, and what is loaded behind it
  if (end - *at < kSizeMax + 1) return std::nullopt;
  const bool negative = **at == '-';
  const char* const whole = *at + negative;
  if (!IsDigit(whole[0]) || whole[1] != '.') return std::nullopt;
  const Digits first = LeadingDigits(whole + 2);
  Digits second = LeadingDigits(whole + 10);
  if (first.count < 8) second = {};
  const unsigned count = first.count + second.count;
  const char* const next = whole + 2 + count;
  if (count == 0 || count > 15 || *next == 'e' || *next == 'E') return std::nullopt;
  const uint64_t fraction = first.value * kPowersOfSecond[second.count] + second.value;
  const uint64_t digits =
      static_cast<uint64_t>(whole[0] - '0') * static_cast<uint64_t>(kPowers[count]) + fraction;
  if (digits >> 53 != 0) return std::nullopt;
  const double near = static_cast<double>(digits) / kPowers[count];
  constexpr uint64_t kBelow = (uint64_t{1} << 29) - 1;  // the bits that a float does not have
  if ((std::bit_cast<uint64_t>(near) & kBelow) == (kBelow + 1) / 2) return std::nullopt;
  *at = next;
  const float value = static_cast<float>(near);
  return negative ? -value : value;
}

}  // namespace

bool IsJsonNumber(std::string_view text) {
  const char* const end = text.data() + text.size();
  return NumberEnd(text.data(), end) == end;
}

tl::expected<float, NumberFault> ParseFloat(std::string_view text) {
  if (!IsJsonNumber(text)) return tl::unexpected(NumberFault::kSyntax);
  return ParseAnyFloat(text);
}

bool ParseFloatArray(std::string_view text, std::vector<float>* out) {
  const char* const end = text.data() + text.size();
  const char* at = SkipBlanks(text.data(), end);
  if (at == end || *at++ != '[') return false;
  at = SkipBlanks(at, end);
  bool more = at == end || *at != ']';
  if (!more) ++at;
  while (more) {
    if (const auto value = TakeShortFraction(&at, end)) {
      out->push_back(*value);
    } else {
      const char* const number_end = NumberEnd(at, end);
      if (number_end == nullptr) return false;
      const auto parsed = ParseAnyFloat({at, static_cast<size_t>(number_end - at)});
      if (!parsed) return false;
      out->push_back(*parsed);
      at = number_end;
    }
    at = SkipBlanks(at, end);
    if (at == end) return false;
    more = *at == ',';
    if (!more && *at != ']') return false;
    at = SkipBlanks(at + 1, end);
  }
  return SkipBlanks(at, end) == end;
}

}  // namespace engram::server
