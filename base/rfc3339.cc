#include "base/rfc3339.h"

#include <cstdio>
#include <ctime>

namespace engram {
namespace {

constexpr uint32_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
constexpr int64_t kFirstSecond = -62'167'219'200;  // 0000-01-01T00:00:00Z
constexpr int64_t kLastSecond = 253'402'300'799;   // 9999-12-31T23:59:59Z

// Reads a text from its front.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool AtEnd() const { return rest_.empty(); }
  // The next character, if it is one of `any`; else 0.
  char Take(std::string_view any) {
    if (rest_.empty() || any.find(rest_.front()) == std::string_view::npos) return 0;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  // Exactly `digits` digits, or -1.
  int Number(int digits) {
    int value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = Take("0123456789");
      if (c == 0) return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  }

 private:
  std::string_view rest_;
};

bool IsLeapYear(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int DaysOf(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeapYear(year) ? 29 : kDays[month - 1];
}

// Days from the first of January of year -400 to that of `year`.
constexpr int64_t DaysBefore(int64_t year) {
  const int64_t before = year + 400 - 1;
  return before * 365 + before / 4 - before / 100 + before / 400;
}

// Days since 1970-01-01 of a date of the Gregorian calendar.
int64_t DayNumber(int year, int month, int day) {
  int64_t days = DaysBefore(year) - DaysBefore(1970) + day - 1;
  for (int m = 1; m < month; ++m) days += DaysOf(year, m);
  return days;
}

bool ReadFraction(Reader* in, uint32_t* nanos) {
  uint32_t scale = kNanosPerSecond / 10;
  bool any = false;
  while (const char c = in->Take("0123456789")) {
    *nanos += static_cast<uint32_t>(c - '0') * scale;
    scale /= 10;
    any = true;
  }
  return any;
}

// Seconds east of UTC.
std::optional<int64_t> ReadOffset(Reader* in) {
  if (in->Take("Zz") != 0) return 0;
  const char sign = in->Take("+-");
  const int hours = in->Number(2);
  if (sign == 0 || hours < 0 || hours > 23 || in->Take(":") == 0) return std::nullopt;
  const int minutes = in->Number(2);
  if (minutes < 0 || minutes > 59) return std::nullopt;
  const int64_t seconds = hours * 3600 + minutes * 60;
  return sign == '-' ? -seconds : seconds;
}

}  // namespace

std::optional<TimePoint> ParseTime(std::string_view text) {
  Reader in(text);
  const int year = in.Number(4);
  if (year < 0 || in.Take("-") == 0) return std::nullopt;
  const int month = in.Number(2);
  if (month < 1 || month > 12 || in.Take("-") == 0) return std::nullopt;
  const int day = in.Number(2);
  if (day < 1 || day > DaysOf(year, month) || in.Take("Tt ") == 0) return std::nullopt;
  const int hour = in.Number(2);
  if (hour < 0 || hour > 23 || in.Take(":") == 0) return std::nullopt;
  const int minute = in.Number(2);
  if (minute < 0 || minute > 59 || in.Take(":") == 0) return std::nullopt;
  const int second = in.Number(2);
  if (second < 0 || second > 60) return std::nullopt;
  TimePoint out;
  if (in.Take(".") != 0 && !ReadFraction(&in, &out.nanos)) return std::nullopt;
  if (second == 60) out.nanos += kNanosPerSecond;
  const auto offset = ReadOffset(&in);
  if (!offset || !in.AtEnd()) return std::nullopt;
  out.unix_seconds = DayNumber(year, month, day) * kSecondsPerDay + hour * 3600 + minute * 60 +
                     (second == 60 ? 59 : second) - *offset;
  if (out.unix_seconds < kFirstSecond || out.unix_seconds > kLastSecond) return std::nullopt;
  return out;
}

std::string FormatTime(int64_t unix_seconds, uint32_t nanos) {
  const auto time = static_cast<time_t>(unix_seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  if (nanos >= kNanosPerSecond) {
    nanos -= kNanosPerSecond;
    parts.tm_sec += 1;
  }
  char text[80];
  const int size =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900,
                    parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  std::string out(text, static_cast<size_t>(size));
  if (nanos != 0) {
    std::snprintf(text, sizeof text, ".%09u", nanos);
    out.append(text, nanos % 1'000'000 == 0 ? 4 : nanos % 1000 == 0 ? 7 : 10);
  }
  return out + "Z";
}

}  // namespace engram
