#include "migration/ingest_plan.h"

#include <algorithm>

#include "engine/rows.h"
#include "migration/sources/mapped_vector.h"

namespace engram::migration {
namespace {

using engine::BulkTxn;
using engine::ReadView;
using engine::Table;

Result<bool> HasIds(ReadView& view) {
  bool any = false;
  ENGRAM_TRY(view.ScanTable(Table::kIds, {}, [&](Bytes, Bytes) -> Result<bool> {
    any = true;
    return false;
  }));
  return any;
}

// Inserts rows in table order, committing now and then.
class IdWriter {
 public:
  IdWriter(engine::Store& store, const PlanOptions& options, uint64_t total)
      : store_(store), options_(options), total_(total) {}

  Status Begin() {
    ENGRAM_ASSIGN_OR_RETURN(txn_, store_.BeginBulk());
    // Id rows leave the sequence as it is: another one is another writer's.
    if (lsn_.value != 0 && txn_->lsn() != lsn_) disturbed_ = true;
    lsn_ = txn_->lsn();
    return Status::Ok();
  }
  // 0: somebody wrote between the commits.
  Lsn undisturbed_lsn() const { return disturbed_ ? Lsn{} : lsn_; }
  BulkTxn& txn() { return *txn_; }
  // The key that is entered under `key` by someone else since the plan was made; 0: none.
  Result<NodeKey> Present(Table table, Bytes key) {
    ENGRAM_ASSIGN_OR_RETURN(const auto row, txn_->GetRow(table, key));
    if (!row) return NodeKey{};
    ENGRAM_ASSIGN_OR_RETURN(const Bytes body, engine::DecodeChecked(key, AsBytes(*row)));
    if (body.size() != 8) return Status::Corruption("an id row of a wrong size");
    return NodeKey{LoadLe<uint64_t>(body.data())};
  }
  Status Put(Table table, Bytes key, NodeKey node) {
    uint8_t value[8];
    StoreLe(value, node.value);
    row_.clear();
    engine::EncodeChecked(key, value, &row_);
    ENGRAM_TRY(txn_->PutRow(table, key, AsBytes(row_)));
    ++done_;
    if (++rows_ < options_.commit_rows_max) return Status::Ok();
    ENGRAM_TRY(Commit());
    if (options_.progress) options_.progress(done_, total_);
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
      return Status::Cancelled("interrupted while ids were entered");
    }
    return Begin();
  }
  Status Commit() {
    rows_ = 0;
    ENGRAM_TRY(txn_->Commit({.sync = true}));
    txn_.reset();
    return Status::Ok();
  }

 private:
  engine::Store& store_;
  const PlanOptions& options_;
  std::unique_ptr<BulkTxn> txn_;
  Lsn lsn_;
  bool disturbed_ = false;
  std::string row_;
  uint64_t rows_ = 0;  // since the last commit
  uint64_t done_ = 0;
  const uint64_t total_;
};

Status ReserveKeys(BulkTxn& txn, IngestPlan* plan) {
  ENGRAM_ASSIGN_OR_RETURN(NodeKey node, txn.AllocateNodeKeys(plan->fresh));
  ENGRAM_ASSIGN_OR_RETURN(VectorKey vector, txn.AllocateVectorKeys(plan->fresh));
  for (uint64_t i = plan->work.size() - plan->fresh; i < plan->work.size(); ++i) {
    plan->work[i].key = node;
    plan->work[i].vector_key = vector;
    ++node.value;
    ++vector.value;
  }
  return Status::Ok();
}

Status SortIds(const PlanOptions& options, const SourceIndex& index, IngestPlan* plan) {
  const uint64_t first = plan->work.size() - plan->fresh;
  auto& rows = plan->by_id;
  ENGRAM_TRY(rows.Create(options.fs));
  ENGRAM_TRY(rows.Resize(plan->fresh));
  for (uint64_t i = 0; i < plan->fresh; ++i) rows[i] = first + i;
  auto id_of = [&](uint64_t work) { return index.id(plan->work[work].index_id); };
  std::sort(&rows[0], &rows[0] + plan->fresh,
            [&](uint64_t a, uint64_t b) { return id_of(a) < id_of(b); });
  return Status::Ok();
}

Status SortUuids(const PlanOptions& options, const SpaceId& space, const SourceIndex& index,
                 ReadView* view, IngestPlan* plan) {
  const uint64_t first = plan->work.size() - plan->fresh;
  auto& rows = plan->by_uuid;
  ENGRAM_TRY(rows.Create(options.fs));
  ENGRAM_TRY(rows.Resize(plan->fresh));
  for (uint64_t i = 0; i < plan->fresh; ++i) {
    std::string_view id = index.id(plan->work[first + i].index_id);
    rows[i] = {engine::NodeUuid(space, id), first + i};
  }
  for (uint64_t i = 0; options.mends && i < first; ++i) {
    const Uuid uuid = engine::NodeUuid(space, index.id(plan->work[i].index_id));
    ENGRAM_ASSIGN_OR_RETURN(const std::optional<NodeKey> present, view->FindUuid(uuid));
    if (!present) ENGRAM_TRY(rows.Append({uuid, i}));
  }
  if (rows.size() == 0) return Status::Ok();
  std::sort(&rows[0], &rows[0] + rows.size(),
            [](const UuidRow& a, const UuidRow& b) { return a.uuid < b.uuid; });
  return Status::Ok();
}

}  // namespace

