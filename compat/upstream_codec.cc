#include "compat/upstream_codec.h"

#include <array>
#include <cstring>

#include "base/crc32c.h"
#include "base/utf8.h"

namespace engram::compat {
namespace {

using engine::DecayFunction;
using engine::DecayKind;
using engine::EmbeddingProvenance;
using engine::Layout;
using engine::Memory;
using engine::MetadataMap;
using engine::Timestamp;

constexpr uint32_t kHeaderCrcOffset = 32;
constexpr uint32_t kHeaderReservedOffset = 36;
constexpr uint32_t kHeaderCoveredEnd = 56;

uint32_t HeaderCrc(const uint8_t* header) {
  uint32_t crc = Crc32c({header, kHeaderCrcOffset});
  return Crc32cExtend(crc,
                      {header + kHeaderReservedOffset, kHeaderCoveredEnd - kHeaderReservedOffset});
}

// Reads bincode 1.3 (fixed-width integers, u64 lengths). The first failure sticks, with its reason.
class PayloadReader {
 public:
  PayloadReader(Bytes payload, uint64_t position)
      : bytes_(payload.subspan(position)), reader_(bytes_) {}

  bool Fail(const char* reason) {
    if (reason_ == nullptr) reason_ = reason;
    return false;
  }
  template <typename T>
  bool Number(T* out) {
    return reader_.ReadLe(out) || Fail("a field runs past the end of the payload");
  }
  bool Tag(bool* present) {
    uint8_t tag = 0;
    if (!Number(&tag)) return false;
    *present = tag == 1;
    return tag <= 1 || Fail("an option tag is neither 0 nor 1");
  }
  bool View(std::string_view* out) {
    uint64_t size = 0;
    Bytes bytes;
    if (!Number(&size)) return false;
    if (!reader_.ReadBytes(size, &bytes)) return Fail("a text runs past the end of the payload");
    *out = AsView(bytes);
    return IsValidUtf8(bytes) || Fail("a text is not valid UTF-8");
  }
  bool Text(std::string* out) {
    std::string_view view;
    if (!View(&view)) return false;
    out->assign(view);
    return true;
  }
  bool OptionalText(std::optional<std::string>* out) {
    bool present = false;
    if (!Tag(&present)) return false;
    if (!present) {
      out->reset();
      return true;
    }
    if (!out->has_value()) out->emplace();
    return Text(&**out);
  }
  // An element takes at least `element_size_bytes_min`, so a hostile count fails before it
  // allocates.
  bool Count(uint64_t element_size_bytes_min, uint64_t* out) {
    if (!Number(out)) return false;
    return *out <= reader_.remaining() / element_size_bytes_min ||
           Fail("a count exceeds the bytes that are left");
  }
  bool Time(std::optional<Timestamp>* out) {
    std::string_view text;
    if (!View(&text)) return false;
    if (text.size() < 20 || text.size() > 40) return Fail("a time has an impossible length");
    Result<Timestamp> parsed = engine::ParseTimestamp(text);
    if (!parsed.ok()) return Fail("a time is not in the form upstream writes");
    *out = *parsed;
    return true;
  }
  bool Floats(Bytes* out) {
    uint64_t count = 0;
    if (!Number(&count)) return false;
    if (count != engine::kEmbeddingDimension) return Fail("the embedding has not 768 floats");
    return reader_.ReadBytes(engine::kEmbeddingSizeBytes, out) ||
           Fail("the embedding runs past the end of the payload");
  }
  bool AtEnd() {
    return reader_.remaining() == 0 || Fail("bytes are left over after the last field");
  }
  uint64_t position() const { return reader_.position(); }
  const char* reason() const { return reason_; }

