#include "engine/rows.h"

#include "base/check.h"
#include "engine/row_checksum.h"

namespace engram::engine {
namespace {

constexpr std::string_view kEmbeddingWhat = "embedding row";
constexpr uint8_t kTextVersion = 1;
// Bits of the text row's second byte; persisted.
constexpr uint8_t kHasContent = 1;
constexpr uint8_t kHasWhere = 2;
constexpr uint8_t kHasWho = 4;
constexpr uint8_t kHasProvenance = 8;
constexpr uint8_t kHasLanguage = 16;
constexpr uint8_t kHasQuality = 32;
constexpr uint8_t kTextFlagsAll = 63;

// First byte of every id key: an empty id must not give an empty key.
constexpr char kIdKeyLead = 'i';
constexpr size_t kIdKeySizeBytesMax = 1 + kIdKeyPrefixSizeBytes + sizeof(Sha256Digest);

std::string Hex32(uint32_t value) {
  uint8_t bytes[4];
  StoreLe(bytes, __builtin_bswap32(value));
  return ToHex(bytes);
}

uint8_t TextFlags(const TextFields& text) {
  uint8_t flags = 0;
  if (text.content) flags |= kHasContent;
  if (text.where) flags |= kHasWhere;
  if (text.who) flags |= kHasWho;
  if (text.provenance) {
    flags |= kHasProvenance;
    if (text.provenance->language) flags |= kHasLanguage;
    if (text.provenance->quality_score) flags |= kHasQuality;
  }
  return flags;
}

void PutString(std::string_view text, std::string* out) {
  ENGRAM_CHECK(text.size() <= UINT32_MAX);
  PutLe(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

void PutMap(const MetadataMap& map, std::string* out) {
  PutLe(out, static_cast<uint32_t>(map.size()));
  for (const auto& [key, value] : map) {
    PutString(key, out);
    PutString(value, out);
  }
}

void PutProvenance(const EmbeddingProvenance& provenance, std::string* out) {
  PutString(provenance.model_name, out);
  PutString(provenance.model_version, out);
  PutLe(out, provenance.dimension);
  if (provenance.language) PutString(*provenance.language, out);
  PutLe(out, provenance.created_at_s);
  if (provenance.quality_score) PutLe(out, std::bit_cast<uint32_t>(*provenance.quality_score));
  PutMap(provenance.metadata, out);
}

bool ReadString(ByteReader* reader, std::string* out) {
  uint32_t size = 0;
  Bytes bytes;
  if (!reader->ReadLe(&size) || !reader->ReadBytes(size, &bytes)) return false;
  out->assign(AsView(bytes));
  return true;
}

// An element of a list needs at least `element_size_min` more bytes: a count beyond that is refused
// before anything is allocated.
bool ReadCount(ByteReader* reader, size_t element_size_min, uint32_t* count) {
  return reader->ReadLe(count) && *count <= reader->remaining() / element_size_min;
}

bool ReadMap(ByteReader* reader, MetadataMap* out) {
  uint32_t count = 0;
  if (!ReadCount(reader, 8, &count)) return false;
  out->resize(count);
  for (auto& [key, value] : *out) {
    if (!ReadString(reader, &key) || !ReadString(reader, &value)) return false;
  }
  return true;
}

// Reads into an optional whose presence is known, keeping a string's capacity.
template <typename T, typename Read>
bool ReadOptional(bool present, std::optional<T>* out, Read read) {
  if (!present) {
    out->reset();
    return true;
  }
  if (!out->has_value()) out->emplace();
  return read(&**out);
}

bool ReadProvenance(uint8_t flags, ByteReader* reader, EmbeddingProvenance* out) {
  auto read_string = [reader](std::string* s) { return ReadString(reader, s); };
  auto read_float = [reader](float* f) { return reader->ReadLe(f); };
  return ReadString(reader, &out->model_name) && ReadString(reader, &out->model_version) &&
         reader->ReadLe(&out->dimension) &&
         ReadOptional(flags & kHasLanguage, &out->language, read_string) &&
         reader->ReadLe(&out->created_at_s) &&
         ReadOptional(flags & kHasQuality, &out->quality_score, read_float) &&
         ReadMap(reader, &out->metadata);
}

bool ReadWho(ByteReader* reader, std::vector<std::string>* out) {
  uint32_t count = 0;
  if (!ReadCount(reader, 4, &count)) return false;
  out->resize(count);
  for (std::string& name : *out) {
    if (!ReadString(reader, &name)) return false;
  }
  return true;
}

bool ReadText(uint8_t flags, ByteReader* reader, TextFields* out) {
  auto read_string = [reader](std::string* s) { return ReadString(reader, s); };
  auto read_who = [reader](std::vector<std::string>* who) { return ReadWho(reader, who); };
  auto read_provenance = [flags, reader](EmbeddingProvenance* provenance) {
    return ReadProvenance(flags, reader, provenance);
  };
  return ReadString(reader, &out->id) &&
         ReadOptional(flags & kHasContent, &out->content, read_string) &&
         ReadOptional(flags & kHasWhere, &out->where, read_string) &&
         ReadOptional(flags & kHasWho, &out->who, read_who) &&
         ReadOptional(flags & kHasProvenance, &out->provenance, read_provenance) &&
         ReadMap(reader, &out->metadata);
}

}  // namespace

Status WrongSize(std::string_view what, size_t expected, size_t actual) {
  return Status::Corruption(std::string(what) + ": size " + std::to_string(actual) + ", expected " +
                            std::to_string(expected));
}

Status WrongField(std::string_view what, std::string_view field, std::string_view expected,
                  uint64_t actual) {
  return Status::Corruption(std::string(what) + ": " + std::string(field) + " " +
                            std::to_string(actual) + ", expected " + std::string(expected));
}

namespace {

Status CheckRowCrc(std::string_view what, uint32_t stored, uint32_t computed) {
  if (stored == computed) return Status::Ok();
  return Status::Corruption(std::string(what) + ": checksum " + Hex32(computed) + ", expected " +
                            Hex32(stored));
}

}  // namespace

Status OpenRow(std::string_view what, Bytes key, Bytes value, Bytes* body) {
  if (value.size() < kRowCrcSizeBytes) {
    return Status::Corruption(std::string(what) + ": size " + std::to_string(value.size()) +
                              ", expected at least " + std::to_string(kRowCrcSizeBytes));
  }
  *body = value.first(value.size() - kRowCrcSizeBytes);
  return CheckRowCrc(what, LoadLe<uint32_t>(value.data() + body->size()), RowCrc(key, *body));
}

void EncodeTextFields(Bytes key, const TextFields& text, std::string* out) {
  const size_t start = out->size();
  PutLe(out, kTextVersion);
  PutLe(out, TextFlags(text));
  PutString(text.id, out);
  if (text.content) PutString(*text.content, out);
  if (text.where) PutString(*text.where, out);
  if (text.who) {
    PutLe(out, static_cast<uint32_t>(text.who->size()));
    for (const std::string& name : *text.who) PutString(name, out);
  }
  if (text.provenance) PutProvenance(*text.provenance, out);
  PutMap(text.metadata, out);
  SealRow(key, start, out);
}

Status DecodeTextFields(Bytes key, Bytes value, TextFields* out) {
  static constexpr std::string_view kWhat = "text row";
  Bytes body;
  ENGRAM_TRY(OpenRow(kWhat, key, value, &body));
  ByteReader reader(body);
  uint8_t version = 0, flags = 0;
  if (!reader.ReadLe(&version) || !reader.ReadLe(&flags)) {
    return WrongSize(kWhat, 2 + kRowCrcSizeBytes, value.size());
  }
  if (version != kTextVersion) return WrongField(kWhat, "version", "1", version);
  const bool provenance_parts_alone =
      (flags & (kHasLanguage | kHasQuality)) != 0 && (flags & kHasProvenance) == 0;
  if (flags > kTextFlagsAll || provenance_parts_alone) {
    return WrongField(kWhat, "flags", "known ones", flags);
  }
  if (!ReadText(flags, &reader, out)) {
    return WrongField(kWhat, "field ends beyond the row at offset", "a shorter one",
                      reader.position());
  }
  if (reader.remaining() != 0) {
    return WrongField(kWhat, "bytes after the last field", "0", reader.remaining());
  }
  return Status::Ok();
}

bool PeekTextFields(Bytes value, TextPeek* out) {
  ByteReader reader(value);
  uint8_t version = 0, flags = 0;
  uint32_t size = 0;
  Bytes bytes;
  if (!reader.ReadLe(&version) || !reader.ReadLe(&flags) || version != kTextVersion) return false;
  if (!reader.ReadLe(&size) || !reader.ReadBytes(size, &bytes)) return false;
  out->id = AsView(bytes);
  out->content.reset();
  if ((flags & kHasContent) == 0) return true;
  if (!reader.ReadLe(&size) || !reader.ReadBytes(size, &bytes)) return false;
  out->content = AsView(bytes);
  return true;
}

void EncodeEmbedding(Bytes key, NodeKey owner, Bytes floats, std::string* out) {
  ENGRAM_CHECK(floats.size() == kEmbeddingSizeBytes);
  const size_t start = out->size();
  PutLe(out, owner.value);
  PutBytes(out, floats);
  SealRow(key, start, out);
}

Status DecodeEmbedding(Bytes key, Bytes value, NodeKey* owner, Bytes* floats) {
  if (value.size() != kEmbeddingRowSizeBytes) {
    return WrongSize(kEmbeddingWhat, kEmbeddingRowSizeBytes, value.size());
  }
  Bytes body;
  ENGRAM_TRY(OpenRow(kEmbeddingWhat, key, value, &body));
  owner->value = LoadLe<uint64_t>(body.data());
  *floats = body.subspan(sizeof owner->value);
  return Status::Ok();
}

Status CopyEmbedding(Bytes key, Bytes value, NodeKey* owner, Embedding* floats) {
  if (value.size() != kEmbeddingRowSizeBytes) {
    return WrongSize(kEmbeddingWhat, kEmbeddingRowSizeBytes, value.size());
  }
  const Bytes owner_bytes = value.first(sizeof owner->value);
  std::memcpy(floats->data(), value.data() + owner_bytes.size(), kEmbeddingSizeBytes);
  const Bytes copy(reinterpret_cast<const uint8_t*>(floats->data()), kEmbeddingSizeBytes);
  owner->value = LoadLe<uint64_t>(owner_bytes.data());
  return CheckRowCrc(kEmbeddingWhat, LoadLe<uint32_t>(value.last(kRowCrcSizeBytes).data()),
                     Crc32cExtend(RowCrc(key, owner_bytes), copy));
}

std::string EncodeIdKey(std::string_view id) {
  std::string key;
  key.reserve(1 + std::min(id.size(), kIdKeySizeBytesMax));
  key.push_back(kIdKeyLead);
  key.append(id.substr(0, kIdKeyPrefixSizeBytes));
  if (id.size() > kIdKeyPrefixSizeBytes) PutBytes(&key, Sha256Of(AsBytes(id)));
  return key;
}

bool IdKeyIsTruncated(Bytes id_key) { return id_key.size() > 1 + kIdKeyPrefixSizeBytes; }

std::string_view IdOfIdKey(Bytes id_key) {
  ENGRAM_CHECK(!id_key.empty() && !IdKeyIsTruncated(id_key));
  return AsView(id_key.subspan(1));
}

std::string EncodeU64Key(uint64_t value) {
  std::string key;
  PutBe64(&key, value);
  return key;
}

void EncodeChecked(Bytes key, Bytes value, std::string* out) {
  const size_t start = out->size();
  PutBytes(out, value);
  SealRow(key, start, out);
}

Result<Bytes> DecodeChecked(Bytes key, Bytes value) {
  Bytes body;
  ENGRAM_TRY(OpenRow("row", key, value, &body));
  return body;
}

}  // namespace engram::engine
