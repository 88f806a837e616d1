#include "migration/audit_decoder.h"

#include <cstring>

namespace engram::migration {
namespace {

constexpr uint64_t kFloatCount = 768;
constexpr uint64_t kEmbeddingSizeBytes = kFloatCount * 4;
constexpr uint64_t kShortStringSizeMax = 8;

// Walks a bincode payload. The first thing that does not fit makes every later read fail.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  bool AtEnd() const { return ok_ && at_ == end_; }
  bool ok() const { return ok_; }
  void Fail() { ok_ = false; }

  uint32_t U32() { return Fixed<uint32_t>(); }
  uint64_t U64() { return Fixed<uint64_t>(); }
  Bytes Take(uint64_t size) {
    if (!ok_ || size > static_cast<uint64_t>(end_ - at_)) {
      ok_ = false;
      return {};
    }
    const Bytes taken(at_, size);
    at_ += size;
    return taken;
  }
  // Option tag: 0 or 1.
  bool Some() {
    const Bytes tag = Take(1);
    if (!ok_ || tag[0] > 1) ok_ = false;
    return ok_ && tag[0] == 1;
  }
  // Number of elements, each at least `least` bytes: no more than fit in what is left.
  uint64_t Count(uint64_t least) {
    const uint64_t count = U64();
    if (count > static_cast<uint64_t>(end_ - at_) / least) ok_ = false;
    return ok_ ? count : 0;
  }
  std::string_view Text();

