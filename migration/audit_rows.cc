#include "migration/audit_rows.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "base/crc32c.h"

namespace engram::migration {
namespace {

constexpr size_t kCrcSizeBytes = 4;
constexpr size_t kOldHeadSize = 200;
constexpr size_t kDualHeadSize = 208;
constexpr size_t kExtensionSize = 40;
constexpr size_t kEmbeddingRowSize = 3084;
constexpr uint32_t kNanosEnd = 2000000000;  // leap seconds count on
constexpr std::string_view kLayouts[] = {"", "E0", "E1", "E2", "E3", "M"};

std::string Hex32(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

std::string CheckCrc(Bytes key, Bytes value) {
  if (value.size() < kCrcSizeBytes) {
    return "size " + std::to_string(value.size()) + ", expected at least 4";
  }
  const Bytes body = value.first(value.size() - kCrcSizeBytes);
  const uint32_t stored = LoadLe<uint32_t>(value.data() + body.size());
  const uint32_t actual = Crc32cExtend(Crc32c(key), body);
  if (stored == actual) return "";
  return "checksum expected " + Hex32(stored) + ", actual " + Hex32(actual);
}

// Size, checksum, version 1 and kind of a fixed-size row.
std::string CheckFixed(Bytes key, Bytes value, size_t size, uint8_t kind) {
  if (value.size() != size) {
    return "size " + std::to_string(value.size()) + ", expected " + std::to_string(size);
  }
  std::string damage = CheckCrc(key, value);
  if (!damage.empty()) return damage;
  if (value[0] != 1) return "version " + std::to_string(value[0]) + ", expected 1";
  if (value[1] != kind) {
    return "kind " + std::to_string(value[1]) + ", expected " + std::to_string(kind);
  }
  return "";
}

// Fields of a row at fixed offsets, with its presence bits.
class Fields {
 public:
  Fields(Bytes row, uint32_t present) : row_(row), present_(present) {}
  template <typename T>
  T At(size_t offset) const {
    return LoadLe<T>(row_.data() + offset);
  }
  // An absent field must be zero: else the row says something that nothing reads.
  template <typename T>
  std::optional<T> Maybe(uint32_t bit, size_t offset) {
    known_ |= bit;
    if ((present_ & bit) != 0) return At<T>(offset);
    stray_ = stray_ || At<T>(offset) != 0;
    return std::nullopt;
  }
  std::optional<AuditStamp> Time(uint32_t bit, size_t seconds, size_t nanos) {
    known_ |= bit;
    const auto s = At<int64_t>(seconds);
    const auto ns = At<uint32_t>(nanos);
    if ((present_ & bit) != 0) {
      stray_ = stray_ || ns >= kNanosEnd;
      return AuditStamp{s, ns};
    }
    stray_ = stray_ || s != 0 || ns != 0;
    return std::nullopt;
  }
  std::optional<AuditDecay> Decay(uint32_t bit, const AuditDecay& stored) {
    known_ |= bit;
    if ((present_ & bit) == 0) {
      stray_ =
          stray_ || stored.kind != 0 || stored.a_bits != 0 || stored.b_bits != 0 || stored.n != 0;
      return std::nullopt;
    }
    // What the kind does not use stays zero.
    stray_ = stray_ || stored.kind > 3 || (stored.kind == 2 && stored.a_bits != 0) ||
             (stored.kind != 3 && stored.b_bits != 0) || (stored.kind < 2 && stored.n != 0);
    return stored;
  }
  // Once every field was asked for.
  std::string Stray() const {
    if (!stray_ && (present_ & ~known_) == 0) return "";
    return "a field is out of range, or absent and not zero";
  }
  template <size_t N>
  std::array<uint8_t, N> Array(size_t offset) const {
    std::array<uint8_t, N> out;
    std::memcpy(out.data(), row_.data() + offset, N);
    return out;
  }

 private:
  Bytes row_;
  uint32_t present_;
  uint32_t known_ = 0;
  bool stray_ = false;
};

std::string CommonOf(const Fields& row, uint8_t tier, uint8_t layout, AuditHead* out) {
  if (tier < 1 || tier > 3) return "tier " + std::to_string(tier) + ", expected 1 to 3";
  if (layout >= std::size(kLayouts)) return "layout " + std::to_string(layout);
  out->tier = tier - 1;
  out->layout = kLayouts[layout];
  out->seq = row.At<uint64_t>(8);
  out->vector_key = row.At<uint64_t>(16);
  out->digest = row.Array<32>(24);
  return "";
}

// Reads the text row's strings, counts and maps; bounded by the row.
class TextCursor {
 public:
  explicit TextCursor(Bytes bytes) : reader_(bytes) {}
  bool ok() const { return ok_ && reader_.ok(); }
  bool AtEnd() const { return ok() && reader_.remaining() == 0; }
  template <typename T>
  T Number() {
    T value{};
    reader_.ReadLe(&value);
    return value;
  }
  std::string_view String() {
    Bytes bytes;
    reader_.ReadBytes(Number<uint32_t>(), &bytes);
    return AsView(bytes);
  }
  uint32_t Count(uint32_t least) {
    const uint32_t count = Number<uint32_t>();
    if (count > reader_.remaining() / least) ok_ = false;
    return ok() ? count : 0;
  }
  void Map(AuditMap* out) {
    out->clear();
    for (uint32_t left = Count(8); left > 0 && ok(); --left) {
      const std::string_view key = String();
      out->emplace_back(key, String());
    }
  }

 private:
  ByteReader reader_;
  bool ok_ = true;
};

void ReadProvenance(TextCursor& in, uint8_t flags, AuditRecord* out) {
  AuditProvenance& p = out->provenance;
  p.model_name = in.String();
  p.model_version = in.String();
  p.dimension = in.Number<uint64_t>();
  p.language.reset();
  if ((flags & 16) != 0) p.language = in.String();
  p.created_at_s = in.Number<uint64_t>();
  p.quality_bits.reset();
  if ((flags & 32) != 0) p.quality_bits = in.Number<uint32_t>();
  in.Map(&p.metadata);
}

// Counts whole 400-year cycles, then years, then months.
struct Date {
  int64_t year = 0;
  int month = 0;
  int day = 0;
};
bool Leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }
Date DateOf(int64_t days_since_epoch) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  constexpr int64_t kCycleDays = 146097;
  const int64_t days = days_since_epoch - 10957;  // since 2000-01-01
  int64_t cycle = days / kCycleDays;
  int64_t rest = days % kCycleDays;
  if (rest < 0) {
    rest += kCycleDays;
    --cycle;
  }
  // Years surely over (none has more than 366 days), with the leap days among them: a cycle begins
  // with a leap year, and its years 100, 200 and 300 are none.
  const int64_t years = rest / 366;
  rest -= 365 * years + (years + 3) / 4 - (years + 99) / 100 + (years > 0 ? 1 : 0);
  Date date;
  date.year = 2000 + cycle * 400 + years;
  for (;;) {
    const int64_t length = Leap(date.year) ? 366 : 365;
    if (rest < length) break;
    rest -= length;
    ++date.year;
  }
  for (date.month = 1;; ++date.month) {
    const int length = kDays[date.month - 1] + (date.month == 2 && Leap(date.year) ? 1 : 0);
    if (rest < length) break;
    rest -= length;
  }
  date.day = static_cast<int>(rest) + 1;
  return date;
}

// At least `width` digits.
char* PutNumber(uint64_t value, int width, char* out) {
  char reversed[20];
  int size = 0;
  for (; value != 0 || size < width; value /= 10) {
    reversed[size++] = static_cast<char>('0' + value % 10);
  }
  while (size > 0) *out++ = reversed[--size];
  return out;
}

char* PutTwo(char before, int value, char* out) {
  *out++ = before;
  return PutNumber(static_cast<uint64_t>(value), 2, out);
}

// Signed outside 0-9999.
char* PutYear(int64_t year, char* out) {
  if (year < 0) *out++ = '-';
  if (year > 9999) *out++ = '+';
  return PutNumber(static_cast<uint64_t>(year < 0 ? -year : year), 4, out);
}

bool LooksLikeUuid(std::string_view id) {
  if (id.size() != 36) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f');
    if (hyphen ? id[i] != '-' : !hex) return false;
  }
  return id[14] != '8';
}

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

