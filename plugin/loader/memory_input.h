// One line of `memory put` or `memory delete`: JSON text to what the engine takes.
#ifndef ENGRAM_PLUGIN_LOADER_MEMORY_INPUT_H_
#define ENGRAM_PLUGIN_LOADER_MEMORY_INPUT_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/rfc3339.h"
#include "engram/engram_storage_engine.h"

namespace engram::plugin {

using TextMap = std::vector<std::pair<std::string, std::string>>;

struct DecayInput {
  uint32_t kind = 0;
  float a = 0, b = 0;
  uint64_t n = 0;
};

struct ProvenanceInput {
  std::string model_name, model_version;
  uint64_t dimension = 0;
  std::optional<std::string> language;
  uint64_t created_at_s = 0;
  std::optional<float> quality_score;
  TextMap metadata;
};

// A memory that owns its text. The keys are those that `memory list` prints; floats may be numbers,
// 8 hex digits of their bits, or "NaN", "Infinity", "-Infinity".
struct MemoryInput {
  std::string id;
  std::optional<std::string> content, where, when, last_recall, last_access, created_at;
  std::optional<std::vector<std::string>> who;
  std::array<float, ENGRAM_SE_EMBEDDING_DIMENSION> embedding{};
  float activation = 0;
  float confidence_encoding = 0;
  std::optional<float> confidence_vividness, confidence_reliability;
  float decay_rate = 0;
  std::optional<uint32_t> recall_count;
  std::optional<uint64_t> access_count;
  TextMap metadata;

  std::optional<DecayInput> decay_function;
  std::optional<ProvenanceInput> provenance;
};

// What a missing key stands for: upstream's Memory constructor, with `now` as its clock
// (last_access, created_at), access_count 0, decay_rate 0.1, and the server's confidence of 0.7.
// A missing activation is the encoding confidence. An explicit null means absent.
inline constexpr float kDefaultConfidence = 0.7f;
inline constexpr float kDefaultDecayRate = 0.1f;

// kInvalidArgument names the key, what was found and what is expected. Read-only keys (layout, lsn,
// digest, tier, embedding_sha256, node, format, ok) are ignored, unknown ones refused.
Result<MemoryInput> ParseMemoryLine(std::string_view line, std::string_view now);

// A line of `memory delete`: an object with "id" (other keys are ignored) or a JSON string.
Result<std::string> ParseIdLine(std::string_view line);

// The borrowed C form of a MemoryInput, which must outlive it and stay unchanged.
class MemoryInputView {
 public:
  explicit MemoryInputView(const MemoryInput& input);
  const engram_se_memory& memory() const { return memory_; }

 private:
  void SetText(const std::optional<std::string>& text, uint64_t bit, engram_se_bytes* out);
  void SetProvenance(const ProvenanceInput& provenance);

  std::vector<engram_se_bytes> who_;
  std::vector<engram_se_pair> metadata_;
  std::vector<engram_se_pair> provenance_metadata_;
  engram_se_memory memory_{};
};

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_MEMORY_INPUT_H_
