#include "migration/sources/inspect_source.h"

#include <bit>
#include <cstdio>

#include "base/crypto.h"
#include "base/utf8.h"
#include "compat/upstream_codec.h"
#include "migration/sources/log_scanner.h"
#include "migration/sources/source.h"

namespace engram::migration {
namespace {

using compat::UpstreamRecord;
using compat::UpstreamType;
using engine::Memory;
using nlohmann::json;

std::string Bits(float value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", std::bit_cast<uint32_t>(value));
  return text;
}

template <typename T>
json OrNull(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}
json OrNull(const std::optional<float>& value) {
  return value ? json(Bits(*value)) : json(nullptr);
}
json OrNull(const std::optional<engine::Timestamp>& value) {
  return value ? json(engine::FormatTimestamp(*value)) : json(nullptr);
}

// Pairs in the order of the bytes, repeated keys included.
json Pairs(const engine::MetadataMap& map) {
  json out = json::array();
  for (const auto& [key, value] : map) out.push_back(json::array({key, value}));
  return out;
}

json Provenance(const std::optional<engine::EmbeddingProvenance>& provenance) {
  if (!provenance) return nullptr;
  return {{"model_name", provenance->model_name},
          {"model_version", provenance->model_version},
          {"dimension", provenance->dimension},
          {"language", OrNull(provenance->language)},
          {"created_at_s", provenance->created_at_s},
          {"quality_score", OrNull(provenance->quality_score)},
          {"metadata", Pairs(provenance->metadata)}};
}

json Decay(const std::optional<engine::DecayFunction>& decay) {
  if (!decay) return nullptr;
  switch (decay->kind) {
    case engine::DecayKind::kExponential:
      return {{"exponential", {{"tau_hours", Bits(decay->a)}}}};
    case engine::DecayKind::kPowerLaw:
      return {{"power_law", {{"beta", Bits(decay->a)}}}};
    case engine::DecayKind::kTwoComponent:
      return {{"two_component", {{"consolidation_threshold", decay->n}}}};
    case engine::DecayKind::kHybrid:
      return {{"hybrid",
               {{"short_term_tau", Bits(decay->a)},
                {"long_term_beta", Bits(decay->b)},
                {"transition_point", decay->n}}}};
  }
  return nullptr;
}

void AddFields(const UpstreamRecord& record, json* out) {
  const Memory& memory = record.memory;
  json& to = *out;
  bool is_memory = memory.layout == engine::Layout::kM;
  to["content"] = OrNull(memory.text.content);
  to["when"] = OrNull(memory.when);
  to["where"] = OrNull(memory.text.where);
  to["who"] = OrNull(memory.text.who);
  to["embedding_sha256"] = ToHex(Sha256Of(record.embedding));
  to["embedding_provenance"] = Provenance(memory.text.provenance);
  to["activation"] = is_memory ? json(Bits(memory.activation)) : json(nullptr);
  to["confidence"] = {{"encoding", Bits(memory.confidence_encoding)},
                      {"vividness", OrNull(memory.confidence_vividness)},
                      {"reliability", OrNull(memory.confidence_reliability)}};
  to["decay_rate"] = Bits(memory.decay_rate);
  to["decay_function"] = Decay(memory.decay_function);
  to["last_recall"] = OrNull(memory.last_recall);
  to["recall_count"] = OrNull(memory.recall_count);
  to["last_access"] = OrNull(memory.last_access);
  to["access_count"] = OrNull(memory.access_count);
  to["created_at"] = OrNull(memory.created_at);
  to["metadata"] = Pairs(memory.text.metadata);
}

void AddPayload(const LogScanner::Event& event, bool exact, UpstreamRecord* scratch, json* out) {
  uint32_t type = event.header.type;
  (*out)["id"] = nullptr;
  (*out)["layout"] = nullptr;
  if (type == static_cast<uint32_t>(UpstreamType::kMemoryDelete)) {
    if (IsValidUtf8(event.payload())) (*out)["id"] = AsView(event.payload());
    return;
  }
  bool is_memory = type == static_cast<uint32_t>(UpstreamType::kEpisodeStore) ||
                   type == static_cast<uint32_t>(UpstreamType::kMemoryUpdate);
  if (!is_memory) return;
  Status decoded = compat::DecodeUpstreamPayload(type, event.payload(), scratch);
  if (!decoded.ok()) {
    (*out)["undecodable"] = decoded.message();
    return;
  }
  (*out)["id"] = scratch->memory.text.id;
  (*out)["layout"] = engine::LayoutName(scratch->memory.layout);
  if (exact) AddFields(*scratch, out);
}

json Describe(const LogScanner::Event& event, bool exact, UpstreamRecord* scratch) {
  json out = {{"offset", event.offset}, {"end", event.offset + event.length}};
  if (!event.is_record) {
    out["damage"] = DamageKindName(event.kind);
    return out;
  }
  out["sequence"] = event.header.sequence;
  out["timestamp_ns"] = event.header.timestamp_ns;
  out["type"] = event.header.type;
  out["size"] = event.header.payload_size_bytes;
  AddPayload(event, exact, scratch, &out);
  return out;
}

// A path may be any bytes, JSON holds text.
std::string PrintablePath(const std::string& path) {
  if (IsValidUtf8(path)) return path;
  std::string out;
  for (char c : path) {
    if (static_cast<unsigned char>(c) < 0x80) {
      out.push_back(c);
    } else {
      out += "\\x" + ToHex(AsBytes(std::string_view(&c, 1)));
    }
  }
  return out;
}

Result<Source> SourceAt(FileSystem& fs, const std::string& path,
                        const std::optional<std::string>& space) {
  Result<FileInfo> info = fs.Stat(path);
  if (!info.ok() || !info->is_regular) return DiscoverSource(fs, path, space);
  Source source;
  source.kind = SourceKind::kLogDirectory;
  source.directory = ParentPath(path);
  SourceFile file{path, path, info->size_bytes};
  source.spaces.push_back({space.value_or("default"), {file}});
  return source;
}

}  // namespace

Status InspectSource(FileSystem& fs, const std::string& path, const InspectSourceOptions& options,
                     const std::function<Result<bool>(const nlohmann::json&)>& visit) {
  ENGRAM_ASSIGN_OR_RETURN(Source source, SourceAt(fs, path, options.space));
  UpstreamRecord scratch;
  LogScanner::Event event;
  for (const SourceSpace& space : source.spaces) {
    for (const SourceFile& file : space.files) {
      ENGRAM_ASSIGN_OR_RETURN(auto opened, fs.Open(file.path, OpenMode::kReadOnly));
      ENGRAM_ASSIGN_OR_RETURN(uint64_t size, opened->Size());
      LogScanner scanner(*opened, size, {});
      while (true) {
        ENGRAM_ASSIGN_OR_RETURN(bool more, scanner.Next(&event));
        if (!more) break;
        json line = Describe(event, options.exact, &scratch);
        line["space"] = space.space;
        line["file"] = PrintablePath(file.relative_path);
        ENGRAM_ASSIGN_OR_RETURN(bool go_on, visit(line));
        if (!go_on) return Status::Ok();
      }
    }
  }
  return Status::Ok();
}

}  // namespace engram::migration
