#include "plugin/loader/memory_input.h"

#include "plugin/loader/json_tree.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

constexpr char kKeysHint[] =
    "use the keys that `engram memory list --exact --embeddings` prints, one object a line";

Status BadKey(std::string_view key, const std::string& what) {
  return Status::InvalidArgument("key \"" + std::string(key) + "\": " + what, kKeysHint);
}
Status Unexpected(std::string_view key, std::string_view expected, const JsonTree& found) {
  return BadKey(key,
                "expected " + std::string(expected) + ", found " + std::string(TypeName(found)));
}

Status ReadText(std::string_view key, const JsonTree& value, std::string* out) {
  if (!value.is_string()) return Unexpected(key, "a text", value);
  *out = value.get_ref<const std::string&>();
  return Status::Ok();
}

Status ReadFloat(std::string_view key, const JsonTree& value, float* out) {
  Result<float> number = ToFloat(value);
  if (!number.ok()) return BadKey(key, number.status().message());
  *out = *number;
  return Status::Ok();
}

template <typename Integer>
Status ReadInteger(std::string_view key, const JsonTree& value, Integer* out) {
  if (!value.is_number_unsigned()) {
    return value.is_number() ? BadKey(key, "expected a whole number that is not negative")
                             : Unexpected(key, "a whole number", value);
  }
  const auto number = value.get<uint64_t>();
  *out = static_cast<Integer>(number);
  if (*out != number) return BadKey(key, std::to_string(number) + " is too large");
  return Status::Ok();
}

// A null is absent, anything else must fit `read`.
template <typename T, typename Read>
Status ReadOptional(std::string_view key, const JsonTree& value, std::optional<T>* out,
                    Read&& read) {
  out->reset();
  if (value.is_null()) return Status::Ok();
  return read(key, value, &out->emplace());
}

Status ReadTexts(std::string_view key, const JsonTree& value, std::vector<std::string>* out) {
  if (!value.is_array()) return Unexpected(key, "an array of texts", value);
  for (const JsonTree& item : value) ENGRAM_TRY(ReadText(key, item, &out->emplace_back()));
  return Status::Ok();
}

Status ReadMap(std::string_view key, const JsonTree& value, TextMap* out) {
  if (value.is_null()) return Status::Ok();
  if (!value.is_object()) return Unexpected(key, "an object of texts", value);
  for (const auto& [name, item] : value.items()) {
    std::string text;
    ENGRAM_TRY(ReadText(std::string(key) + "." + name, item, &text));
    out->emplace_back(name, std::move(text));
  }
  return Status::Ok();
}

Status ReadConfidence(const JsonTree& value, MemoryInput* out) {
  if (!value.is_object()) return Unexpected("confidence", "an object", value);
  for (const auto& [name, item] : value.items()) {
    const std::string key = "confidence." + name;
    if (name == "encoding") {
      ENGRAM_TRY(ReadFloat(key, item, &out->confidence_encoding));
    } else if (name == "vividness") {
      ENGRAM_TRY(ReadOptional(key, item, &out->confidence_vividness, ReadFloat));
    } else if (name == "reliability") {
      ENGRAM_TRY(ReadOptional(key, item, &out->confidence_reliability, ReadFloat));
    } else {
      return BadKey(key, "unknown key");
    }
  }
  return Status::Ok();
}

struct DecayKey {
  std::string_view function;
  std::string_view key;
  uint32_t kind;
  char field;  // of DecayInput
};
constexpr DecayKey kDecayKeys[] = {
    {"exponential", "tau_hours", ENGRAM_SE_DECAY_EXPONENTIAL, 'a'},
    {"power_law", "beta", ENGRAM_SE_DECAY_POWER_LAW, 'a'},
    {"two_component", "consolidation_threshold", ENGRAM_SE_DECAY_TWO_COMPONENT, 'n'},
    {"hybrid", "short_term_tau", ENGRAM_SE_DECAY_HYBRID, 'a'},
    {"hybrid", "long_term_beta", ENGRAM_SE_DECAY_HYBRID, 'b'},
    {"hybrid", "transition_point", ENGRAM_SE_DECAY_HYBRID, 'n'},
};

Status ReadDecayKey(const DecayKey& known, const JsonTree& parameters, DecayInput* out) {
  const std::string key =
      "decay_function." + std::string(known.function) + "." + std::string(known.key);
  const auto found = parameters.find(known.key);
  if (found == parameters.end()) return BadKey(key, "missing");
  out->kind = known.kind;
  if (known.field == 'n') return ReadInteger(key, *found, &out->n);
  return ReadFloat(key, *found, known.field == 'a' ? &out->a : &out->b);
}

