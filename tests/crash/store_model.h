// What a store must contain: the plain-container twin of its logical content, and the comparison of
// the two, row by row, with every digest recomputed from the rows.
#ifndef ENGRAM_TESTS_CRASH_STORE_MODEL_H_
#define ENGRAM_TESTS_CRASH_STORE_MODEL_H_

#include <map>
#include <string>
#include <vector>

#include "engine/store.h"

namespace engram::testing {

struct ModelRecord {
  engine::DualNode node;  // all of the content, text included
  uint64_t embedding_seed = 0;
};

struct ModelLink {
  std::string from;
  std::string to;
  uint64_t ordinal = 0;
  float weight = 0;  // of a binding: strength
  float contribution = 0;
  bool operator==(const ModelLink&) const = default;
};

struct StoreModel {
  std::map<std::string, ModelRecord> records;
  std::vector<ModelLink> edges;  // by ordinal at each source
  std::vector<ModelLink> bindings;
  engine::Mode mode = engine::Mode::kLegacy;
  std::map<std::string, std::string> meta;

  void RemoveRecord(const std::string& id);
  void AddLink(std::vector<ModelLink>* links, ModelLink link);  // sets the ordinal
};

// The 768 floats that a seed stands for, and their SHA-256.
void FillEmbedding(uint64_t seed, engine::Embedding* out);
Sha256Digest EmbeddingSha256(uint64_t seed);

// Empty if `view` shows exactly `model`; else the first difference.
std::string DifferenceFrom(const StoreModel& model, const SpaceId& space, engine::ReadView& view);

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_CRASH_STORE_MODEL_H_
