#include <bit>

#include "base/check.h"
#include "engine/internal/read_view.h"
#include "engine/internal/store_impl.h"

namespace engram::engine {
namespace {

struct LinkTables {
  Table out;
  Table in;
  bool is_binding;
};
constexpr LinkTables kEdgeTables{Table::kEdgesOut, Table::kEdgesIn, false};
constexpr LinkTables kBindingTables{Table::kBindingsOut, Table::kBindingsIn, true};

class BulkTxnImpl final : public BulkTxn {
 public:
  BulkTxnImpl(StoreImpl* store, std::unique_lock<std::mutex> write,
              std::unique_lock<std::mutex> apply, Lsn applied, std::unique_ptr<lmdb::WriteTxn> txn)
      : store_(store),
        write_lock_(std::move(write)),
        apply_lock_(std::move(apply)),
        applied_(applied),
        lsn_(store->NextLsn()),
        next_node_key_(store->next_node_key()),
        next_vector_key_(store->next_vector_key()),
        txn_(std::move(txn)),
        digests_(
            [this](Bytes key) { return txn_->Get(Table::kDigests, key); },
            [this](Bytes key, Bytes value) { return txn_->Put(Table::kDigests, key, value); }) {}

  Lsn lsn() const override { return lsn_; }
  Result<NodeKey> AllocateNodeKeys(uint64_t count) override;
  Result<VectorKey> AllocateVectorKeys(uint64_t count) override;
  Result<bool> InstallDualHead(NodeKey key, Lsn seq, const DualHead& head) override;
  Status PutRow(Table table, Bytes key, Bytes value) override {
    return txn_->Put(table, key, value);
  }
  Status DeleteRow(Table table, Bytes key) override { return txn_->Delete(table, key); }
  Result<std::optional<std::string>> GetRow(Table table, Bytes key) override;
  Status AppendRecord(const NewRecord& record) override;
  Status ReplaceRecord(const NewRecord& record) override;
  Status RemoveRecord(NodeKey key) override;
  Status AppendRecordNoDigest(const NewRecord& record) override;
  Status AddDigests(const DigestDelta& delta) override;
  Status ReplaceDigests(const Totals& totals) override;
  Status SetMeta(std::string_view name, std::string_view value) override;
  Status CountQuarantined(int64_t change) override {
    ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
    uint64_t& count = rows->counts.quarantined;
    // Earlier versions did not count what an offline conversion put there.
    const bool below_zero = change < 0 && count < static_cast<uint64_t>(-change);
    count = below_zero ? 0 : count + static_cast<uint64_t>(change);
    return Status::Ok();
  }
  Status Commit(const CommitOptions& options) override;

 private:
  Status PutMeta(std::string_view name, Bytes value);
  Result<bool> Load(NodeKey key, StoredRecord* record);
  Status SubtractRecord(const StoredRecord& record);
  Result<Uuid> UuidOfNode(NodeKey key);
  Status DropLinks(const LinkTables& tables, Table side, NodeKey key);
  Status SubtractLink(const LinkTables& tables, NodeKey from, uint64_t ordinal, NodeKey to,
                      Bytes body);

