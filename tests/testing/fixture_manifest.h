// Reads the manifests of tests/fixtures and compares a decoded record with an entry of them.
#ifndef ENGRAM_TESTS_TESTING_FIXTURE_MANIFEST_H_
#define ENGRAM_TESTS_TESTING_FIXTURE_MANIFEST_H_

#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/crypto.h"
#include "engine/record.h"

namespace engram::testing {

inline std::string FixturePath(const std::string& relative) {
  return std::string(ENGRAM_SOURCE_DIR) + "/tests/fixtures/" + relative;
}

inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline nlohmann::json LoadManifest(const std::string& relative) {
  return nlohmann::json::parse(ReadWholeFile(FixturePath(relative)));
}

inline std::string FloatBits(float value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", std::bit_cast<uint32_t>(value));
  return text;
}

inline nlohmann::json TimeJson(const std::optional<engine::Timestamp>& time) {
  return time ? nlohmann::json(engine::FormatTimestamp(*time)) : nlohmann::json(nullptr);
}

inline nlohmann::json TextJson(const std::optional<std::string>& text) {
  return text ? nlohmann::json(*text) : nlohmann::json(nullptr);
}

inline nlohmann::json MapJson(const engine::MetadataMap& map) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

inline nlohmann::json ProvenanceJson(const std::optional<engine::EmbeddingProvenance>& p) {
  if (!p) return nullptr;
  return {{"name", p->model_name},
          {"version", p->model_version},
          {"dimension", p->dimension},
          {"language", TextJson(p->language)},
          {"created_at_s", p->created_at_s},
          {"quality", p->quality_score ? nlohmann::json(FloatBits(*p->quality_score)) : nullptr},
          {"metadata", MapJson(p->metadata)}};
}

inline nlohmann::json DecayJson(const std::optional<engine::DecayFunction>& decay) {
  if (!decay) return nullptr;
  switch (decay->kind) {
    case engine::DecayKind::kExponential:
      return {{"exponential", FloatBits(decay->a)}};
    case engine::DecayKind::kPowerLaw:
      return {{"power_law", FloatBits(decay->a)}};
    case engine::DecayKind::kTwoComponent:
      return {{"two_component", decay->n}};
    case engine::DecayKind::kHybrid:
      return {
          {"hybrid", nlohmann::json::array({FloatBits(decay->a), FloatBits(decay->b), decay->n})}};
  }
  return nullptr;
}

// The payload's fields with the manifest's keys. `embedding_sha256` is that of the memory.
inline nlohmann::json PayloadJson(const engine::Memory& memory) {
  nlohmann::json out = {{"id", memory.text.id},
                        {"layout", std::string(engine::LayoutName(memory.layout))},
                        {"embedding_sha256", ToHex(memory.embedding_sha256)},
                        {"decay_rate_bits", FloatBits(memory.decay_rate)},
                        {"provenance", ProvenanceJson(memory.text.provenance)}};
  if (memory.layout == engine::Layout::kM) {
    out["type"] = 2;
    out["activation_bits"] = FloatBits(memory.activation);
    out["confidence_bits"] = nlohmann::json::array({FloatBits(memory.confidence_encoding)});
    out["content"] = TextJson(memory.text.content);
    out["last_access"] = TimeJson(memory.last_access);
    out["created_at"] = TimeJson(memory.created_at);
    out["access_count"] = memory.access_count.value_or(0);
    return out;
  }
  out["type"] = 1;
  out["confidence_bits"] = nlohmann::json::array(
      {FloatBits(memory.confidence_encoding), FloatBits(memory.confidence_vividness.value_or(0)),
       FloatBits(memory.confidence_reliability.value_or(0))});
  out["what"] = TextJson(memory.text.content);
  out["when"] = TimeJson(memory.when);
  out["where"] = TextJson(memory.text.where);
  out["who"] = memory.text.who ? nlohmann::json(*memory.text.who) : nlohmann::json(nullptr);
  out["last_recall"] = TimeJson(memory.last_recall);
  out["recall_count"] = memory.recall_count.value_or(0);
  out["decay_function"] = DecayJson(memory.decay_function);
  out["metadata"] = MapJson(memory.text.metadata);
  return out;
}

// The manifest's entry without what belongs to the header.
inline nlohmann::json PayloadOfEntry(nlohmann::json entry) {
  for (const char* key : {"offset", "end", "sequence", "size", "timestamp_ns"}) entry.erase(key);
  return entry;
}

inline bool IsMemoryEntry(const nlohmann::json& entry) {
  return !entry.contains("damage") && (entry["type"] == 1 || entry["type"] == 2);
}

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_FIXTURE_MANIFEST_H_