std::string ReadOldHead(Bytes key, Bytes value, AuditHead* out) {
  std::string damage = CheckFixed(key, value, kOldHeadSize, 1);
  if (!damage.empty()) return damage;
  Fields row(value, LoadLe<uint32_t>(value.data() + 4));
  damage = CommonOf(row, value[2], value[3], out);
  out->origin = row.At<uint32_t>(56);
  out->activation_bits = row.At<uint32_t>(60);
  out->encoding_bits = row.At<uint32_t>(64);
  out->vividness_bits = row.Maybe<uint32_t>(16, 68);
  out->reliability_bits = row.Maybe<uint32_t>(32, 72);
  out->decay_rate_bits = row.At<uint32_t>(76);
  out->when = row.Time(1, 80, 112);
  out->last_recall = row.Time(2, 88, 116);
  out->last_access = row.Time(4, 96, 120);
  out->created_at = row.Time(8, 104, 124);
  out->access_count = row.Maybe<uint64_t>(128, 128);
  out->recall_count = row.Maybe<uint32_t>(64, 136);
  out->decay = row.Decay(256, {row.At<uint32_t>(140), row.At<uint32_t>(144), row.At<uint32_t>(148),
                               row.At<uint64_t>(152)});
  out->embedding_sha256 = row.Array<32>(160);
  if (damage.empty() && row.At<uint32_t>(192) != 0) return "the reserved bytes are not zero";
  return damage.empty() ? row.Stray() : damage;
}

