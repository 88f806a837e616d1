// One unit of work of an ingest's second pass: some ids of the source, decoded, merged, hashed and
// encoded by a worker, ready for the writer.
#ifndef ENGRAM_MIGRATION_INGEST_BATCH_H_
#define ENGRAM_MIGRATION_INGEST_BATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
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
  engine::Memory memory;  // without texts
  Sha256Digest digest{};  // the converter's
  engine::Tier tier = engine::Tier::kCold;
  uint64_t text_begin = 0;  // rows in IngestBatch::rows
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

  void Clear();
  Bytes text_row(const IngestItem& item) const {
    return AsBytes(rows).subspan(item.text_begin, item.text_size);
  }
  Bytes embedding_row(const IngestItem& item) const {
    return AsBytes(rows).subspan(item.embedding_begin, item.embedding_size);
  }
};

// Fills batches. One per thread.
class BatchBuilder {
 public:
  // `store` is null in a dry run without one. `origin` is the number of the source (0: a new one in
  // a dry run, which counts as later than all others).
  BatchBuilder(const SourceIndex& index, engine::Store* store, uint32_t origin)
      : index_(index), store_(store), origin_(origin), reader_(index) {}
  Status Build(const WorkList& work, uint64_t first, uint64_t last, IngestBatch* out);

 private:
  struct Contributions {
    size_t first = 0;  // into refs_
    size_t count = 0;
  };
  Status CollectRefs(const WorkList& work, uint64_t first, uint64_t last);
  Status BuildItem(const WorkItem& work, const Contributions& refs, IngestBatch* out);
  Status Merge(const Contributions& refs);
  Status Audit(const Contributions& refs);
  Status Decide(const IngestItem& item, IngestBatch* out, IngestAction* action);
  Status CheckAgainst(const engine::StoredRecord& stored, const IngestItem& item,
                      const IngestBatch& batch, IngestAction* action);
  void EncodeRows(IngestItem* item, IngestBatch* out);
  Status DecideRemoval(IngestItem* item, IngestBatch* out);
  void AddSums(const IngestItem& item, IngestBatch* out);

  const SourceIndex& index_;
  engine::Store* const store_;
  const uint32_t origin_;
  RecordReader reader_;
  std::vector<RecordRef> refs_;
  std::vector<RecordRef> id_refs_;
  std::vector<Contributions> contributions_;
  compat::UpstreamRecord merged_;
  compat::UpstreamRecord next_;
  AuditDecoder audit_;
  std::vector<AuditPayload> payloads_;
  Sha256 sha256_;
  std::unique_ptr<engine::ReadView> view_;         // of the batch, when the store is asked
  std::optional<engine::HeadCommon> stored_head_;  // of the item's present record
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_BATCH_H_
