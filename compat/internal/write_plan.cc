#include "compat/internal/write_plan.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/utf8.h"
#include "compat/conversion.h"

namespace engram::compat::internal {

using engine::DualNode;
using engine::Extension;
using engine::Memory;
using engine::Mode;
using engine::NodeType;
using engine::StoredRecord;
using engine::TextFields;
using engine::Timestamp;

HeadPlan HeadsWrittenIn(Mode mode) {
  switch (mode) {
    case Mode::kLegacy:
      return {.old_head = true, .dual_head = false};
    case Mode::kDualWrite:
    case Mode::kShadow:
    case Mode::kDual:
      return {.old_head = true, .dual_head = true};
    case Mode::kFinalized:
      return {.old_head = false, .dual_head = true};
  }
  ENGRAM_CHECK(false);
}

bool ServesOldHeads(Mode mode) {
  return mode == Mode::kLegacy || mode == Mode::kDualWrite || mode == Mode::kShadow;
}

bool ConvertsLazily(Mode mode) { return mode == Mode::kDual || mode == Mode::kFinalized; }

bool HasCurrentOldHead(const StoredRecord& record) {
  return record.old_head && record.old_head->common.seq == record.current().seq;
}

void CurrentHead(const StoredRecord& record, const Uuid& uuid, DualNode* out) {
  if (!record.is_dual()) return ToDualHead(record.old_head->memory, uuid, record.extension, out);
  *out = record.dual_head->node;
  out->uuid = uuid;
  out->extension = record.extension;
}

engine::WriteTxn::Record PlanRecord(Mode mode, NodeKey key, const DualNode& head,
                                    const Sha256Digest& digest) {
  HeadPlan plan = HeadsWrittenIn(mode);
  engine::WriteTxn::Record record;
  record.key = key;
  record.digest = digest;
  record.activation = head.activation;
  if (plan.old_head) ToMemoryHead(head, &record.old_head.emplace());
  if (plan.dual_head) record.dual_head = head;
  return record;
}

bool IsDefaultExtension(const Extension& extension) {
  return extension.type == NodeType::kEpisode && !extension.strength &&
         !extension.consolidation_score;
}

namespace {

constexpr uint32_t kTimestampNanosEnd = 2'000'000'000;  // a leap second has nanos >= 10^9

Status CheckTime(const std::optional<Timestamp>& time, const char* field) {
  if (!time || time->nanos < kTimestampNanosEnd) return Status::Ok();
  return Status::InvalidArgument(std::string(field) + " has " + std::to_string(time->nanos) +
                                     " nanoseconds, expected fewer than 2000000000",
                                 "give the time as RFC 3339 text in UTC");
}

Status CheckText(std::string_view text, const char* field) {
  if (IsValidUtf8(text)) return Status::Ok();
  return Status::InvalidArgument(std::string(field) + " is not valid UTF-8",
                                 "re-encode the text as UTF-8");
}

Status CheckMap(const engine::MetadataMap& map, const char* field) {
  for (const auto& [key, value] : map) {
    ENGRAM_TRY(CheckText(key, field));
    ENGRAM_TRY(CheckText(value, field));
  }
  return Status::Ok();
}

}  // namespace

Status ValidateExtension(const Extension& extension) {
  if (extension.type != NodeType::kEpisode && extension.type != NodeType::kConcept) {
    return Status::InvalidArgument(
        "node type " + std::to_string(static_cast<int>(extension.type)) + " is unknown",
        "use episode (1) or concept (2)");
  }
  bool has_episode_fields = extension.strength || extension.consolidation_score;
  bool has_concept_fields = std::bit_cast<uint32_t>(extension.coherence) != 0 ||
                            extension.instance_count != 0 ||
                            extension.formation_time != Timestamp{};
  if (extension.type == NodeType::kConcept && has_episode_fields) {
    return Status::InvalidArgument("a concept has no strength or consolidation_score",
                                   "leave both unset, or store the node as an episode");
  }
  if (extension.type == NodeType::kEpisode && has_concept_fields) {
    return Status::InvalidArgument("an episode has no coherence, instance_count or formation_time",
                                   "leave them 0, or store the node as a concept");
  }
  return CheckTime(extension.formation_time, "formation_time");
}

Status ValidateText(const TextFields& text) {
  ENGRAM_TRY(CheckText(text.id, "id"));
  if (text.content) ENGRAM_TRY(CheckText(*text.content, "content"));
  if (text.where) ENGRAM_TRY(CheckText(*text.where, "where"));
  if (text.who) {
    for (const std::string& name : *text.who) ENGRAM_TRY(CheckText(name, "who"));
  }
  if (text.provenance) {
    const engine::EmbeddingProvenance& p = *text.provenance;
    ENGRAM_TRY(CheckText(p.model_name, "embedding_provenance.model_name"));
    ENGRAM_TRY(CheckText(p.model_version, "embedding_provenance.model_version"));
    if (p.language) ENGRAM_TRY(CheckText(*p.language, "embedding_provenance.language"));
    ENGRAM_TRY(CheckMap(p.metadata, "embedding_provenance.metadata"));
  }
  return CheckMap(text.metadata, "metadata");
}

Status ValidateHead(const DualNode& head) {
  const engine::Residual& residual = head.residual;
  if (residual.layout > engine::Layout::kM) {
    return Status::InvalidArgument(
        "layout " + std::to_string(static_cast<int>(residual.layout)) + " is unknown",
        "use one of E0, E1, E2, E3, M, or none for a record that is born here");
  }
  if (residual.decay_function && residual.decay_function->kind > engine::DecayKind::kHybrid) {
    return Status::InvalidArgument(
        "decay function " + std::to_string(static_cast<uint32_t>(residual.decay_function->kind)) +
            " is unknown",
        "use exponential, power_law, two_component or hybrid");
  }
  ENGRAM_TRY(CheckTime(residual.when, "when"));
  ENGRAM_TRY(CheckTime(residual.last_recall, "last_recall"));
  ENGRAM_TRY(CheckTime(head.last_access, "last_access"));
  return CheckTime(head.created_at, "created_at");
}

bool SameContent(const Memory& old_head, const DualNode& dual_head, const Extension& extension) {
  DualNode converted;
  ToDualHead(old_head, dual_head.uuid, extension, &converted);
  DualNode stored = dual_head;
  stored.extension = extension;
  thread_local std::string a, b;
  a.clear();
  b.clear();
  AppendCanonical(converted, &a);
  AppendCanonical(stored, &b);
  return a == b && converted.residual.layout == stored.residual.layout;
}

float ClampUnit(float value) {
  if (value < 0) return 0;
  if (value > 1) return 1;
  return value;
}

float SpreadOnto(float current, float amount) { return std::fmin(1.0f, current + amount); }

}  // namespace engram::compat::internal
