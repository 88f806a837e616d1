// Times as text: upstream's writer grammar, without locale, time zone data or allocation.
#include <cstring>

#include "engine/record.h"

namespace engram::engine {
namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr uint32_t kNanosPerSecond = 1000000000;
constexpr size_t kYearDigitsMax = 6;  // upstream's calendar ends within +-262144

struct CivilDate {
  int64_t year = 0;
  uint32_t month = 1;
  uint32_t day = 1;
};

// Days since 1970-01-01 in the proleptic Gregorian calendar. Years start in March inside, so that
// the leap day is the last of its year.
int64_t DaysFromCivil(const CivilDate& date) {
  const int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<uint32_t>(year - era * 400);
  const uint32_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
  const uint32_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
  const uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}

CivilDate CivilFromDays(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<uint32_t>(days - era * 146097);
  const uint32_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint32_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t month_from_march = (5 * day_of_year + 2) / 153;
  CivilDate date;
  date.day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  date.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  date.year = static_cast<int64_t>(year_of_era) + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

uint32_t DaysInMonth(const CivilDate& date) {
  static constexpr uint8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
  return date.month == 2 && leap ? 29 : kDays[date.month - 1];
}

char* WriteDigits(uint64_t value, int count, char* out) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return out + count;
}

char* WriteTwoDigits(uint32_t value, char* out) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
  return out + 2;
}

char* WriteYear(int64_t year, char* out) {
  if (year >= 0 && year <= 9999) {
    const auto value = static_cast<uint32_t>(year);
    return WriteTwoDigits(value % 100, WriteTwoDigits(value / 100, out));
  }
  *out++ = year < 0 ? '-' : '+';
  const uint64_t magnitude = year < 0 ? static_cast<uint64_t>(-year) : static_cast<uint64_t>(year);
  int digits = 4;
  for (uint64_t rest = magnitude / 10000; rest != 0; rest /= 10) ++digits;
  return WriteDigits(magnitude, digits, out);
}

char* WriteFraction(uint32_t nanos, char* out) {
  if (nanos == 0) return out;
  *out++ = '.';
  const uint32_t millis = nanos / 1000000;
  const uint32_t below_millis = nanos % 1000000;
  out = WriteDigits(millis, 3, out);
  if (below_millis == 0) return out;
  out = WriteDigits(below_millis / 1000, 3, out);
  if (below_millis % 1000 == 0) return out;
  return WriteDigits(below_millis % 1000, 3, out);
}

// Reads forward over a text; after the first mismatch every call fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool Literal(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `count` decimal digits.
  bool Digits(size_t count, uint32_t* out) {
    if (rest_.size() < count) return false;
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto digit = static_cast<uint32_t>(rest_[i]) - '0';
      if (digit > 9) return false;
      value = value * 10 + digit;
    }
    rest_.remove_prefix(count);
    *out = value;
    return true;
  }
  size_t DigitRun() const {
    size_t count = 0;
    while (count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9') ++count;
    return count;
  }
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool ScanYear(Scanner* scan, int64_t* year) {
  const bool plus = scan->Literal('+');
  const bool minus = !plus && scan->Literal('-');
  const size_t digits = scan->DigitRun();
  uint32_t magnitude = 0;
  if (digits < 4 || digits > kYearDigitsMax || !scan->Digits(digits, &magnitude)) return false;
  *year = minus ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  // The writer pads to four digits and signs only what is outside 0-9999.
  static constexpr uint32_t kSmallest[] = {0, 10000, 100000};
  if (magnitude < kSmallest[digits - 4]) return false;
  if (plus) return digits > 4;
  return minus ? magnitude > 0 : digits == 4;
}

bool ScanDate(Scanner* scan, CivilDate* date) {
  return ScanYear(scan, &date->year) && scan->Literal('-') && scan->Digits(2, &date->month) &&
         scan->Literal('-') && scan->Digits(2, &date->day) && date->month >= 1 &&
         date->month <= 12 && date->day >= 1 && date->day <= DaysInMonth(*date);
}

// The writer uses the shortest of 0, 3, 6 and 9 digits that is exact.
bool ScanFraction(Scanner* scan, uint32_t* nanos) {
  *nanos = 0;
  if (!scan->Literal('.')) return true;
  const size_t digits = scan->DigitRun();
  if (digits != 3 && digits != 6 && digits != 9) return false;
  uint32_t value = 0;
  if (!scan->Digits(digits, &value)) return false;
  const bool shortest = digits == 3 ? value != 0 : value % 1000 != 0;
  *nanos = digits == 3 ? value * 1000000 : digits == 6 ? value * 1000 : value;
  return shortest;
}

bool ScanTime(std::string_view text, Timestamp* out) {
  Scanner scan(text);
  CivilDate date;
  uint32_t hour = 0, minute = 0, second = 0, nanos = 0;
  const bool shape = ScanDate(&scan, &date) && scan.Literal('T') && scan.Digits(2, &hour) &&
                     scan.Literal(':') && scan.Digits(2, &minute) && scan.Literal(':') &&
                     scan.Digits(2, &second) && ScanFraction(&scan, &nanos) && scan.Literal('Z');
  if (!shape || !scan.AtEnd() || hour > 23 || minute > 59 || second > 60) return false;
  if (second == 60) {  // a leap second: the second before it, with nanos beyond a second
    second = 59;
    nanos += kNanosPerSecond;
  }
  out->seconds = DaysFromCivil(date) * kSecondsPerDay + hour * 3600 + minute * 60 + second;
  out->nanos = nanos;
  return true;
}

}  // namespace

size_t WriteTimestamp(const Timestamp& time, char* out) {
  int64_t days = time.seconds / kSecondsPerDay;
  int64_t second_of_day = time.seconds % kSecondsPerDay;
  if (second_of_day < 0) {
    second_of_day += kSecondsPerDay;
    --days;
  }
  const auto rest = static_cast<uint32_t>(second_of_day);
  const uint32_t leap = time.nanos >= kNanosPerSecond ? 1 : 0;
  const CivilDate date = CivilFromDays(days);
  char* p = WriteYear(date.year, out);
  *p++ = '-';
  p = WriteTwoDigits(date.month, p);
  *p++ = '-';
  p = WriteTwoDigits(date.day, p);
  *p++ = 'T';
  p = WriteTwoDigits(rest / 3600, p);
  *p++ = ':';
  p = WriteTwoDigits(rest / 60 % 60, p);
  *p++ = ':';
  p = WriteTwoDigits(rest % 60 + leap, p);
  p = WriteFraction(time.nanos % kNanosPerSecond, p);
  *p++ = 'Z';
  return static_cast<size_t>(p - out);
}

void AppendTimestamp(const Timestamp& time, std::string* out) {
  char buffer[kTimestampSizeBytesMax];
  out->append(buffer, WriteTimestamp(time, buffer));
}

std::string FormatTimestamp(const Timestamp& time) {
  std::string text;
  AppendTimestamp(time, &text);
  return text;
}

Result<Timestamp> ParseTimestamp(std::string_view text) {
  Timestamp time;
  if (!ScanTime(text, &time)) {
    return Status::InvalidArgument(
        "a text of " + std::to_string(text.size()) + " bytes is not a time",
        "write times as YYYY-MM-DDTHH:MM:SS[.fff|.ffffff|.fffffffff]Z with the shortest fraction");
  }
  return time;
}

}  // namespace engram::engine