Status ReadDecay(std::string_view key, const JsonTree& value, DecayInput* out) {
  if (!value.is_object() || value.size() != 1 || !value.front().is_object()) {
    return BadKey(key,
                  "expected null or one of {\"exponential\": {\"tau_hours\"}}, "
                  "{\"power_law\": {\"beta\"}}, {\"two_component\": "
                  "{\"consolidation_threshold\"}}, {\"hybrid\": {\"short_term_tau\", "
                  "\"long_term_beta\", \"transition_point\"}}");
  }
  const std::string& function = value.begin().key();
  size_t read = 0;
  for (const DecayKey& known : kDecayKeys) {
    if (known.function != function) continue;
    ENGRAM_TRY(ReadDecayKey(known, value.front(), out));
    ++read;
  }
  if (read == 0) return BadKey(key, "unknown decay function \"" + function + "\"");
  if (read != value.front().size()) return BadKey(key, "unknown key in \"" + function + "\"");
  return Status::Ok();
}

Status ReadProvenance(std::string_view key, const JsonTree& value, ProvenanceInput* out) {
  if (!value.is_object()) return Unexpected(key, "an object or null", value);
  bool named = false;
  for (const auto& [name, item] : value.items()) {
    const std::string inner = std::string(key) + "." + name;
    if (name == "model_name") {
      named = true;
      ENGRAM_TRY(ReadText(inner, item, &out->model_name));
    } else if (name == "model_version") {
      ENGRAM_TRY(ReadText(inner, item, &out->model_version));
    } else if (name == "dimension") {
      ENGRAM_TRY(ReadInteger(inner, item, &out->dimension));
    } else if (name == "language") {
      ENGRAM_TRY(ReadOptional(inner, item, &out->language, ReadText));
    } else if (name == "created_at_s") {
      ENGRAM_TRY(ReadInteger(inner, item, &out->created_at_s));
    } else if (name == "quality_score") {
      ENGRAM_TRY(ReadOptional(inner, item, &out->quality_score, ReadFloat));
    } else if (name == "metadata") {
      ENGRAM_TRY(ReadMap(inner, item, &out->metadata));
    } else {
      return BadKey(inner, "unknown key");
    }
  }
  return named ? Status::Ok() : BadKey(std::string(key) + ".model_name", "missing");
}

Status ReadEmbedding(const JsonTree& value, const std::vector<float>& floats, MemoryInput* out) {
  if (!value.is_boolean() || floats.empty()) {
    return Unexpected("embedding", "an array of 768 numbers", value);
  }
  if (floats.size() != out->embedding.size()) {
    return BadKey("embedding", "expected 768 numbers, found " + std::to_string(floats.size()));
  }
  std::copy(floats.begin(), floats.end(), out->embedding.begin());
  return Status::Ok();
}

bool IsReadOnlyKey(std::string_view key) {
  for (std::string_view known :
       {"layout", "lsn", "digest", "tier", "embedding_sha256", "node", "format", "ok"}) {
    if (key == known) return true;
  }
  return false;
}

// A scalar that every memory has: null cannot stand for it.
Status ReadScalar(std::string_view key, const JsonTree& value, float* out) {
  if (value.is_null()) return BadKey(key, "every memory has one, it cannot be null");
  return ReadFloat(key, value, out);
}

Status ReadKey(const std::string& key, const JsonTree& value, MemoryInput* out) {
  if (key == "id") return ReadText(key, value, &out->id);
  if (key == "content") return ReadOptional(key, value, &out->content, ReadText);
  if (key == "when") return ReadOptional(key, value, &out->when, ReadText);
  if (key == "where") return ReadOptional(key, value, &out->where, ReadText);
  if (key == "who") return ReadOptional(key, value, &out->who, ReadTexts);
  if (key == "embedding_provenance") {
    return ReadOptional(key, value, &out->provenance, ReadProvenance);
  }
  if (key == "activation") return ReadScalar(key, value, &out->activation);
  if (key == "confidence") return ReadConfidence(value, out);
  if (key == "decay_rate") return ReadScalar(key, value, &out->decay_rate);
  if (key == "decay_function") return ReadOptional(key, value, &out->decay_function, ReadDecay);
  if (key == "last_recall") return ReadOptional(key, value, &out->last_recall, ReadText);
  if (key == "recall_count") {
    return ReadOptional(key, value, &out->recall_count, ReadInteger<uint32_t>);
  }
  if (key == "last_access") return ReadOptional(key, value, &out->last_access, ReadText);
  if (key == "access_count") {
    return ReadOptional(key, value, &out->access_count, ReadInteger<uint64_t>);
  }
  if (key == "created_at") return ReadOptional(key, value, &out->created_at, ReadText);
  if (key == "metadata") return ReadMap(key, value, &out->metadata);
  if (IsReadOnlyKey(key)) return Status::Ok();
  return BadKey(key, "unknown key");
}

void SetDefaults(std::string_view now, MemoryInput* out) {
  out->last_access = out->created_at = std::string(now);
  out->access_count = 0;
  out->confidence_encoding = kDefaultConfidence;
  out->decay_rate = kDefaultDecayRate;
}

Status ReadKeys(const ParsedLine& parsed, MemoryInput* out) {
  for (const auto& [key, value] : parsed.tree.items()) {
    if (key == "embedding") {
      ENGRAM_TRY(ReadEmbedding(value, parsed.embedding, out));
    } else {
      ENGRAM_TRY(ReadKey(key, value, out));
    }
  }
  if (!parsed.tree.contains("id")) return BadKey("id", "missing");
  if (!parsed.tree.contains("embedding")) return BadKey("embedding", "missing");
  if (!parsed.tree.contains("activation")) out->activation = out->confidence_encoding;
  return Status::Ok();
}