  StoreImpl* store_;
  std::unique_lock<std::mutex> write_lock_;
  std::unique_lock<std::mutex> apply_lock_;
  const Lsn applied_;
  const Lsn lsn_;
  uint64_t next_node_key_;
  uint64_t next_vector_key_;
  std::unique_ptr<lmdb::WriteTxn> txn_;
  DigestBatch digests_;
  std::string scratch_;
  bool changes_content_ = false;  // then the commit takes its LSN
};

Result<NodeKey> BulkTxnImpl::AllocateNodeKeys(uint64_t count) {
  const NodeKey first{next_node_key_};
  next_node_key_ += count;
  return first;
}

Result<VectorKey> BulkTxnImpl::AllocateVectorKeys(uint64_t count) {
  const VectorKey first{next_vector_key_};
  next_vector_key_ += count;
  return first;
}

Result<bool> BulkTxnImpl::InstallDualHead(NodeKey key, Lsn seq, const DualHead& head) {
  uint8_t raw[8];
  StoreBe64(raw, key.value);
  const Bytes row_key(raw, 8);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> row, txn_->Get(Table::kOldHeads, row_key));
  if (!row) return false;
  OldHead old_head;
  ENGRAM_TRY(DecodeOldHead(row_key, *row, &old_head));
  if (old_head.common.seq != seq || head.common.seq != seq) return false;
  // A conversion changes the form alone (INV-1).
  if (old_head.common.digest != head.common.digest || old_head.common.tier != head.common.tier ||
      old_head.common.vector_key != head.common.vector_key ||
      old_head.common.origin != head.common.origin) {
    return Status::InvalidArgument("a dual head with other content than its old head");
  }
  ENGRAM_ASSIGN_OR_RETURN(row, txn_->Get(Table::kHeads, row_key));
  if (row) {
    DualHead present;
    // A damaged one counts as there: it is salvage's to replace, which says so.
    if (!DecodeDualHead(row_key, *row, &present).ok() || present.common.seq >= seq) return false;
  }
  scratch_.clear();
  EncodeDualHead(row_key, head.common, head.node, &scratch_);
  ENGRAM_TRY(txn_->Put(Table::kHeads, row_key, AsBytes(scratch_)));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  rows->counts.old -= 1;
  rows->counts.dual += 1;
  return true;
}

Result<std::optional<std::string>> BulkTxnImpl::GetRow(Table table, Bytes key) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> row, txn_->Get(table, key));
  if (!row) return std::optional<std::string>();
  return std::optional<std::string>(AsView(*row));
}

Status BulkTxnImpl::AppendRecordNoDigest(const NewRecord& record) {
  uint8_t raw[8];
  StoreBe64(raw, record.key.value);
  const Bytes row_key(raw, 8);
  uint8_t vector_raw[8];
  StoreBe64(vector_raw, record.vector_key.value);
  changes_content_ = true;
  ENGRAM_TRY(txn_->Put(Table::kOldHeads, row_key, record.old_head));
  if (!record.dual_head.empty()) ENGRAM_TRY(txn_->Put(Table::kHeads, row_key, record.dual_head));
  ENGRAM_TRY(txn_->Put(Table::kContent, row_key, record.text));
  ENGRAM_TRY(txn_->Put(Table::kEmbeddings, Bytes(vector_raw, 8), record.embedding));
  ENGRAM_TRY(digests_.ApplyToRange(record.key, record.digest, false));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  rows->counts.records += 1;
  (record.dual_head.empty() ? rows->counts.old : rows->counts.dual) += 1;
  rows->counts.episodes += 1;
  return Status::Ok();
}

Status BulkTxnImpl::AppendRecord(const NewRecord& record) {
  ENGRAM_TRY(AppendRecordNoDigest(record));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  rows->Apply({static_cast<uint8_t>(record.tier), false, record.key, record.digest});
  return Status::Ok();
}

Status BulkTxnImpl::AddDigests(const DigestDelta& delta) {
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  for (int i = 0; i < kTierCount; ++i) {
    rows->tiers[i].count += delta.tiers[i].count;
    rows->tiers[i].lanes.Add(delta.tiers[i].lanes);
  }
  return Status::Ok();
}

Status BulkTxnImpl::ReplaceDigests(const Totals& totals) {
  changes_content_ = true;
  const std::string prefix = RangeRowKey(0).substr(0, 1);
  for (;;) {
    ENGRAM_ASSIGN_OR_RETURN(auto row, txn_->FindFirst(Table::kDigests, AsBytes(prefix)));
    if (!row) break;
    ENGRAM_TRY(txn_->Delete(Table::kDigests, AsBytes(row->first)));
  }
  digests_.Replace(totals);
  return Status::Ok();
}

