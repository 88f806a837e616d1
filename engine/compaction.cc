#include <algorithm>

#include "base/check.h"
#include "engine/internal/row_reader.h"
#include "engine/internal/store_impl.h"

namespace engram::engine {
namespace {

constexpr uint64_t kCommitBytes = 32u << 20;

// Writes to the new generation in commits of bounded size.
class GenerationWriter {
 public:
  explicit GenerationWriter(lmdb::Environment* to) : to_(to) {}
  Status Put(Table table, Bytes key, Bytes value) {
    if (txn_ == nullptr) {
      ENGRAM_ASSIGN_OR_RETURN(txn_, to_->BeginWrite());
    }
    ENGRAM_TRY(txn_->Put(table, key, value));
    bytes_ += key.size() + value.size() + 32;
    return bytes_ > kCommitBytes ? Commit() : Status::Ok();
  }
  Status Commit() {
    if (txn_ == nullptr) return Status::Ok();
    auto txn = std::move(txn_);
    bytes_ = 0;
    return txn->Commit();
  }

 private:
  lmdb::Environment* to_;
  std::unique_ptr<lmdb::WriteTxn> txn_;
  uint64_t bytes_ = 0;
};

// The sums of the records as their current heads say, to hold against the stored ones.
class DigestRecount {
 public:
  void Add(Bytes key, const HeadCommon& head) {
    rows_.Apply(
        {static_cast<uint8_t>(head.tier), false, NodeKey{LoadBe64(key.data())}, head.digest});
  }
  Status CompareWith(const DigestRows& stored) const {
    for (int i = 0; i < kTierCount; ++i) {
      if (rows_.tiers[i].count == stored.tiers[i].count &&
          rows_.tiers[i].lanes == stored.tiers[i].lanes) {
        continue;
      }
      return Status::Corruption(
          "the digest of tier " + std::string(TierName(static_cast<Tier>(i + 1))) +
              " does not match its records: " + std::to_string(rows_.tiers[i].count) +
              " records, the digest counts " + std::to_string(stored.tiers[i].count),
          "run `engram verify` to find the records; the store was left as it is");
    }
    return Status::Ok();
  }

 private:
  DigestRows rows_;
};

// The rows of one generation on their way to the next: verified, counted, some left behind.
class GenerationCopy {
 public:
  GenerationCopy(const lmdb::ReadTxn& from, lmdb::Environment* to, const CompactOptions& options)
      : from_(from), writer_(to), options_(options) {}
  Status Run(uint64_t rows_total);
  // REQUIRES: Run() succeeded
  const DigestRecount& recount() const { return recount_; }

 private:
  template <typename Head>
  class HeadRows;
  Status CopyTable(Table table);
  Status CopyHeads();
  Status Copy(Table table, Bytes key, Bytes value);
  Status SetFinalized();
  Status Damaged(Table table, Bytes key, const Status& why) const {
    return DamagedRow(from_.environment(), table, key, why.message());
  }

  const lmdb::ReadTxn& from_;
  GenerationWriter writer_;
  const CompactOptions& options_;
  DigestRecount recount_;
  uint64_t rows_done_ = 0;
  uint64_t rows_total_ = 0;
};

Status GenerationCopy::Copy(Table table, Bytes key, Bytes value) {
  ENGRAM_TRY(writer_.Put(table, key, value));
  if (!options_.progress || ++rows_done_ % 4096 != 0) return Status::Ok();
  return options_.progress(std::min(rows_done_, rows_total_), rows_total_);
}

// Whatever fails its checksum fails here rather than being copied on.
Status GenerationCopy::CopyTable(Table table) {
  ENGRAM_ASSIGN_OR_RETURN(auto cursor, lmdb::ReadCursor::Open(from_, table));
  Bytes key, value;
  ENGRAM_ASSIGN_OR_RETURN(bool more, cursor->Seek({}, &key, &value));
  while (more) {
    NodeKey owner;
    Bytes body;
    const Status checked = table == Table::kEmbeddings ? DecodeEmbedding(key, value, &owner, &body)
                                                       : DecodeChecked(key, value).status();
    if (!checked.ok()) return Damaged(table, key, checked);
    ENGRAM_TRY(Copy(table, key, value));
    ENGRAM_ASSIGN_OR_RETURN(more, cursor->Next(&key, &value));
  }
  return Status::Ok();
}

// Walks one of the two tables of heads, decoding each row.
template <typename Head>
class GenerationCopy::HeadRows {
 public:
  using Decode = Status (*)(Bytes key, Bytes value, Head* out);
  HeadRows(const GenerationCopy& copy, Table table, Decode decode)
      : copy_(copy), table_(table), decode_(decode) {}
  Status Start() {
    ENGRAM_ASSIGN_OR_RETURN(cursor_, lmdb::ReadCursor::Open(copy_.from_, table_));
    return Take(cursor_->Seek({}, &key_, &value_));
  }
  Status Next() { return Take(cursor_->Next(&key_, &value_)); }
  bool at_end() const { return at_end_; }
  Bytes key() const { return key_; }
  Bytes value() const { return value_; }
  const HeadCommon& head() const { return head_.common; }