void SetMap(const TextMap& map, std::vector<engram_se_pair>* out) {
  out->reserve(map.size());
  for (const auto& [key, value] : map) out->push_back({ToBytes(key), ToBytes(value)});
}

}  // namespace

Result<MemoryInput> ParseMemoryLine(std::string_view line, std::string_view now) {
  ENGRAM_ASSIGN_OR_RETURN(const ParsedLine parsed, ParseJsonLine(line));
  if (!parsed.tree.is_object()) {
    return Status::InvalidArgument(
        "expected a JSON object, found " + std::string(TypeName(parsed.tree)), kKeysHint);
  }
  Result<MemoryInput> input = MemoryInput();
  SetDefaults(now, &*input);
  ENGRAM_TRY(ReadKeys(parsed, &*input));
  return input;
}

Result<std::string> ParseIdLine(std::string_view line) {
  ENGRAM_ASSIGN_OR_RETURN(const ParsedLine parsed, ParseJsonLine(line));
  const JsonTree& tree = parsed.tree;
  if (tree.is_string()) return tree.get<std::string>();
  if (tree.is_object() && tree.contains("id") && tree["id"].is_string()) {
    return tree["id"].get<std::string>();
  }
  return Status::InvalidArgument("expected an object with a text \"id\", or a JSON text",
                                 "write one {\"id\": \"...\"} a line");
}

MemoryInputView::MemoryInputView(const MemoryInput& input) {
  memory_.struct_size = sizeof memory_;
  memory_.id = ToBytes(input.id);
  SetText(input.content, ENGRAM_SE_HAS_CONTENT, &memory_.content);
  SetText(input.where, ENGRAM_SE_HAS_WHERE, &memory_.where);
  SetText(input.when, ENGRAM_SE_HAS_WHEN, &memory_.when);
  SetText(input.last_recall, ENGRAM_SE_HAS_LAST_RECALL, &memory_.last_recall);
  SetText(input.last_access, ENGRAM_SE_HAS_LAST_ACCESS, &memory_.last_access);
  SetText(input.created_at, ENGRAM_SE_HAS_CREATED_AT, &memory_.created_at);
  if (input.who) {
    for (const std::string& person : *input.who) who_.push_back(ToBytes(person));
    memory_.present |= ENGRAM_SE_HAS_WHO;
    memory_.who = who_.data();
    memory_.who_count = who_.size();
  }
  SetMap(input.metadata, &metadata_);
  memory_.metadata = metadata_.data();
  memory_.metadata_count = metadata_.size();
  memory_.embedding = input.embedding.data();
  memory_.activation = input.activation;
  memory_.confidence_encoding = input.confidence_encoding;
  memory_.decay_rate = input.decay_rate;
  auto set = [&](const auto& value, uint64_t bit, auto* out) {
    if (!value) return;
    memory_.present |= bit;
    *out = *value;
  };
  set(input.confidence_vividness, ENGRAM_SE_HAS_VIVIDNESS, &memory_.confidence_vividness);
  set(input.confidence_reliability, ENGRAM_SE_HAS_RELIABILITY, &memory_.confidence_reliability);
  set(input.recall_count, ENGRAM_SE_HAS_RECALL_COUNT, &memory_.recall_count);
  set(input.access_count, ENGRAM_SE_HAS_ACCESS_COUNT, &memory_.access_count);
  if (input.decay_function) {
    memory_.present |= ENGRAM_SE_HAS_DECAY_FUNCTION;
    memory_.decay_kind = input.decay_function->kind;
    memory_.decay_a = input.decay_function->a;
    memory_.decay_b = input.decay_function->b;
    memory_.decay_n = input.decay_function->n;
  }
  if (input.provenance) SetProvenance(*input.provenance);
}

void MemoryInputView::SetText(const std::optional<std::string>& text, uint64_t bit,
                              engram_se_bytes* out) {
  if (!text) return;
  memory_.present |= bit;
  *out = ToBytes(*text);
}

void MemoryInputView::SetProvenance(const ProvenanceInput& provenance) {
  memory_.present |= ENGRAM_SE_HAS_PROVENANCE;
  memory_.provenance_model_name = ToBytes(provenance.model_name);
  memory_.provenance_model_version = ToBytes(provenance.model_version);
  memory_.provenance_dimension = provenance.dimension;
  memory_.provenance_created_at_s = provenance.created_at_s;
  SetText(provenance.language, ENGRAM_SE_HAS_PROVENANCE_LANGUAGE, &memory_.provenance_language);
  if (provenance.quality_score) {
    memory_.present |= ENGRAM_SE_HAS_PROVENANCE_QUALITY;
    memory_.provenance_quality_score = *provenance.quality_score;
  }
  SetMap(provenance.metadata, &provenance_metadata_);
  memory_.provenance_metadata = provenance_metadata_.data();
  memory_.provenance_metadata_count = provenance_metadata_.size();
}

}  // namespace engram::plugin
