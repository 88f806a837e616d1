// One unit of work of an ingest's second pass: some ids of the source, decoded, merged, hashed and
// encoded by a worker, ready for the writer.
#ifndef ENGRAM_MIGRATION_INGEST_BATCH_H_
#define ENGRAM_MIGRATION_INGEST_BATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/sha256_batch.h"
#include "engine/store.h"
#include "migration/audit_decoder.h"
#include "migration/sources/record_reader.h"
#include "migration/sources/source_index.h"

namespace engram::migration {

// One id that the second pass has to look at, in node key order.
struct WorkItem {
  uint64_t index_id = 0;  // into the SourceIndex
  NodeKey key;            // none in a dry run
  VectorKey vector_key;   // reserved for it if it has no key yet
  bool known = false;     // the id had a key before this run: the store decides what happens
};

using WorkList = MappedVector<WorkItem>;

enum class IngestAction : uint8_t {
  kAppend,     // nothing is there
  kReplace,    // an older version of this or an earlier source is there
  kRemove,     // the source deletes it
  kUnchanged,  // exactly this is there
  kKeepLocal,  // written or deleted here, or by a later source
};

struct IngestItem {
  WorkItem work;
  std::string_view id;  // borrowed from the index
  bool deleted_in_source = false;
  IngestAction action = IngestAction::kAppend;
  engine::Layout layout = engine::Layout::kNone;
  Sha256Digest digest{};  // the converter's
  engine::Tier tier = engine::Tier::kCold;
  // Rows in IngestBatch::rows. The heads have no sequence yet: only the writer knows it.
  uint64_t heads_begin = 0;
  uint64_t text_begin = 0;
  uint64_t text_size = 0;
  uint64_t embedding_begin = 0;
  uint64_t embedding_size = 0;
};

struct IngestBatch {
  uint64_t first = 0;  // positions in the work list
  uint64_t last = 0;   // past the end
  std::vector<IngestItem> items;
  std::string rows;
  // Of the items with kAppend.
  engine::BulkTxn::DigestDelta appended;
  // Lane sum of the audit decoder's digests of what comes from this source, minus that of the
  // digests the store has or will have for the same ids.
  engine::LtHash source_minus_stored;
  // What replacing and removing changes in the tiers: for dry runs.
  engine::BulkTxn::DigestDelta planned_change;
  uint64_t mismatches = 0;  // audit digest != converter digest
  bool all_new = false;     // every id got its key in this run
  bool has_dual_heads = false;

  void Clear();
  std::span<uint8_t> old_head(const IngestItem& item) {
    return RowAt(item.heads_begin, engine::kOldHeadSizeBytes);
  }
  // REQUIRES: has_dual_heads
  std::span<uint8_t> dual_head(const IngestItem& item) {
    return RowAt(item.heads_begin + engine::kOldHeadSizeBytes, engine::kDualHeadSizeBytes);
  }
  Bytes text_row(const IngestItem& item) const {
    return AsBytes(rows).subspan(item.text_begin, item.text_size);
  }
  Bytes embedding_row(const IngestItem& item) const {
    return AsBytes(rows).subspan(item.embedding_begin, item.embedding_size);
  }

 private:
  std::span<uint8_t> RowAt(uint64_t begin, size_t size) {
    return std::span(reinterpret_cast<uint8_t*>(rows.data()), rows.size()).subspan(begin, size);
  }
};

// Fills batches. One per thread. Records are taken in groups, so that their hashes can be computed
// side by side.
class BatchBuilder {
 public:
  struct Options {
    engine::Store* store = nullptr;  // null in a dry run without one
    // Number of the source (0: a new one in a dry run, which counts as later than all others).
    uint32_t origin = 0;
    std::optional<SpaceId> convert_for;  // encode dual heads too, of nodes of this space
  };
  BatchBuilder(const SourceIndex& index, const Options& options)
      : index_(index), options_(options), reader_(index) {}
  Status Build(const WorkList& work, uint64_t first, uint64_t last, IngestBatch* out);

 private:
  struct Contributions {
    size_t first = 0;  // into refs_
    size_t count = 0;
  };
  // A record on its way into the batch.
  struct Draft {
    IngestItem* item = nullptr;
    Contributions refs;
    compat::UpstreamRecord merged;
    engine::DualNode node;
    Sha256Digest audit_digest{};
  };

  Status CollectRefs(const WorkList& work, uint64_t first, uint64_t last);
  Status BuildGroup(const WorkList& work, uint64_t first, uint64_t last, IngestBatch* out);
  Status Merge(Draft* draft);
  Status AddDigests(Draft* draft);
  std::span<Draft> Drafts() { return std::span(drafts_).first(draft_count_); }
  Status Finish(Draft* draft, IngestBatch* out);
  Status Decide(const IngestItem& item, IngestBatch* out, IngestAction* action);
  Status CheckAgainst(const engine::StoredRecord& stored, const IngestItem& item,
                      const IngestBatch& batch, IngestAction* action);
  void EncodeRows(const Draft& draft, IngestBatch* out);
  Status DecideRemoval(IngestItem* item, IngestBatch* out);
  void AddSums(const Draft& draft, IngestBatch* out);

  const SourceIndex& index_;
  const Options options_;
  RecordReader reader_;
  std::vector<RecordRef> refs_;
  std::vector<RecordRef> id_refs_;
  std::vector<Contributions> contributions_;
  std::vector<Draft> drafts_;  // kept for their capacities
  size_t draft_count_ = 0;
  compat::UpstreamRecord next_;
  AuditDecoder audit_;
  std::vector<AuditPayload> payloads_;
  Sha256Batch sha256_;
  std::unique_ptr<engine::ReadView> view_;         // of the batch, when the store is asked
  std::optional<engine::HeadCommon> stored_head_;  // of the item's present record
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_BATCH_H_