std::string ReadDualHead(Bytes key, Bytes value, AuditHead* out) {
  std::string damage = CheckFixed(key, value, kDualHeadSize, 2);
  if (!damage.empty()) return damage;
  Fields node(value, value[3]);
  Fields rest(value, value[136]);
  damage = CommonOf(node, value[2], value[137], out);
  out->origin = node.At<uint32_t>(4);
  out->uuid = node.Array<16>(56);
  out->embedding_sha256 = node.Array<32>(72);
  out->activation_bits = node.At<uint32_t>(104);
  out->encoding_bits = node.At<uint32_t>(108);
  out->last_access = node.Time(1, 112, 128);
  out->created_at = node.Time(2, 120, 132);
  out->decay_rate_bits = rest.At<uint32_t>(140);
  out->when = rest.Time(1, 144, 160);
  out->last_recall = rest.Time(2, 152, 164);
  out->vividness_bits = rest.Maybe<uint32_t>(4, 168);
  out->reliability_bits = rest.Maybe<uint32_t>(8, 172);
  out->access_count = rest.Maybe<uint64_t>(32, 176);
  out->recall_count = rest.Maybe<uint32_t>(16, 200);
  out->decay = rest.Decay(
      64, {value[138], rest.At<uint32_t>(192), rest.At<uint32_t>(196), rest.At<uint64_t>(184)});
  if (damage.empty() && value[139] != 0) return "the reserved byte is not zero";
  return damage.empty() ? node.Stray() + rest.Stray() : damage;
}

std::string ReadExtension(Bytes key, Bytes value, AuditExtension* out) {
  const std::string damage = CheckFixed(key, value, kExtensionSize, 3);
  if (!damage.empty()) return damage;
  Fields row(value, value[3]);
  out->node_type = value[2];
  if (out->node_type != 1 && out->node_type != 2) {
    return "type " + std::to_string(out->node_type) + ", expected 1 or 2";
  }
  out->strength_bits = row.Maybe<uint32_t>(1, 4);
  out->consolidation_bits = row.Maybe<uint32_t>(2, 8);
  out->coherence_bits = row.At<uint32_t>(12);
  out->instance_count = row.At<uint32_t>(16);
  const auto formation_ns = row.At<uint32_t>(20);
  if (formation_ns >= kNanosEnd) return "the nanoseconds are out of range";
  out->formation_time = AuditTimeOf(row.At<int64_t>(24), formation_ns);
  return row.At<uint32_t>(32) == 0 ? row.Stray() : "the reserved bytes are not zero";
}

std::string ReadText(Bytes key, Bytes value, AuditRecord* out) {
  std::string damage = CheckCrc(key, value);
  if (!damage.empty()) return damage;
  TextCursor in(value.first(value.size() - kCrcSizeBytes));
  const auto version = in.Number<uint8_t>();
  const auto flags = in.Number<uint8_t>();
  if (version != 1) return "version " + std::to_string(version) + ", expected 1";
  // Bits 4 and 5 are parts of the provenance, bit 3; there are no others.
  if (flags > 63 || ((flags & 48) != 0 && (flags & 8) == 0)) {
    return "flags " + std::to_string(flags) + ", expected known ones";
  }
  out->id = in.String();
  out->content.reset();
  if ((flags & 1) != 0) out->content = in.String();
  out->where.reset();
  if ((flags & 2) != 0) out->where = in.String();
  out->who.clear();
  out->has_who = (flags & 4) != 0;
  if (out->has_who) {
    for (uint32_t left = in.Count(4); left > 0 && in.ok(); --left) out->who.push_back(in.String());
  }
  out->has_provenance = (flags & 8) != 0;
  if (out->has_provenance) ReadProvenance(in, flags, out);
  in.Map(&out->metadata);
  return in.AtEnd() ? "" : "the text row does not parse to its end";
}

std::string ReadEmbeddingRow(Bytes key, Bytes value, uint64_t* owner, Bytes* floats) {
  if (value.size() != kEmbeddingRowSize) {
    return "size " + std::to_string(value.size()) + ", expected " +
           std::to_string(kEmbeddingRowSize);
  }
  std::string damage = CheckCrc(key, value);
  *owner = LoadLe<uint64_t>(value.data());
  *floats = value.subspan(8, 3072);
  return damage;
}

std::string ReadSmall(Bytes key, Bytes value, Bytes* out) {
  std::string damage = CheckCrc(key, value);
  if (damage.empty()) *out = value.first(value.size() - kCrcSizeBytes);
  return damage;
}