// Heads and extension as the transaction has them now; false if there is no record.
Result<bool> BulkTxnImpl::Load(NodeKey key, StoredRecord* record) {
  const std::string row_key = EncodeU64Key(key.value);
  record->key = key;
  HeadRows rows;
  ENGRAM_ASSIGN_OR_RETURN(rows.dual_head, txn_->Get(Table::kHeads, AsBytes(row_key)));
  ENGRAM_ASSIGN_OR_RETURN(rows.old_head, txn_->Get(Table::kOldHeads, AsBytes(row_key)));
  if (rows.empty()) return false;
  ENGRAM_TRY(TakeHeads(AsBytes(row_key), rows, record));
  ENGRAM_ASSIGN_OR_RETURN(auto row, txn_->Get(Table::kExtensions, AsBytes(row_key)));
  if (row) ENGRAM_TRY(DecodeExtension(AsBytes(row_key), *row, &record->extension));
  record->has_extension = row.has_value();
  return true;
}

// Takes a record's heads, embedding, digest and counts out; its other rows stay.
Status BulkTxnImpl::SubtractRecord(const StoredRecord& record) {
  changes_content_ = true;
  const std::string row_key = EncodeU64Key(record.key.value);
  const HeadCommon head = record.current();
  ENGRAM_TRY(digests_.Apply({static_cast<uint8_t>(head.tier), true, record.key, head.digest}));
  ENGRAM_TRY(txn_->Delete(Table::kEmbeddings, AsBytes(EncodeU64Key(head.vector_key.value))));
  ENGRAM_TRY(txn_->Delete(Table::kHeads, AsBytes(row_key)));
  ENGRAM_TRY(txn_->Delete(Table::kOldHeads, AsBytes(row_key)));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  rows->counts.records -= 1;
  (record.counts_as_dual() ? rows->counts.dual : rows->counts.old) -= 1;
  (record.extension.type == NodeType::kConcept ? rows->counts.concepts : rows->counts.episodes) -=
      1;
  return Status::Ok();
}

Status BulkTxnImpl::ReplaceRecord(const NewRecord& record) {
  StoredRecord before;
  ENGRAM_ASSIGN_OR_RETURN(const bool existed, Load(record.key, &before));
  if (existed) ENGRAM_TRY(SubtractRecord(before));
  ENGRAM_TRY(AppendRecord(record));
  if (before.extension.type == NodeType::kConcept) {
    ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
    rows->counts.episodes -= 1;
    rows->counts.concepts += 1;
  }
  return Status::Ok();
}

Status BulkTxnImpl::RemoveRecord(NodeKey key) {
  StoredRecord record;
  ENGRAM_ASSIGN_OR_RETURN(const bool existed, Load(key, &record));
  if (!existed) return Status::NotFound("there is no record to remove");
  ENGRAM_TRY(SubtractRecord(record));
  const std::string row_key = EncodeU64Key(key.value);
  ENGRAM_TRY(txn_->Delete(Table::kExtensions, AsBytes(row_key)));
  for (const LinkTables& tables : {kEdgeTables, kBindingTables}) {
    ENGRAM_TRY(DropLinks(tables, tables.out, key));
    ENGRAM_TRY(DropLinks(tables, tables.in, key));
  }
  // The id keeps its key; its text row is only the id from now on.
  ENGRAM_ASSIGN_OR_RETURN(auto row, txn_->Get(Table::kContent, AsBytes(row_key)));
  if (!row) return Status::Ok();
  TextFields text, only_id;
  ENGRAM_TRY(DecodeTextFields(AsBytes(row_key), *row, &text));
  only_id.id = std::move(text.id);
  scratch_.clear();
  EncodeTextFields(AsBytes(row_key), only_id, &scratch_);
  return txn_->Put(Table::kContent, AsBytes(row_key), AsBytes(scratch_));
}

Result<Uuid> BulkTxnImpl::UuidOfNode(NodeKey key) {
  const std::string row_key = EncodeU64Key(key.value);
  ENGRAM_ASSIGN_OR_RETURN(auto row, txn_->Get(Table::kContent, AsBytes(row_key)));
  if (!row) return Status::Corruption("the text row of a linked node is missing");
  TextFields text;
  ENGRAM_TRY(DecodeTextFields(AsBytes(row_key), *row, &text));
  return store_->UuidOf(text.id);
}

