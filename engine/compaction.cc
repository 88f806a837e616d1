#include <algorithm>

#include "base/check.h"
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

// Every kind of row fails its checksum here rather than being copied on.
Status CheckRow(Table table, Bytes key, Bytes value) {
  if (value.size() < 4) return Status::Corruption("a row shorter than its checksum");
  switch (table) {
    case Table::kHeads: {
      DualHead head;
      return DecodeDualHead(key, value, &head);
    }
    case Table::kOldHeads: {
      OldHead head;
      return DecodeOldHead(key, value, &head);
    }
    case Table::kEmbeddings: {
      NodeKey owner;
      Bytes floats;
      return DecodeEmbedding(key, value, &owner, &floats);
    }
    default:
      return DecodeChecked(key, value).status();
  }
}

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

}  // namespace

// One pass over old and new heads side by side: the current one of each record counts.
Status StoreImpl::CopyGeneration(lmdb::Environment* to, const CompactOptions& options,
                                 CompactReport* report) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, lmdb_->BeginRead());
  ENGRAM_ASSIGN_OR_RETURN(DigestRows stored, DigestRows::Load([&txn](Bytes key) {
                            return txn.Get(Table::kDigests, key);
                          }));
  GenerationWriter writer(to);
  DigestRecount recount;
  uint64_t rows_done = 0;
  const uint64_t rows_total = stored.counts.records * 3;
  for (int t = 1; t <= kTableCount; ++t) {
    const auto table = static_cast<Table>(t);
    ENGRAM_ASSIGN_OR_RETURN(auto cursor, lmdb::ReadCursor::Open(txn, table));
    Bytes key, value;
    ENGRAM_ASSIGN_OR_RETURN(bool more, cursor->Seek({}, &key, &value));
    while (more) {
      const auto where = [&] {
        return lmdb_->path() + "/data.mdb, table " + std::to_string(t) + ", key " + ToHex(key);
      };
      Status checked = CheckRow(table, key, value);
      if (!checked.ok()) return checked.WithContext(where());
      bool copy = true;
      if (table == Table::kHeads) {
        DualHead head;
        ENGRAM_TRY(DecodeDualHead(key, value, &head).WithContext(where()));
        ENGRAM_ASSIGN_OR_RETURN(auto old_row, txn.Get(Table::kOldHeads, key));
        OldHead old_head;
        if (old_row) ENGRAM_TRY(DecodeOldHead(key, *old_row, &old_head).WithContext(where()));
        if (!old_row || head.common.seq >= old_head.common.seq) recount.Add(key, head.common);
      } else if (table == Table::kOldHeads) {
        OldHead head;
        ENGRAM_TRY(DecodeOldHead(key, value, &head).WithContext(where()));
        ENGRAM_ASSIGN_OR_RETURN(auto dual_row, txn.Get(Table::kHeads, key));
        DualHead dual_head;
        if (dual_row) ENGRAM_TRY(DecodeDualHead(key, *dual_row, &dual_head).WithContext(where()));
        const bool superseded = dual_row && dual_head.common.seq >= head.common.seq;
        if (!superseded) recount.Add(key, head.common);
        if (options.drop_old_heads && !superseded) {
          return Status::FailedPrecondition("a record has no current dual head",
                                            "convert it first: `engram migrate-dual`");
        }
        copy = !options.drop_old_heads;
      }
      if (copy) ENGRAM_TRY(writer.Put(table, key, value));
      if (options.progress && ++rows_done % 4096 == 0) {
        ENGRAM_TRY(options.progress(std::min(rows_done, rows_total), rows_total));
      }
      ENGRAM_ASSIGN_OR_RETURN(more, cursor->Next(&key, &value));
    }
  }
  if (options.drop_old_heads) {
    uint8_t body[8];
    StoreLe(body, static_cast<uint64_t>(Mode::kFinalized));
    std::string value;
    EncodeChecked(AsBytes(kMetaMode), body, &value);
    ENGRAM_TRY(writer.Put(Table::kMeta, AsBytes(kMetaMode), AsBytes(value)));
  }
  ENGRAM_TRY(writer.Commit());
  ENGRAM_TRY(recount.CompareWith(stored));
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
  // Rows that a failed compaction left behind may have been deleted since.
  ENGRAM_TRY(RemoveStrayGenerations());
  const std::string path = GenerationPath(store_file_.generation + 1);
  ENGRAM_TRY(fs.CreateDirectory(path));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t map_size_bytes, MapSize());
  ENGRAM_ASSIGN_OR_RETURN(
      auto next, lmdb::Environment::Open({.path = path, .map_size_bytes = map_size_bytes}));
  Status copied = CopyGeneration(next.get(), options, &report);
  if (copied.ok()) copied = fs.SyncDirectory(path);
  if (copied.ok()) copied = fs.SyncDirectory(options_.directory);
  if (!copied.ok()) {
    next.reset();
    IgnoreError(RemoveStrayGenerations(), "the next open removes it");
    return copied;
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
  if (options.drop_old_heads) mode_.store(Mode::kFinalized);
  ENGRAM_ASSIGN_OR_RETURN(FileInfo after, fs.Stat(lmdb_->path() + "/data.mdb"));
  report.bytes_after = after.size_bytes;
  // Not flushed: should the old generation come back after a crash, the next open removes it.
  ENGRAM_TRY(RemoveStrayGenerations());
  return report;
}

}  // namespace engram::engine