 private:
  Status Take(const Result<bool>& more) {
    ENGRAM_TRY(more.status());
    at_end_ = !*more;
    if (at_end_) return Status::Ok();
    const Status decoded = decode_(key_, value_, &head_);
    return decoded.ok() ? decoded : copy_.Damaged(table_, key_, decoded);
  }
  const GenerationCopy& copy_;
  const Table table_;
  const Decode decode_;
  std::unique_ptr<lmdb::ReadCursor> cursor_;
  bool at_end_ = false;
  Bytes key_, value_;
  Head head_;
};

// Old and dual heads side by side: the current one of each record counts.
Status GenerationCopy::CopyHeads() {
  HeadRows<DualHead> dual(*this, Table::kHeads, DecodeDualHead);
  HeadRows<OldHead> old(*this, Table::kOldHeads, DecodeOldHead);
  ENGRAM_TRY(dual.Start());
  ENGRAM_TRY(old.Start());
  while (!dual.at_end() || !old.at_end()) {
    const bool has_dual =
        !dual.at_end() && (old.at_end() || AsView(dual.key()) <= AsView(old.key()));
    const bool has_old =
        !old.at_end() && (dual.at_end() || AsView(old.key()) <= AsView(dual.key()));
    const bool is_dual = has_dual && (!has_old || dual.head().seq >= old.head().seq);
    if (options_.drop_old_heads && !is_dual) {
      return Status::FailedPrecondition("a record has no current dual head",
                                        "convert it first: `engram migrate-dual`");
    }
    recount_.Add(is_dual ? dual.key() : old.key(), is_dual ? dual.head() : old.head());
    const bool keeps_old = has_old && !options_.drop_old_heads;
    if (has_dual) ENGRAM_TRY(Copy(Table::kHeads, dual.key(), dual.value()));
    if (keeps_old) ENGRAM_TRY(Copy(Table::kOldHeads, old.key(), old.value()));
    if (has_old) ENGRAM_TRY(old.Next());
    if (has_dual) ENGRAM_TRY(dual.Next());
  }
  return Status::Ok();
}

Status GenerationCopy::SetFinalized() {
  uint8_t body[8];
  StoreLe(body, static_cast<uint64_t>(Mode::kFinalized));
  std::string value;
  EncodeChecked(AsBytes(kMetaMode), body, &value);
  return writer_.Put(Table::kMeta, AsBytes(kMetaMode), AsBytes(value));
}

Status GenerationCopy::Run(uint64_t rows_total) {
  rows_total_ = rows_total;
  for (int t = 1; t <= kTableCount; ++t) {
    const auto table = static_cast<Table>(t);
    if (table == Table::kHeads || table == Table::kOldHeads) continue;
    ENGRAM_TRY(CopyTable(table));
  }
  ENGRAM_TRY(CopyHeads());
  if (options_.drop_old_heads) ENGRAM_TRY(SetFinalized());
  return writer_.Commit();
}

}  // namespace

Status StoreImpl::CopyGeneration(lmdb::Environment& from, lmdb::Environment* to,
                                 const CompactOptions& options, CompactReport* report) {
  ENGRAM_ASSIGN_OR_RETURN(const lmdb::ReadTxn txn, from.BeginRead());
  ENGRAM_ASSIGN_OR_RETURN(const DigestRows stored, DigestRows::Load([&txn](Bytes key) {
                            return txn.Get(Table::kDigests, key);
                          }));
  GenerationCopy copy(txn, to, options);
  ENGRAM_TRY(copy.Run(stored.counts.records * 3));
  ENGRAM_TRY(copy.recount().CompareWith(stored));
  DigestState state;
  std::copy(std::begin(stored.tiers), std::end(stored.tiers), std::begin(state.tiers));
  report->digest_before = report->digest_after = state.SpaceDigest();
  return to->Sync();
}

Result<CompactReport> StoreImpl::Compact(const CompactOptions& options) {
  ENGRAM_TRY(CheckWritable());
  std::unique_lock write_lock(write_mutex_);
  ENGRAM_TRY(Drain({.sync = true}));
  std::unique_lock apply_lock(apply_mutex_);
  FileSystem& fs = environment_.fs;
  CompactReport report;
  ENGRAM_ASSIGN_OR_RETURN(FileInfo before, fs.Stat(lmdb_->path() + "/data.mdb"));
  report.bytes_before = before.size_bytes;
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t used, lmdb_->UsedBytes());
  ENGRAM_ASSIGN_OR_RETURN(DiskSpace space, fs.Space(options_.directory));
  if (space.available_bytes < used + (16u << 20)) {
    return Status::Full("compaction needs " + std::to_string(used + (16u << 20)) +
                            " bytes free in " + options_.directory + ", there are " +
                            std::to_string(space.available_bytes),
                        "free space on the device; nothing was changed");
  }
  ENGRAM_TRY(ReplaceGeneration(
      [&](lmdb::Environment* next) { return CopyGeneration(*lmdb_, next, options, &report); }));
  if (options.drop_old_heads) mode_.store(Mode::kFinalized);
  ENGRAM_ASSIGN_OR_RETURN(FileInfo after, fs.Stat(lmdb_->path() + "/data.mdb"));
  report.bytes_after = after.size_bytes;
  // Not flushed: should the old generation come back after a crash, the next open removes it.
  ENGRAM_TRY(RemoveStrayGenerations());
  return report;
}