// Drops every link of `key` that `side` lists, with its twin and its digest.
Status BulkTxnImpl::DropLinks(const LinkTables& tables, Table side, NodeKey key) {
  const std::string prefix = EncodeU64Key(key.value);
  for (;;) {
    ENGRAM_ASSIGN_OR_RETURN(auto row, txn_->FindFirst(side, AsBytes(prefix)));
    if (!row) return Status::Ok();
    const uint64_t ordinal = LoadBe64(row->first.data() + 8);
    const NodeKey other{LoadBe64(row->first.data() + 16)};
    ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(AsBytes(row->first), AsBytes(row->second)));
    const NodeKey from = side == tables.out ? key : other, to = side == tables.out ? other : key;
    ENGRAM_TRY(SubtractLink(tables, from, ordinal, to, body));
    ENGRAM_TRY(txn_->Delete(tables.out, AsBytes(EncodeLinkKey(from, ordinal, to))));
    ENGRAM_TRY(txn_->Delete(tables.in, AsBytes(EncodeLinkKey(to, ordinal, from))));
  }
}

Status BulkTxnImpl::SubtractLink(const LinkTables& tables, NodeKey from, uint64_t ordinal,
                                 NodeKey to, Bytes body) {
  ENGRAM_ASSIGN_OR_RETURN(const Uuid from_uuid, UuidOfNode(from));
  ENGRAM_ASSIGN_OR_RETURN(const Uuid to_uuid, UuidOfNode(to));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests_.rows());
  auto number = [&body](size_t at) {
    return std::bit_cast<float>(LoadLe<uint32_t>(body.data() + at));
  };
  if (tables.is_binding) {
    if (body.size() != 8) return Status::Corruption("a binding row has a wrong size");
    rows->counts.bindings -= 1;
    return digests_.Apply(
        {kSumBindings, true, {}, BindingDigest(from_uuid, ordinal, to_uuid, number(0), number(4))});
  }
  if (body.size() != 4) return Status::Corruption("an edge row has a wrong size");
  rows->counts.edges -= 1;
  return digests_.Apply({kSumEdges, true, {}, EdgeDigest(from_uuid, ordinal, to_uuid, number(0))});
}

Status BulkTxnImpl::SetMeta(std::string_view name, std::string_view value) {
  ENGRAM_TRY(CheckMetaName(name));
  return PutMeta(name, AsBytes(value));
}

Status BulkTxnImpl::PutMeta(std::string_view name, Bytes value) {
  scratch_.clear();
  EncodeChecked(AsBytes(name), value, &scratch_);
  return txn_->Put(Table::kMeta, AsBytes(name), AsBytes(scratch_));
}

Status BulkTxnImpl::Commit(const CommitOptions& options) {
  ENGRAM_TRY(digests_.Flush());
  uint8_t value[8];
  StoreLe(value, next_node_key_);
  ENGRAM_TRY(PutMeta(kMetaNextNodeKey, Bytes(value, 8)));
  StoreLe(value, next_vector_key_);
  ENGRAM_TRY(PutMeta(kMetaNextVectorKey, Bytes(value, 8)));
  // The marker first: a log that ends below what LMDB has applied would be a damaged one.
  if (changes_content_) {
    ENGRAM_TRY(store_->LogBulkMarker(lsn_, next_node_key_, next_vector_key_));
  }
  const Lsn applied = changes_content_ ? lsn_ : applied_;
  Status committed = store_->CommitLmdb(std::move(txn_), applied, options.sync);
  if (!committed.ok()) {
    if (committed.code() != StatusCode::kFull) store_->Latch(committed);
    return committed;
  }
  if (!options.sync) store_->NoteUnflushedBulk();
  if (changes_content_) store_->PublishBulk(lsn_);
  store_->SetNextKeys(next_node_key_, next_vector_key_);
  apply_lock_.unlock();
  write_lock_.unlock();
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<BulkTxn>> MakeBulkTxn(StoreImpl* store, std::unique_lock<std::mutex> write,
                                             std::unique_lock<std::mutex> apply, Lsn applied) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store->lmdb_environment().BeginWrite());
  return std::unique_ptr<BulkTxn>(std::make_unique<BulkTxnImpl>(
      store, std::move(write), std::move(apply), applied, std::move(txn)));
}

}  // namespace engram::engine