Status MakePlan(const PlanOptions& options, engine::Store* store, bool for_writing,
                SourceIndex* index, IngestPlan* plan) {
  ENGRAM_TRY(plan->work.Create(options.fs));
  std::unique_ptr<ReadView> view;
  bool ask = false;
  if (store != nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(view, store->Snapshot());
    ENGRAM_ASSIGN_OR_RETURN(ask, HasIds(*view));
  }
  for (uint64_t i = 0; ask && i < index->id_count(); ++i) {
    ENGRAM_ASSIGN_OR_RETURN(std::optional<NodeKey> key, view->FindId(index->id(i)));
    if (!key) continue;
    index->set_tag(i, key->value);
    ENGRAM_TRY(plan->work.Append({i, *key, VectorKey{}, true}));
  }
  if (plan->work.size() > 0) {
    std::sort(&plan->work[0], &plan->work[0] + plan->work.size(),
              [](const WorkItem& a, const WorkItem& b) { return a.key < b.key; });
  }
  for (uint64_t i = 0; i < index->id_count(); ++i) {
    if (index->tag(i) != 0 || !index->alive(i)) continue;
    ENGRAM_TRY(plan->work.Append({i, NodeKey{}, VectorKey{}, false}));
    ++plan->fresh;
  }
  if (!for_writing || (plan->fresh == 0 && !options.mends)) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(SpaceId space, SpaceId::Parse(store->space()));
  if (plan->fresh > 0) ENGRAM_TRY(SortIds(options, *index, plan));
  return SortUuids(options, space, *index, view.get(), plan);
}

Status ReserveIds(const PlanOptions& options, engine::Store& store, const KnownSource& source,
                  const SourceIndex& index, IngestPlan* plan) {
  IdWriter writer(store, options, plan->by_id.size() + plan->by_uuid.size());
  ENGRAM_TRY(writer.Begin());
  ENGRAM_TRY(writer.txn().SetMeta(SourceRowName(source.number), EncodeKnownSource(source)));
  if (plan->fresh > 0) {
    ENGRAM_TRY(ReserveKeys(writer.txn(), plan));
  }
  const uint64_t first_fresh = plan->work.size() - plan->fresh;
  for (uint64_t i = 0; i < plan->by_id.size(); ++i) {
    WorkItem& item = plan->work[plan->by_id[i]];
    std::string key = engine::EncodeIdKey(index.id(item.index_id));
    ENGRAM_ASSIGN_OR_RETURN(const NodeKey present, writer.Present(Table::kIds, AsBytes(key)));
    if (present.value == 0) {
      ENGRAM_TRY(writer.Put(Table::kIds, AsBytes(key), item.key));
      continue;
    }
    // Written here since the plan was made: the id has its key, and its uuid row.
    item.key = present;
    item.vector_key = VectorKey{};
    item.known = true;
  }
  for (uint64_t i = 0; i < plan->by_uuid.size(); ++i) {
    const UuidRow& row = plan->by_uuid[i];
    if (row.work >= first_fresh && plan->work[row.work].known) continue;  // written here meanwhile
    ENGRAM_TRY(writer.Put(Table::kUuids, row.uuid.bytes, plan->work[row.work].key));
  }
  ENGRAM_TRY(writer.Commit());
  plan->reserved = writer.undisturbed_lsn();
  return Status::Ok();
}

}  // namespace engram::migration