Status StoreImpl::ReplaceGeneration(const std::function<Status(lmdb::Environment*)>& fill) {
  FileSystem& fs = environment_.fs;
  // Rows that a failed attempt left behind may have been deleted since.
  ENGRAM_TRY(RemoveStrayGenerations());
  const std::string path = GenerationPath(store_file_.generation + 1);
  ENGRAM_TRY(fs.CreateDirectory(path));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t map_size_bytes, MapSize());
  ENGRAM_ASSIGN_OR_RETURN(
      auto next, lmdb::Environment::Open({.path = path, .map_size_bytes = map_size_bytes}));
  Status filled = fill(next.get());
  if (filled.ok()) filled = fs.SyncDirectory(path);
  if (filled.ok()) filled = fs.SyncDirectory(options_.directory);
  if (!filled.ok()) {
    next.reset();
    IgnoreError(RemoveStrayGenerations(), "the next open removes it");
    return filled;
  }
  StoreFile swapped = store_file_;
  swapped.generation += 1;
  Status renamed = WriteStoreFile(fs, JoinPath(options_.directory, "STORE"), swapped);
  if (!renamed.ok()) {
    // Which generation the file names is known only to the disk.
    Latch(renamed);
    return renamed;
  }
  store_file_ = swapped;
  {
    MutexLock lock(stage_mutex_);
    lmdb_ = std::move(next);
    applied_txn_id_ = 0;
  }
  return Status::Ok();
}