 private:
  template <typename T>
  T Fixed() {
    const Bytes bytes = Take(sizeof(T));
    return ok_ ? LoadLe<T>(bytes.data()) : T{};
  }
  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

// Well-formed UTF-8: shortest forms, no surrogates, at most U+10FFFF.
bool Utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = at + text.size();
  while (at < end) {
    if (static_cast<uint64_t>(end - at) >= kShortStringSizeMax &&
        (LoadLe<uint64_t>(at) & 0x8080808080808080u) == 0) {
      at += 8;
      continue;
    }
    const uint8_t lead = *at++;
    if (lead < 0x80) continue;
    int more = 0;
    uint32_t least = 0;
    uint32_t code = 0;
    if ((lead & 0xE0) == 0xC0) {
      more = 1, least = 0x80, code = lead & 0x1Fu;
    } else if ((lead & 0xF0) == 0xE0) {
      more = 2, least = 0x800, code = lead & 0x0Fu;
    } else if ((lead & 0xF8) == 0xF0) {
      more = 3, least = 0x10000, code = lead & 0x07u;
    } else {
      return false;
    }
    if (end - at < more) return false;
    for (; more > 0; --more, ++at) {
      if ((*at & 0xC0) != 0x80) return false;
      code = code << 6 | (*at & 0x3Fu);
    }
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  }
  return true;
}

std::string_view Cursor::Text() {
  const std::string_view text = AsView(Take(U64()));
  if (ok_ && !Utf8(text)) ok_ = false;
  return ok_ ? text : std::string_view();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Value of `count` digits at text[at..], or -1.
int Number(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (!IsDigit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

bool LeapYear(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

// Size of the year at the front of `text` in the writer's form, 0 if there is none.
size_t YearSize(std::string_view text, int* year) {
  const bool sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  size_t end = sign ? 1 : 0;
  while (end < text.size() && IsDigit(text[end])) ++end;
  const size_t digits = end - (sign ? 1 : 0);
  if (digits < 4 || digits > 6) return 0;
  const int magnitude = Number(text, sign ? 1 : 0, digits);
  // Zero-padded to four digits, no further.
  if (digits > 4 && text[sign ? 1 : 0] == '0') return 0;
  if (!sign && digits > 4) return 0;
  if (sign && text[0] == '+' && magnitude < 10000) return 0;
  if (sign && text[0] == '-' && magnitude == 0) return 0;
  *year = sign && text[0] == '-' ? -magnitude : magnitude;
  return end;
}

// ".fff", ".ffffff" or ".fffffffff", the shortest that is exact; or nothing.
bool WriterFraction(std::string_view text) {
  if (text.empty()) return true;
  if (text[0] != '.' || (text.size() != 4 && text.size() != 7 && text.size() != 10)) return false;
  for (char c : text.substr(1)) {
    if (!IsDigit(c)) return false;
  }
  return text.substr(text.size() - 3) != "000";
}

// The grammar of upstream's writer (engram-formats 3.2), and a date that exists.
bool WriterTime(std::string_view text) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int year = 0;
  const size_t year_size = YearSize(text, &year);
  if (year_size == 0) return false;
  const std::string_view rest = text.substr(year_size);  // -MM-DDTHH:MM:SS[.f]Z
  if (rest.size() < 16 || rest.back() != 'Z') return false;
  if (rest[0] != '-' || rest[3] != '-' || rest[6] != 'T' || rest[9] != ':' || rest[12] != ':') {
    return false;
  }
  const int month = Number(rest, 1, 2);
  const int day = Number(rest, 4, 2);
  const int hour = Number(rest, 7, 2);
  const int minute = Number(rest, 10, 2);
  const int second = Number(rest, 13, 2);
  if (month < 1 || month > 12 || day < 1) return false;
  if (day > kDays[month - 1] + (month == 2 && LeapYear(year) ? 1 : 0)) return false;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
  if (second < 0 || second > 60) return false;
  return WriterFraction(rest.substr(15, rest.size() - 16));
}

AuditTime Time(Cursor& in) {
  AuditTime time;
  const std::string_view text = in.Text();
  if (!in.ok() || text.size() > sizeof time.text || !WriterTime(text)) {
    in.Fail();
    return time;
  }
  time.size = static_cast<uint8_t>(text.size());
  std::memcpy(time.text, text.data(), text.size());
  return time;
}

void Map(Cursor& in, AuditMap* out) {
  out->clear();
  for (uint64_t left = in.Count(16); left > 0 && in.ok(); --left) {
    const std::string_view key = in.Text();
    out->emplace_back(key, in.Text());
  }
}

Bytes Vector(Cursor& in) {
  if (in.U64() != kFloatCount) in.Fail();
  return in.Take(kEmbeddingSizeBytes);
}

void Provenance(Cursor& in, AuditRecord* out) {
  out->has_provenance = in.Some();
  if (!out->has_provenance) return;
  AuditProvenance& p = out->provenance;
  p.model_name = in.Text();
  p.model_version = in.Text();
  p.dimension = in.U64();
  p.language.reset();
  if (in.Some()) p.language = in.Text();
  p.created_at_s = in.U64();
  p.quality_bits.reset();
  if (in.Some()) p.quality_bits = in.U32();
  Map(in, &p.metadata);
}

void Decay(Cursor& in, AuditRecord* out) {
  out->decay.reset();
  if (!in.Some()) return;
  AuditDecay decay;
  decay.kind = in.U32();
  switch (decay.kind) {
    case 0:
    case 1:
      decay.a_bits = in.U32();
      break;
    case 2:
      decay.n = in.U64();
      break;
    case 3:
      decay.a_bits = in.U32();
      decay.b_bits = in.U32();
      decay.n = in.U64();
      break;
    default:
      in.Fail();
  }
  out->decay = decay;
}

constexpr std::string_view kEpisodeLayouts[] = {"E0", "E1", "E2", "E3"};

// Episode of layout E<version>: E1 adds the provenance, E2 the decay function, E3 the metadata.
bool Episode(Bytes payload, int version, AuditRecord* out) {
  Cursor in(payload);
  out->id = in.Text();
  out->when = Time(in);
  out->where.reset();
  if (in.Some()) out->where = in.Text();
  out->who.clear();
  out->has_who = in.Some();
  if (out->has_who) {
    for (uint64_t left = in.Count(8); left > 0 && in.ok(); --left) out->who.push_back(in.Text());
  }
  out->content = in.Text();
  out->embedding = Vector(in);
  out->has_provenance = false;
  if (version >= 1) Provenance(in, out);
  out->encoding_bits = in.U32();
  out->vividness_bits = in.U32();
  out->reliability_bits = in.U32();
  out->last_recall = Time(in);
  out->recall_count = in.U32();
  out->decay_rate_bits = in.U32();
  out->decay.reset();
  if (version >= 2) Decay(in, out);
  out->metadata.clear();
  if (version >= 3) Map(in, &out->metadata);
  out->layout = kEpisodeLayouts[version];
  return in.AtEnd();
}

bool PlainMemory(Bytes payload, AuditRecord* out) {
  Cursor in(payload);
  out->id = in.Text();
  out->embedding = Vector(in);
  out->activation_bits = in.U32();
  out->encoding_bits = in.U32();
  out->last_access = Time(in);
  out->access_count = in.U64();
  out->created_at = Time(in);
  out->decay_rate_bits = in.U32();
  out->content.reset();
  if (in.Some()) out->content = in.Text();
  Provenance(in, out);
  out->layout = "M";
  return in.AtEnd();
}

int EpisodeVersion(std::string_view layout) { return layout[1] - '0'; }

// A type-1 payload over what was known before.
void OverlayEpisode(const AuditRecord& next, AuditRecord* record) {
  record->id = next.id;
  record->when = next.when;
  record->where = next.where;
  record->has_who = next.has_who;
  record->who = next.who;
  record->content = next.content;
  record->embedding = next.embedding;
  record->activation_bits = next.encoding_bits;
  record->encoding_bits = next.encoding_bits;
  record->vividness_bits = next.vividness_bits;
  record->reliability_bits = next.reliability_bits;
  record->last_recall = next.last_recall;
  record->recall_count = next.recall_count;
  record->decay_rate_bits = next.decay_rate_bits;
  const int version = EpisodeVersion(next.layout);
  if (version >= 1) {
    record->has_provenance = next.has_provenance;
    record->provenance = next.provenance;
  }
  if (version >= 2) record->decay = next.decay;
  if (version >= 3) record->metadata = next.metadata;
  record->layout = next.layout;
}

// A type-2 payload over what was known before; `first` if nothing was.
void OverlayMemory(const AuditRecord& next, bool first, AuditRecord* record) {
  record->id = next.id;
  record->embedding = next.embedding;
  if (first || next.activation_bits != 0) record->activation_bits = next.activation_bits;
  record->encoding_bits = next.encoding_bits;
  record->last_access = next.last_access;
  record->access_count = next.access_count;
  record->created_at = next.created_at;
  record->decay_rate_bits = next.decay_rate_bits;
  record->content = next.content;
  record->has_provenance = next.has_provenance;
  record->provenance = next.provenance;
  record->layout = next.layout;
}

}  // namespace

void AuditRecord::Clear() {
  AuditMap kept_metadata = std::move(metadata);
  AuditMap kept_provenance = std::move(provenance.metadata);
  std::vector<std::string_view> kept_who = std::move(who);
  kept_metadata.clear();
  kept_provenance.clear();
  kept_who.clear();
  *this = AuditRecord();
  metadata = std::move(kept_metadata);
  provenance.metadata = std::move(kept_provenance);
  who = std::move(kept_who);
}

bool AuditDecoder::Parse(const AuditPayload& payload, AuditRecord* out) {
  if (payload.type == 2) return PlainMemory(payload.payload, out);
  if (payload.type != 1) return false;
  for (int version = 3; version >= 0; --version) {
    if (Episode(payload.payload, version, out)) return true;
  }
  return false;
}

bool AuditDecoder::Decodable(const AuditPayload& payload) { return Parse(payload, &next_); }

Status AuditDecoder::Fold(std::span<const AuditPayload> contributions) {
  record_.Clear();
  bool first = true;
  for (const AuditPayload& contribution : contributions) {
    if (!Parse(contribution, &next_)) {
      return Status::Corruption("the audit decoder cannot read a type-" +
                                std::to_string(contribution.type) + " payload of " +
                                std::to_string(contribution.payload.size()) + " bytes");
    }
    if (!first && next_.id != record_.id) {
      return Status::Corruption("the audit decoder was given payloads of two ids");
    }
    if (contribution.type == 1) {
      OverlayEpisode(next_, &record_);
    } else {
      OverlayMemory(next_, first, &record_);
    }
    first = false;
  }
  if (first) return Status::Corruption("the audit decoder was given no payload");
  const bool known = known_.embedding.data() == record_.embedding.data() &&
                     known_.embedding.size() == record_.embedding.size();
  record_.embedding_sha256 = known ? known_.sha256 : sha256_.Hash(record_.embedding);
  known_ = {};
  canonical_.clear();
  AppendAuditCanonical(record_, &canonical_);
  return Status::Ok();
}

}  // namespace engram::migration
