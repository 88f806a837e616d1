// One write as the log carries it: row changes, digest changes, count changes and the next free
// keys. Applying it is a copy, so replay is deterministic and idempotent under applied_lsn.
// Format: docs/format/store.md, "log record".
#ifndef ENGRAM_ENGINE_INTERNAL_CHANGE_SET_H_
#define ENGRAM_ENGINE_INTERNAL_CHANGE_SET_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crypto.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/rows.h"
#include "engine/store.h"

namespace engram::engine {

inline constexpr uint8_t kLogRecordChangeSet = 1;  // wal::LogRecord::type; persisted

// What a digest change adds to or removes from. Tiers use their persisted numbers 1..3.
inline constexpr uint8_t kSumEdges = 4;
inline constexpr uint8_t kSumBindings = 5;

struct RowChange {
  Table table = Table::kMeta;
  bool is_delete = false;
  Bytes key;
  Bytes value;
};

struct DigestChange {
  uint8_t sum = 0;  // a Tier, kSumEdges or kSumBindings
  bool is_removal = false;
  NodeKey node;  // 0 for edges and bindings
  Sha256Digest digest{};
  // Instead of the above: a record that the tier counts could not be subtracted from it.
  bool marks_dirty = false;
};

// Differences of Counts; in the order of its members.
struct CountDeltas {
  int64_t records = 0, old = 0, dual = 0, episodes = 0, concepts = 0;
  int64_t edges = 0, bindings = 0, quarantined = 0;
  void Add(const CountDeltas& other);
  void ApplyTo(Counts* counts) const;
};

// One write, decoded; rows borrow from its payload.
struct ChangeSet {
  std::vector<RowChange> rows;
  std::vector<DigestChange> digests;
  CountDeltas counts;
  uint64_t next_node_key = 0;
  uint64_t next_vector_key = 0;
};

// Builds the payload as changes are staged; the row bytes are written once.
class ChangeSetBuilder {
 public:
  ChangeSetBuilder();
  // Returns where in the payload the row starts, for ChangeSetRow.
  uint32_t Put(Table table, Bytes key, Bytes value);
  uint32_t Delete(Table table, Bytes key);
  void AddDigest(const DigestChange& change) { digests_.push_back(change); }
  CountDeltas& counts() { return counts_; }
  // A row staged before, borrowed until the next Put or Delete.
  RowChange RowAt(uint32_t offset) const;
  // Of the payload so far, about.
  size_t size_bytes() const { return payload_.size() + digests_.size() * sizeof(DigestChange); }
  // The payload. `*changes` gets what DecodeChangeSet would give; moving the payload keeps it
  // valid.
  std::string Finish(uint64_t next_node_key, uint64_t next_vector_key, ChangeSet* changes);

 private:
  uint32_t AppendRow(Table table, bool is_delete, Bytes key, Bytes value);
  std::string payload_;
  std::vector<uint32_t> row_offsets_;
  std::vector<DigestChange> digests_;
  CountDeltas counts_;
};

// kCorruption or kUnsupported (unknown version, table or operation).
Status DecodeChangeSet(Bytes payload, ChangeSet* out);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_CHANGE_SET_H_