 private:
  Bytes bytes_;
  ByteReader reader_;
  const char* reason_ = nullptr;
};

bool ReadMap(PayloadReader& in, MetadataMap* out) {
  uint64_t count = 0;
  if (!in.Count(16, &count)) return false;
  out->resize(count);
  for (auto& [key, value] : *out) {
    if (!in.Text(&key) || !in.Text(&value)) return false;
  }
  return true;
}

bool ReadWho(PayloadReader& in, std::optional<std::vector<std::string>>* out) {
  bool present = false;
  if (!in.Tag(&present)) return false;
  if (!present) {
    out->reset();
    return true;
  }
  uint64_t count = 0;
  if (!in.Count(8, &count)) return false;
  if (!out->has_value()) out->emplace();
  (*out)->resize(count);
  for (std::string& name : **out) {
    if (!in.Text(&name)) return false;
  }
  return true;
}

bool ReadProvenance(PayloadReader& in, std::optional<EmbeddingProvenance>* out) {
  bool present = false;
  if (!in.Tag(&present)) return false;
  if (!present) {
    out->reset();
    return true;
  }
  if (!out->has_value()) out->emplace();
  EmbeddingProvenance& provenance = **out;
  if (!in.Text(&provenance.model_name) || !in.Text(&provenance.model_version) ||
      !in.Number(&provenance.dimension) || !in.OptionalText(&provenance.language) ||
      !in.Number(&provenance.created_at_s)) {
    return false;
  }
  bool has_quality = false;
  if (!in.Tag(&has_quality)) return false;
  provenance.quality_score.reset();
  if (has_quality && !in.Number(&provenance.quality_score.emplace())) return false;
  return ReadMap(in, &provenance.metadata);
}

bool ReadDecay(PayloadReader& in, std::optional<DecayFunction>* out) {
  bool present = false;
  out->reset();
  if (!in.Tag(&present)) return false;
  if (!present) return true;
  uint32_t kind = 0;
  if (!in.Number(&kind)) return false;
  DecayFunction& decay = out->emplace();
  decay.kind = static_cast<DecayKind>(kind);
  switch (decay.kind) {
    case DecayKind::kExponential:
    case DecayKind::kPowerLaw:
      return in.Number(&decay.a);
    case DecayKind::kTwoComponent:
      return in.Number(&decay.n);
    case DecayKind::kHybrid:
      return in.Number(&decay.a) && in.Number(&decay.b) && in.Number(&decay.n);
  }
  return in.Fail("the decay function has an unknown kind");
}

// Fields 1 to 6, the same in every layout.
bool ReadEpisodeFront(PayloadReader& in, UpstreamRecord* out) {
  Memory& memory = out->memory;
  if (!memory.text.content.has_value()) memory.text.content.emplace();
  return in.Text(&memory.text.id) && in.Time(&memory.when) && in.OptionalText(&memory.text.where) &&
         ReadWho(in, &memory.text.who) && in.Text(&*memory.text.content) &&
         in.Floats(&out->embedding);
}

// The fields after the embedding as `layout` has them, up to the end of the payload.
bool ReadEpisodeBack(PayloadReader& in, Layout layout, Memory* out) {
  out->text.provenance.reset();
  out->decay_function.reset();
  out->text.metadata.clear();
  if (layout >= Layout::kE1 && !ReadProvenance(in, &out->text.provenance)) return false;
  if (!in.Number(&out->confidence_encoding) || !in.Number(&out->confidence_vividness.emplace()) ||
      !in.Number(&out->confidence_reliability.emplace()) || !in.Time(&out->last_recall) ||
      !in.Number(&out->recall_count.emplace()) || !in.Number(&out->decay_rate)) {
    return false;
  }
  if (layout >= Layout::kE2 && !ReadDecay(in, &out->decay_function)) return false;
  if (layout >= Layout::kE3 && !ReadMap(in, &out->text.metadata)) return false;
  out->layout = layout;
  return in.AtEnd();
}

Status Undecodable(const char* what, const char* reason) {
  return Status::InvalidArgument(std::string(what) + ": " + reason);
}

Status DecodeEpisode(Bytes payload, UpstreamRecord* out) {
  PayloadReader front(payload, 0);
  if (!ReadEpisodeFront(front, out)) return Undecodable("episode", front.reason());
  out->memory.activation = 0;
  out->memory.last_access.reset();
  out->memory.access_count.reset();
  out->memory.created_at.reset();
  const char* reason = nullptr;
  for (Layout layout : {Layout::kE3, Layout::kE2, Layout::kE1, Layout::kE0}) {
    PayloadReader back(payload, front.position());
    if (ReadEpisodeBack(back, layout, &out->memory)) return Status::Ok();
    if (reason == nullptr) reason = back.reason();
  }
  return Undecodable("episode, no layout of E3 to E0 fits exactly, E3", reason);
}

Status DecodeMemory(Bytes payload, UpstreamRecord* out) {
  PayloadReader in(payload, 0);
  Memory& memory = out->memory;
  memory.text.where.reset();
  memory.text.who.reset();
  memory.text.metadata.clear();
  memory.confidence_vividness.reset();
  memory.confidence_reliability.reset();
  memory.decay_function.reset();
  memory.when.reset();
  memory.last_recall.reset();
  memory.recall_count.reset();
  memory.layout = Layout::kM;
  bool ok = in.Text(&memory.text.id) && in.Floats(&out->embedding) &&
            in.Number(&memory.activation) && in.Number(&memory.confidence_encoding) &&
            in.Time(&memory.last_access) && in.Number(&memory.access_count.emplace()) &&
            in.Time(&memory.created_at) && in.Number(&memory.decay_rate) &&
            in.OptionalText(&memory.text.content) && ReadProvenance(in, &memory.text.provenance) &&
            in.AtEnd();
  return ok ? Status::Ok() : Undecodable("memory, layout M", in.reason());
}

void PutText(std::string* out, std::string_view text) {
  PutLe<uint64_t>(out, text.size());
  out->append(text);
}

void PutOptionalText(std::string* out, const std::optional<std::string>& text) {
  out->push_back(text ? 1 : 0);
  if (text) PutText(out, *text);
}

void PutTime(std::string* out, const Timestamp& time) {
  size_t start = out->size();
  PutLe<uint64_t>(out, 0);
  engine::AppendTimestamp(time, out);
  StoreLe<uint64_t>(out->data() + start, out->size() - start - 8);
}

void PutMap(std::string* out, const MetadataMap& map) {
  PutLe<uint64_t>(out, map.size());
  for (const auto& [key, value] : map) {
    PutText(out, key);
    PutText(out, value);
  }
}

void PutWho(std::string* out, const std::optional<std::vector<std::string>>& who) {
  out->push_back(who ? 1 : 0);
  if (!who) return;
  PutLe<uint64_t>(out, who->size());
  for (const std::string& name : *who) PutText(out, name);
}

void PutProvenance(std::string* out, const std::optional<EmbeddingProvenance>& provenance) {
  out->push_back(provenance ? 1 : 0);
  if (!provenance) return;
  PutText(out, provenance->model_name);
  PutText(out, provenance->model_version);
  PutLe(out, provenance->dimension);
  PutOptionalText(out, provenance->language);
  PutLe(out, provenance->created_at_s);
  out->push_back(provenance->quality_score ? 1 : 0);
  if (provenance->quality_score) PutLe(out, *provenance->quality_score);
  PutMap(out, provenance->metadata);
}

void PutDecay(std::string* out, const std::optional<DecayFunction>& decay) {
  out->push_back(decay ? 1 : 0);
  if (!decay) return;
  PutLe(out, static_cast<uint32_t>(decay->kind));
  switch (decay->kind) {
    case DecayKind::kExponential:
    case DecayKind::kPowerLaw:
      PutLe(out, decay->a);
      return;
    case DecayKind::kTwoComponent:
      PutLe(out, decay->n);
      return;
    case DecayKind::kHybrid:
      PutLe(out, decay->a);
      PutLe(out, decay->b);
      PutLe(out, decay->n);
      return;
  }
}

void PutFloats(std::string* out, Bytes embedding) {
  PutLe<uint64_t>(out, engine::kEmbeddingDimension);
  PutBytes(out, embedding);
}

Status Missing(const char* field, Layout layout) {
  return Status::InvalidArgument("layout " + std::string(engine::LayoutName(layout)) + " needs " +
                                 field + ", which is absent");
}

Status EncodeEpisode(const Memory& memory, Bytes embedding, std::string* out) {
  if (!memory.when) return Missing("when", memory.layout);
  if (!memory.text.content) return Missing("content", memory.layout);
  if (!memory.confidence_vividness) return Missing("vividness confidence", memory.layout);
  if (!memory.confidence_reliability) return Missing("reliability confidence", memory.layout);
  if (!memory.last_recall) return Missing("last_recall", memory.layout);
  if (!memory.recall_count) return Missing("recall_count", memory.layout);
  PutText(out, memory.text.id);
  PutTime(out, *memory.when);
  PutOptionalText(out, memory.text.where);
  PutWho(out, memory.text.who);
  PutText(out, *memory.text.content);
  PutFloats(out, embedding);
  if (memory.layout >= Layout::kE1) PutProvenance(out, memory.text.provenance);
  PutLe(out, memory.confidence_encoding);
  PutLe(out, *memory.confidence_vividness);
  PutLe(out, *memory.confidence_reliability);
  PutTime(out, *memory.last_recall);
  PutLe(out, *memory.recall_count);
  PutLe(out, memory.decay_rate);
  if (memory.layout >= Layout::kE2) PutDecay(out, memory.decay_function);
  if (memory.layout >= Layout::kE3) PutMap(out, memory.text.metadata);
  return Status::Ok();
}

Status EncodeMemory(const Memory& memory, Bytes embedding, std::string* out) {
  if (!memory.last_access) return Missing("last_access", memory.layout);
  if (!memory.access_count) return Missing("access_count", memory.layout);
  if (!memory.created_at) return Missing("created_at", memory.layout);
  PutText(out, memory.text.id);
  PutFloats(out, embedding);
  PutLe(out, memory.activation);
  PutLe(out, memory.confidence_encoding);
  PutTime(out, *memory.last_access);
  PutLe(out, *memory.access_count);
  PutTime(out, *memory.created_at);
  PutLe(out, memory.decay_rate);
  PutOptionalText(out, memory.text.content);
  PutProvenance(out, memory.text.provenance);
  return Status::Ok();
}

}  // namespace

HeaderCheck CheckUpstreamHeader(Bytes bytes, UpstreamHeader* out) {
  const uint8_t* p = bytes.data();
  if (LoadLe<uint32_t>(p) != kUpstreamMagic) return HeaderCheck::kNoMagic;
  if (HeaderCrc(p) != LoadLe<uint32_t>(p + kHeaderCrcOffset)) return HeaderCheck::kBadChecksum;
  out->sequence = LoadLe<uint64_t>(p + 4);
  out->timestamp_ns = LoadLe<uint64_t>(p + 12);
  out->type = LoadLe<uint32_t>(p + 20);
  out->payload_size_bytes = LoadLe<uint32_t>(p + 24);
  out->payload_crc = LoadLe<uint32_t>(p + 28);
  return HeaderCheck::kOk;
}

void EncodeUpstreamRecord(uint64_t sequence, uint64_t timestamp_ns, uint32_t type, Bytes payload,
                          std::string* out) {
  std::array<uint8_t, kUpstreamHeaderSizeBytes> header{};
  StoreLe(header.data(), kUpstreamMagic);
  StoreLe(header.data() + 4, sequence);
  StoreLe(header.data() + 12, timestamp_ns);
  StoreLe(header.data() + 20, type);
  StoreLe(header.data() + 24, static_cast<uint32_t>(payload.size()));
  StoreLe(header.data() + 28, Crc32c(payload));
  StoreLe(header.data() + kHeaderCrcOffset, HeaderCrc(header.data()));
  PutBytes(out, header);
  PutBytes(out, payload);
}

Status DecodeUpstreamPayload(uint32_t type, Bytes payload, UpstreamRecord* out) {
  out->memory.embedding_sha256 = {};
  switch (static_cast<UpstreamType>(type)) {
    case UpstreamType::kEpisodeStore:
      return DecodeEpisode(payload, out);
    case UpstreamType::kMemoryUpdate:
      return DecodeMemory(payload, out);
    default:
      return Status::InvalidArgument("record type " + std::to_string(type) +
                                     " holds no memory; expected 1 or 2");
  }
}

Result<std::string_view> PeekUpstreamId(uint32_t type, Bytes payload) {
  if (type == static_cast<uint32_t>(UpstreamType::kMemoryDelete)) {
    if (!IsValidUtf8(payload)) return Undecodable("delete", "the id is not valid UTF-8");
    return AsView(payload);
  }
  PayloadReader in(payload, 0);
  std::string_view id;
  if (!in.View(&id)) return Undecodable("id", in.reason());
  return id;
}

Status EncodeUpstreamPayload(const Memory& memory, Bytes embedding, std::string* out) {
  if (embedding.size() != engine::kEmbeddingSizeBytes) {
    return Status::InvalidArgument("an embedding has 3072 bytes, this one has " +
                                   std::to_string(embedding.size()));
  }
  switch (memory.layout) {
    case Layout::kE0:
    case Layout::kE1:
    case Layout::kE2:
    case Layout::kE3:
      return EncodeEpisode(memory, embedding, out);
    case Layout::kM:
      return EncodeMemory(memory, embedding, out);
    case Layout::kNone:
      break;
  }
  return Status::InvalidArgument("a record that was born here has no upstream layout");
}

}  // namespace engram::compat
