#include "migration/ingest_writer.h"

#include <algorithm>

#include "engine/rows.h"

namespace engram::migration {
namespace {

using engine::BulkTxn;
using engine::Table;

constexpr std::string_view kReceiptSuffix = ".receipt";

}  // namespace

IngestWriter::IngestWriter(engine::Store* store, uint32_t origin, const IngestPlan& plan,
                           const Options& options, const IngestHooks& hooks, IngestTotals* totals)
    : store_(store),
      origin_(origin),
      plan_(plan),
      options_(options),
      hooks_(hooks),
      totals_(*totals),
      expected_(plan.reserved) {}

Status IngestWriter::Write(IngestBatch& batch) {
  if (hooks_.cancel != nullptr && hooks_.cancel->load(std::memory_order_relaxed)) {
    return Status::Cancelled("interrupted during the ingest, after " + std::to_string(done_) +
                             " of " + std::to_string(plan_.work.size()) + " records");
  }
  if (store_ != nullptr) {
    if (const uint64_t changes = ChangesOf(batch); changes > 0) {
      if (txn_ && hooks_.waits && hooks_.waits()) ENGRAM_TRY(CommitPending(CheckpointIsDue()));
      if (hooks_.throttle) ENGRAM_TRY(hooks_.throttle(changes));
    }
    ENGRAM_TRY(Begin());
    ENGRAM_TRY(batch.all_new && exclusive_ ? WriteNew(batch) : WriteOneByOne(batch));
  }
  Count(batch);
  done_ += batch.items.size();
  if (store_ != nullptr && pending_ >= options_.commit_records_max) {
    ENGRAM_TRY(CommitPending(CheckpointIsDue()));
  }
  if (hooks_.progress) hooks_.progress("ingest", done_, plan_.work.size());
  return Status::Ok();
}

// What is in already costs the store nothing, and a resumed run passes it without waiting.
uint64_t IngestWriter::ChangesOf(const IngestBatch& batch) {
  return static_cast<uint64_t>(
      std::count_if(batch.items.begin(), batch.items.end(), [](const IngestItem& item) {
        return item.action != IngestAction::kUnchanged && item.action != IngestAction::kKeepLocal;
      }));
}

Status IngestWriter::Begin() {
  if (txn_) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(txn_, store_->BeginBulk());
  if (expected_.value == 0 || txn_->lsn() != expected_) exclusive_ = false;
  // No writer, and so no change of the mode, gets in before the commit.
  converts_ = options_.heads == IngestHeads::kBoth ||
              (options_.heads == IngestHeads::kAsMode && store_->mode() != engine::Mode::kLegacy);
  return Status::Ok();
}

// The usual case: none of these ids was known, and nobody can have written them since.
Status IngestWriter::WriteNew(IngestBatch& batch) {
  for (const IngestItem& item : batch.items) {
    ENGRAM_TRY(txn_->AppendRecordNoDigest(RecordOf(batch, item, item.work.vector_key)));
  }
  pending_ += batch.items.size();
  return txn_->AddDigests(batch.appended);
}

Status IngestWriter::WriteOneByOne(IngestBatch& batch) {
  for (IngestItem& item : batch.items) {
    if (item.action == IngestAction::kKeepLocal || item.action == IngestAction::kUnchanged) {
      continue;
    }
    if (!exclusive_) {
      ENGRAM_ASSIGN_OR_RETURN(bool local, IsLocal(item));
      if (local) item.action = IngestAction::kKeepLocal;
      if (local) continue;
    }
    ENGRAM_TRY(WriteItem(batch, item));
    ++pending_;
  }
  return Status::Ok();
}

Status IngestWriter::WriteItem(IngestBatch& batch, const IngestItem& item) {
  if (item.action != IngestAction::kRemove) return Replace(batch, item);
  Status removed = txn_->RemoveRecord(item.work.key);
  return removed.code() == StatusCode::kNotFound ? Status::Ok() : removed;
}

Status IngestWriter::Replace(IngestBatch& batch, const IngestItem& item) {
  if (item.work.vector_key.value != 0) {
    return txn_->ReplaceRecord(RecordOf(batch, item, item.work.vector_key));
  }
  ENGRAM_ASSIGN_OR_RETURN(const VectorKey vector_key, txn_->AllocateVectorKeys(1));
  BulkTxn::NewRecord record = RecordOf(batch, item, vector_key);
  uint8_t key[8];
  StoreBe64(key, vector_key.value);
  embedding_.clear();
  // The row that the worker made is right but for its key.
  engine::EncodeEmbedding(key, item.work.key,
                          record.embedding.subspan(8, engine::kEmbeddingSizeBytes), &embedding_);
  record.embedding = AsBytes(embedding_);
  return txn_->ReplaceRecord(record);
}

// Asked inside the transaction: whether the id was written or deleted here meanwhile.
Result<bool> IngestWriter::IsLocal(const IngestItem& item) {
  uint8_t key[8];
  StoreBe64(key, item.work.key.value);
  engine::HeadCommon newest;
  bool present = false;
  ENGRAM_ASSIGN_OR_RETURN(std::optional<std::string> row, txn_->GetRow(Table::kOldHeads, key));
  if (row) {
    engine::OldHead head;
    ENGRAM_TRY(engine::DecodeOldHead(key, AsBytes(*row), &head));
    newest = head.common;
    present = true;
  }
  ENGRAM_ASSIGN_OR_RETURN(row, txn_->GetRow(Table::kHeads, key));
  if (row) {
    engine::DualHead head;
    ENGRAM_TRY(engine::DecodeDualHead(key, AsBytes(*row), &head));
    if (!present || head.common.seq >= newest.seq) newest = head.common;
    present = true;
  }
  if (present) return newest.origin == 0 || newest.origin > origin_;
  std::string id_key = engine::EncodeIdKey(item.id);
  ENGRAM_ASSIGN_OR_RETURN(row, txn_->GetRow(Table::kTombstones, AsBytes(id_key)));
  return row.has_value();
}

// Its heads get the sequence of the transaction.
BulkTxn::NewRecord IngestWriter::RecordOf(IngestBatch& batch, const IngestItem& item,
                                          VectorKey vector_key) {
  uint8_t key[8];
  StoreBe64(key, item.work.key.value);
  const std::span<uint8_t> old_head = batch.old_head(item);
  engine::RepositionHead(key, txn_->lsn(), vector_key, old_head);
  BulkTxn::NewRecord record{
      item.work.key, vector_key, old_head, batch.text_row(item), batch.embedding_row(item),
      item.digest,   item.tier};
  if (!converts_) return record;
  const std::span<uint8_t> dual_head = batch.dual_head(item);
  engine::RepositionHead(key, txn_->lsn(), vector_key, dual_head);
  record.dual_head = dual_head;
  return record;
}

void IngestWriter::Count(const IngestBatch& batch) {
  for (const IngestItem& item : batch.items) {
    switch (item.action) {
      case IngestAction::kAppend:
      case IngestAction::kReplace:
        ++totals_.written;
        totals_.converted += converts_ ? 1 : 0;
        break;
      case IngestAction::kRemove:
        ++totals_.removed;
        break;
      case IngestAction::kUnchanged:
        ++totals_.unchanged;
        break;
      case IngestAction::kKeepLocal:
        if (!item.deleted_in_source) ++totals_.kept_local;
        break;
    }
  }
  totals_.mismatches += batch.mismatches;
  totals_.source_minus_stored.Add(batch.source_minus_stored);
  for (const BulkTxn::DigestDelta* delta : {&batch.appended, &batch.planned_change}) {
    for (int i = 0; i < engine::kTierCount; ++i) {
      totals_.planned.tiers[i].count += delta->tiers[i].count;
      totals_.planned.tiers[i].lanes.Add(delta->tiers[i].lanes);
    }
  }
}

Status IngestWriter::Commit() {
  if (store_ == nullptr || (txn_ == nullptr && since_checkpoint_ == 0)) return Status::Ok();
  ENGRAM_TRY(Begin());
  return CommitPending(true);
}

Status IngestWriter::CommitPending(bool sync) {
  std::string receipt;
  PutLe(&receipt, done_);
  PutBytes(&receipt, options_.source_hash);
  ENGRAM_TRY(txn_->SetMeta(SourceRowName(origin_) + std::string(kReceiptSuffix), receipt));
  if (hooks_.committing) ENGRAM_TRY(hooks_.committing(*txn_, totals_.converted - told_converted_));
  told_converted_ = totals_.converted;
  Lsn lsn = txn_->lsn();
  ENGRAM_TRY(txn_->Commit({.sync = sync}));
  txn_.reset();
  // A commit that changes digests takes its sequence; one that does not leaves it to the next.
  expected_ = pending_ > 0 ? Lsn{lsn.value + 1} : lsn;
  since_checkpoint_ += pending_;
  pending_ = 0;
  if (!sync) return Status::Ok();
  since_checkpoint_ = 0;
  return hooks_.checkpoint ? hooks_.checkpoint(done_, options_.source_hash) : Status::Ok();
}

std::string QuarantineKey(uint32_t origin, const std::string& path, uint64_t offset) {
  std::string key = "s";
  PutLe(&key, __builtin_bswap32(origin));
  key += AsView(Sha256Of(AsBytes(path))).substr(0, 16);
  PutBe64(&key, offset);
  return key;
}

void EncodeQuarantineRow(Bytes key, const std::string& path, const QuarantinedRecord& record,
                         Bytes raw, std::string* out) {
  std::string value;
  PutLe(&value, static_cast<uint32_t>(path.size()));
  value += path;
  PutLe(&value, record.ref.offset);
  PutLe(&value, static_cast<uint32_t>(record.reason.size()));
  value += record.reason;
  PutLe(&value, static_cast<uint64_t>(raw.size()));
  PutBytes(&value, raw);
  engine::EncodeChecked(key, AsBytes(value), out);
}

}  // namespace engram::migration
