// Times as RFC 3339 text, in the form upstream writes: UTC, `Z`, and 0, 3, 6 or 9 fraction digits.
#ifndef ENGRAM_BASE_RFC3339_H_
#define ENGRAM_BASE_RFC3339_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace engram {

// Years 0-9999. Nanoseconds of 10^9 and above are a leap second.
struct TimePoint {
  int64_t unix_seconds = 0;
  uint32_t nanos = 0;
  auto operator<=>(const TimePoint&) const = default;
};

std::string FormatTime(int64_t unix_seconds, uint32_t nanos);

// Any offset and any number of fraction digits (what is finer than a nanosecond is cut off);
// nullopt if `text` is no RFC 3339 time or lies outside the years 0-9999.
std::optional<TimePoint> ParseTime(std::string_view text);

}  // namespace engram

#endif  // ENGRAM_BASE_RFC3339_H_