bool SaysTheSame(const AuditHead& a, const AuditHead& b) {
  const auto scalars = [](const AuditHead& h) {
    return std::tie(h.vector_key, h.digest, h.embedding_sha256, h.tier, h.origin, h.activation_bits,
                    h.encoding_bits, h.vividness_bits, h.reliability_bits, h.decay_rate_bits,
                    h.when, h.last_recall, h.recall_count, h.last_access, h.access_count,
                    h.created_at, h.layout);
  };
  const auto decay = [](const AuditHead& h) {
    const AuditDecay d = h.decay.value_or(AuditDecay{});
    return std::make_tuple(h.decay.has_value(), d.kind, d.a_bits, d.b_bits, d.n);
  };
  return scalars(a) == scalars(b) && decay(a) == decay(b);
}

void ApplyHead(const AuditHead& head, AuditRecord* record) {
  const auto text = [](const std::optional<AuditStamp>& stamp, std::optional<AuditTime>* out) {
    out->reset();
    if (stamp.has_value()) *out = AuditTimeOf(stamp->seconds, stamp->nanos);
  };
  record->activation_bits = head.activation_bits;
  record->encoding_bits = head.encoding_bits;
  record->vividness_bits = head.vividness_bits;
  record->reliability_bits = head.reliability_bits;
  record->decay_rate_bits = head.decay_rate_bits;
  record->decay = head.decay;
  text(head.when, &record->when);
  text(head.last_recall, &record->last_recall);
  record->recall_count = head.recall_count;
  text(head.last_access, &record->last_access);
  record->access_count = head.access_count;
  text(head.created_at, &record->created_at);
  record->embedding_sha256 = head.embedding_sha256;
  record->layout = head.layout;
}

void ApplyExtension(const AuditExtension& extension, AuditRecord* record) {
  record->node_type = extension.node_type;
  record->strength_bits = extension.strength_bits;
  record->consolidation_bits = extension.consolidation_bits;
  record->coherence_bits = extension.coherence_bits;
  record->instance_count = extension.instance_count;
  record->formation_time = extension.formation_time;
}

AuditTime AuditTimeOf(int64_t seconds, uint32_t nanos) {
  int64_t days = seconds / 86400;
  int64_t second_of_day = seconds % 86400;
  if (second_of_day < 0) {
    second_of_day += 86400;
    --days;
  }
  const Date date = DateOf(days);
  const int hour = static_cast<int>(second_of_day / 3600);
  const int minute = static_cast<int>(second_of_day / 60 % 60);
  // A leap second is stored as nanoseconds beyond the second before it.
  const int second = static_cast<int>(second_of_day % 60) + (nanos >= 1000000000 ? 1 : 0);
  const uint32_t fraction = nanos % 1000000000;
  AuditTime time;
  char* out = PutYear(date.year, time.text);
  out = PutTwo('-', date.month, out);
  out = PutTwo('-', date.day, out);
  out = PutTwo('T', hour, out);
  out = PutTwo(':', minute, out);
  out = PutTwo(':', second, out);
  if (fraction != 0) {
    *out++ = '.';
    if (fraction % 1000000 == 0) {
      out = PutNumber(fraction / 1000000, 3, out);
    } else if (fraction % 1000 == 0) {
      out = PutNumber(fraction / 1000, 6, out);
    } else {
      out = PutNumber(fraction, 9, out);
    }
  }
  *out++ = 'Z';
  time.size = static_cast<uint8_t>(out - time.text);
  return time;
}

std::array<uint8_t, 16> AuditUuid(std::string_view space, std::string_view id) {
  std::array<uint8_t, 16> uuid{};
  if (LooksLikeUuid(id)) {
    size_t at = 0;
    for (uint8_t& byte : uuid) {
      if (id[at] == '-') ++at;
      byte = static_cast<uint8_t>(HexDigit(id[at]) << 4 | HexDigit(id[at + 1]));
      at += 2;
    }
    return uuid;
  }
  static constexpr uint8_t kNamespace[16] = {0x8d, 0x2f, 0x1b, 0x5c, 0x4e, 0x07, 0x4a, 0x93,
                                             0xb6, 0x70, 0x25, 0xe9, 0xc1, 0x3d, 0x5a, 0x48};
  thread_local Sha256 sha256;
  sha256.Reset();
  sha256.Update(kNamespace);
  sha256.Update(AsBytes(space));
  sha256.Update(AsBytes(std::string_view("\0", 1)));
  sha256.Update(AsBytes(id));
  const Sha256Digest hash = sha256.Finish();
  std::copy_n(hash.begin(), 16, uuid.begin());
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x80);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
  return uuid;
}

std::string AuditIdKey(std::string_view id) {
  std::string key = "i";
  key += id.substr(0, 440);
  if (id.size() > 440) PutBytes(&key, Sha256Of(AsBytes(id)));
  return key;
}

}  // namespace engram::migration