Result<DigestState> StoreImpl::CopyTo(const std::string& directory) {
  ENGRAM_TRY(CheckWritable());
  std::unique_lock write_lock(write_mutex_);
  ENGRAM_TRY(Drain({.sync = true}));
  std::unique_lock apply_lock(apply_mutex_);
  FileSystem& fs = environment_.fs;
  StoreFile copy = store_file_;
  copy.generation = 1;
  const std::string path = JoinPath(directory, "store.1");
  ENGRAM_TRY(fs.CreateDirectory(path));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t map_size_bytes, MapSize());
  ENGRAM_ASSIGN_OR_RETURN(
      auto to, lmdb::Environment::Open({.path = path, .map_size_bytes = map_size_bytes}));
  CompactReport report;
  ENGRAM_TRY(CopyGeneration(*lmdb_, to.get(), {}, &report));
  to.reset();
  ENGRAM_TRY(fs.SyncDirectory(path));
  ENGRAM_TRY(WriteStoreFile(fs, JoinPath(directory, "STORE"), copy));
  ENGRAM_ASSIGN_OR_RETURN(auto view, View());
  return view->Digests();
}

// The copy's rows; what must not go back goes on: the applied LSN and the keys that were given.
Status StoreImpl::FillFromCopy(lmdb::Environment* to, const std::string& directory,
                               const Sha256Digest& digest, Lsn lsn, Mode* mode) {
  ENGRAM_ASSIGN_OR_RETURN(const StoreFile copy,
                          ReadStoreFile(environment_.fs, JoinPath(directory, "STORE")));
  if (copy.store_uuid != store_file_.store_uuid) {
    return Status::FailedPrecondition(directory + " is a copy of another store");
  }
  const std::string path = JoinPath(directory, "store." + std::to_string(copy.generation));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t map_size_bytes, MapSize());
  ENGRAM_ASSIGN_OR_RETURN(
      auto from,
      lmdb::Environment::Open({.path = path, .map_size_bytes = map_size_bytes, .read_only = true}));
  CompactReport report;
  ENGRAM_TRY(CopyGeneration(*from, to, {}, &report));
  if (report.digest_after != digest) {
    return Status::Corruption(
        path + ": its digest is " + ToHex(report.digest_after) + ", expected " + ToHex(digest),
        "the copy is damaged; the store was left as it is");
  }
  ENGRAM_ASSIGN_OR_RETURN(auto txn, to->BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(const auto row, txn->Get(Table::kMeta, AsBytes(kMetaMode)));
  if (!row) return Status::Corruption(path + ": the meta row of the mode is missing");
  ENGRAM_ASSIGN_OR_RETURN(const Bytes body, DecodeChecked(AsBytes(kMetaMode), *row));
  if (body.size() == 8) *mode = static_cast<Mode>(LoadLe<uint64_t>(body.data()));
  const auto put = [&txn](std::string_view name, uint64_t number) {
    uint8_t bytes[8];
    StoreLe(bytes, number);
    std::string value;
    EncodeChecked(AsBytes(name), bytes, &value);
    return txn->Put(Table::kMeta, AsBytes(name), AsBytes(value));
  };
  ENGRAM_TRY(put(kMetaApplied, lsn.value));
  ENGRAM_TRY(put(kMetaNextNodeKey, next_node_key_));
  ENGRAM_TRY(put(kMetaNextVectorKey, next_vector_key_));
  ENGRAM_TRY(txn->Commit());
  return to->Sync();
}

Status StoreImpl::RestoreFrom(const std::string& directory, const Sha256Digest& digest) {
  ENGRAM_TRY(CheckWritable());
  std::unique_lock write_lock(write_mutex_);
  ENGRAM_TRY(Drain({.sync = true}));
  std::unique_lock apply_lock(apply_mutex_);
  // The marker first, as for a bulk batch: what was published so far keeps its LSN.
  const Lsn lsn = NextLsn();
  ENGRAM_TRY(LogBulkMarker(lsn, next_node_key_, next_vector_key_));
  Mode mode = this->mode();
  ENGRAM_TRY(ReplaceGeneration(
      [&](lmdb::Environment* next) { return FillFromCopy(next, directory, digest, lsn, &mode); }));
  {
    MutexLock lock(stage_mutex_);
    applied_.store(lsn.value);
  }
  previous_applied_ = lsn;
  mode_.store(mode);
  PublishBulk(lsn);
  ENGRAM_TRY(RemoveStrayGenerations());
  return log_->ReleaseBelow(lsn);
}

}  // namespace engram::engine
