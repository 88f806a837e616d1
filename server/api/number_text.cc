#include "server/api/number_text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>

#include "base/coding.h"

namespace engram::server {
namespace {

constexpr int kDigitsMax = 19;  // that many fit into 64 bits
constexpr int kExponentMax = 9999;

// A number as (-1)^negative * digits * 10^exponent.
struct Decimal {
  bool negative = false;
  bool exact = true;  // false: it may have more digits than fit
  uint64_t digits = 0;
  int exponent = 0;
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Eight at once: each byte is a digit if its upper half is 3 and adding 6 does not carry into it.
bool IsEightDigits(const char* at) {
  const uint64_t bytes = LoadLe<uint64_t>(at);
  constexpr uint64_t kUpper = 0xf0f0f0f0f0f0f0f0, kThrees = 0x3030303030303030;
  return (bytes & kUpper) == kThrees && ((bytes + 0x0606060606060606) & kUpper) == kThrees;
}
// Sums of neighbours: of digits, of pairs, of fours.
uint64_t EightDigits(const char* at) {
  uint64_t digits = LoadLe<uint64_t>(at) & 0x0f0f0f0f0f0f0f0f;
  digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ff;
  digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffff;
  return (digits * 10'000 + (digits >> 32)) & 0xffffffff;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}
  bool done() const { return at_ == end_; }
  const char* at() const { return at_; }
  bool Take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  // How many digits were taken, appended to `digits` (modulo 2^64).
  int TakeDigits(uint64_t* digits) {
    const char* const begin = at_;
    while (end_ - at_ >= 8 && IsEightDigits(at_)) {
      *digits = *digits * 100'000'000 + EightDigits(at_);
      at_ += 8;
    }
    for (; at_ != end_ && IsDigit(*at_); ++at_) {
      *digits = *digits * 10 + static_cast<uint64_t>(*at_ - '0');
    }
    return static_cast<int>(at_ - begin);
  }
  bool TakeExponent(int* out) {
    const bool negative = Take('-');
    if (!negative) Take('+');
    if (at_ == end_ || !IsDigit(*at_)) return false;
    int exponent = 0;
    for (; at_ != end_ && IsDigit(*at_); ++at_) {
      exponent = std::min(kExponentMax, exponent * 10 + (*at_ - '0'));
    }
    *out = negative ? -exponent : exponent;
    return true;
  }
  bool IsAtZero() const { return at_ != end_ && *at_ == '0'; }
  void SkipBlanks() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

 private:
  const char* at_;
  const char* const end_;
};

// One number; what follows it is not looked at.
inline bool Read(Reader& reader, Decimal* out) {
  out->negative = reader.Take('-');
  const bool begins_with_zero = reader.IsAtZero();
  const int whole = reader.TakeDigits(&out->digits);
  if (whole == 0 || (begins_with_zero && whole > 1)) return false;
  int fraction = 0;
  if (reader.Take('.')) {
    fraction = reader.TakeDigits(&out->digits);
    if (fraction == 0) return false;
  }
  out->exponent = -fraction;
  out->exact = whole + fraction - int{begins_with_zero} <= kDigitsMax;
  if (reader.Take('e') || reader.Take('E')) {
    int exponent = 0;
    if (!reader.TakeExponent(&exponent)) return false;
    out->exponent += exponent;
  }
  return true;
}

bool ReadWhole(std::string_view text, Decimal* out) {
  Reader reader(text);
  return Read(reader, out) && reader.done();
}

// digits * 10^exponent, or its quotient, where both factors are exact in `Wide`: one rounding.
template <typename Wide, int kPowersMax>
std::optional<Wide> Scale(const Decimal& decimal) {
  static constexpr auto kPowers = [] {
    std::array<Wide, kPowersMax + 1> powers{1};
    for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
    return powers;
  }();
  constexpr int kBits = std::numeric_limits<Wide>::digits;
  if constexpr (kBits < 64) {
    if (decimal.digits >> kBits != 0) return std::nullopt;
  }
  if (decimal.exponent > kPowersMax || decimal.exponent < -kPowersMax) return std::nullopt;
  const Wide digits = static_cast<Wide>(decimal.digits);
  return decimal.exponent < 0 ? digits / kPowers[static_cast<size_t>(-decimal.exponent)]
                              : digits * kPowers[static_cast<size_t>(decimal.exponent)];
}

// By way of a wider type. Rounding keeps the order, and what lies half way between two floats is a
// double: a double that is not such a point lies on the same side of all of them as the number
// does. That holds for normal floats; nothing else but zero is as small as Scale() can say.
// nullopt: it may be such a point, or too large.
std::optional<float> Nearest(const Decimal& decimal) {
  if (!decimal.exact) return std::nullopt;
  std::optional<double> near = Scale<double, 22>(decimal);
  if constexpr (std::numeric_limits<long double>::digits == 64) {
    if (!near) near = Scale<long double, 27>(decimal);
  }
  if (!near || *near > double{std::numeric_limits<float>::max()}) return std::nullopt;
  constexpr uint64_t kBelow = (uint64_t{1} << 29) - 1;  // the bits that a float does not have
  if ((std::bit_cast<uint64_t>(*near) & kBelow) == (kBelow + 1) / 2) return std::nullopt;
  const float value = static_cast<float>(*near);
  return decimal.negative ? -value : value;
}

// `text` is well-formed.
tl::expected<float, NumberFault> ParseAnyFloat(std::string_view text) {
  float value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc()) return value;
  value = std::strtof(std::string(text).c_str(), nullptr);  // too large, or too small and rounded
  if (std::isinf(value)) return tl::unexpected(NumberFault::kRange);
  return value;
}

}  // namespace

bool IsJsonNumber(std::string_view text) {
  Decimal decimal;
  return ReadWhole(text, &decimal);
}

tl::expected<float, NumberFault> ParseFloat(std::string_view text) {
  Decimal decimal;
  if (!ReadWhole(text, &decimal)) return tl::unexpected(NumberFault::kSyntax);
  if (const auto nearest = Nearest(decimal)) return *nearest;
  return ParseAnyFloat(text);
}

bool ParseFloatArray(std::string_view text, std::vector<float>* out) {
  Reader reader(text);
  reader.SkipBlanks();
  if (!reader.Take('[')) return false;
  reader.SkipBlanks();
  bool more = !reader.Take(']');
  while (more) {
    const char* const begin = reader.at();
    Decimal decimal;
    if (!Read(reader, &decimal)) return false;
    if (const auto nearest = Nearest(decimal)) {
      out->push_back(*nearest);
    } else {
      const auto value = ParseAnyFloat({begin, static_cast<size_t>(reader.at() - begin)});
      if (!value) return false;
      out->push_back(*value);
    }
    reader.SkipBlanks();
    more = reader.Take(',');
    if (!more && !reader.Take(']')) return false;
    reader.SkipBlanks();
  }
  reader.SkipBlanks();
  return reader.done();
}

}  // namespace engram::server
