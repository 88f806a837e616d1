// Memories across the boundary: the C struct to the record model and back.
#ifndef ENGRAM_PLUGIN_MEMORY_MARSHAL_H_
#define ENGRAM_PLUGIN_MEMORY_MARSHAL_H_

#include <string>
#include <vector>

#include "compat/memory_backend.h"
#include "engram/engram_storage_engine.h"

namespace engram::plugin {

struct OwnedMemory {
  engine::Memory memory;
  engine::Embedding embedding;
};

// Reads what `store` reads. kInvalidArgument: no embedding, text that is not UTF-8, a time that is
// not upstream's grammar, an unknown decay function; the message names the key.
Status ReadMemory(const engram_se_memory& given, OwnedMemory* out);
// Reads what `node_put` reads: the above and the node's fields. `node.uuid` is not set.
Status ReadNode(const engram_se_memory& given, engine::DualNode* node,
                engine::Embedding* embedding);

// The borrowed C form of a record. Reuses its buffers: valid until the next Fill() and only while
// the record and the embedding live.
class RecordView {
 public:
  // `embedding` may be null.
  const engram_se_memory& Fill(const compat::FullRecord& record,
                               const engine::Embedding* embedding);

 private:
  void FillText(const engine::TextFields& text);
  void FillTimes(const engine::Memory& memory);
  void FillScalars(const engine::Memory& memory);
  void FillProvenance(const engine::EmbeddingProvenance& provenance);
  void FillNode(const compat::FullRecord& record);

  engram_se_memory view_{};
  std::vector<engram_se_bytes> who_;
  std::vector<engram_se_pair> metadata_;
  std::vector<engram_se_pair> provenance_metadata_;
  std::string times_[5];
};

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_MEMORY_MARSHAL_H_
