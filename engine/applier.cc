#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "base/check.h"
#include "engine/internal/store_impl.h"

namespace engram::engine {
namespace {

// A write is applied at the latest this long after it was acknowledged. Each round flushes, and the
// log's flushes beside it wait for the device.
constexpr auto kApplyInterval = std::chrono::milliseconds(200);

std::string U64Row(std::string_view name, uint64_t value) {
  uint8_t body[8];
  StoreLe(body, value);
  std::string out;
  EncodeChecked(AsBytes(name), body, &out);
  return out;
}

Status PutU64(lmdb::WriteTxn* txn, std::string_view name, uint64_t value) {
  return txn->Put(Table::kMeta, AsBytes(name), AsBytes(U64Row(name, value)));
}

}  // namespace

// Freezes what is staged, makes it durable, commits it to LMDB in key order and drops it.
Status StoreImpl::ApplyFrozen() {
  std::lock_guard apply_lock(apply_mutex_);
  ENGRAM_TRY(CheckWritable());
  MemtableList tables;
  Lsn target;
  {
    MutexLock lock(stage_mutex_);
    if (!tables_.back()->empty()) AddMemtable();
    tables.assign(tables_.begin(), tables_.end() - 1);
    if (tables.empty()) return Status::Ok();
    target = tables.back()->last();
  }
  ENGRAM_TRY(WaitDurable(target));
  Status status = ApplyTables(tables, target);
  if (status.code() == StatusCode::kFull) {
    if (!full_.exchange(true)) environment_.logger.Error("the device is full: " + status.message());
    return status;
  }
  if (!status.ok()) {
    Latch(status);
    return status;
  }
  {
    MutexLock lock(stage_mutex_);
    uint64_t freed = 0;
    for (const auto& table : tables) freed += table->size_bytes();
    tables_.erase(tables_.begin(), tables_.begin() + static_cast<ptrdiff_t>(tables.size()));
    ShareTables();
    pending_bytes_.fetch_sub(freed);
  }
  room_.NotifyAll();
  return Status::Ok();
}

Status StoreImpl::ApplyTables(const MemtableList& tables, Lsn target) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, lmdb_->BeginWrite());
  for (const auto& memtable : tables) {
    std::vector<OverlayRow> rows;
    for (int t = 1; t <= kTableCount; ++t) {
      const auto table = static_cast<Table>(t);
      rows.clear();
      memtable->Collect(table, {}, {}, target, &rows);
      for (const OverlayRow& row : rows) {
        ENGRAM_TRY(row.is_delete ? txn->Delete(table, row.key)
                                 : txn->Put(table, row.key, row.value));
      }
    }
  }
  DigestBatch digests(
      [&](Bytes key) -> Result<std::optional<Bytes>> {
        auto row = txn->Get(Table::kDigests, key);
        // Salvage counts anew anyway: what it cannot read must not keep the log from being applied.
        const bool readable = !row.ok() || !*row || DecodeChecked(key, **row).ok();
        if (options_.salvage && !readable) return std::optional<Bytes>();
        return row;
      },
      [&txn](Bytes key, Bytes value) { return txn->Put(Table::kDigests, key, value); });
  std::vector<DigestChange> changes;
  CountDeltas counts;
  for (const auto& memtable : tables) memtable->CollectChanges({}, target, &changes, &counts);
  for (const DigestChange& change : changes) ENGRAM_TRY(digests.Apply(change));
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * rows, digests.rows());
  counts.ApplyTo(&rows->counts);
  ENGRAM_TRY(digests.Flush());
  ENGRAM_TRY(PutU64(txn.get(), kMetaNextNodeKey, tables.back()->next_node_key()));
  ENGRAM_TRY(PutU64(txn.get(), kMetaNextVectorKey, tables.back()->next_vector_key()));
  return CommitLmdb(std::move(txn), target, false);
}

// REQUIRES: apply_mutex_ is held.
Status StoreImpl::CommitLmdb(std::unique_ptr<lmdb::WriteTxn> txn, Lsn applied, bool sync) {
  ENGRAM_TRY(PutU64(txn.get(), kMetaApplied, applied.value));
  const uint64_t txn_id = txn->id();
  // The meta page of the commit before a failed flush may never reach the device, and the next
  // commit takes pages that only the one before that still needs: this one becomes durable first.
  const bool flushes_the_one_before = !last_commit_failed_;
  Status committed = txn->Commit();
  if (!committed.ok()) {
    last_commit_failed_ = true;
    return FullIfNoSpace(committed);
  }
  {
    MutexLock lock(stage_mutex_);
    // This commit's flush proves the one before it, unless that flush was tried and failed before.
    if (!last_commit_failed_) previous_applied_ = Lsn{applied_.load()};
    last_commit_failed_ = false;
    applied_.store(applied.value);
    applied_txn_id_ = txn_id;
  }
  full_.store(false);
  if (flushes_the_one_before) bulk_is_unflushed_.store(false);
  if (sync || !flushes_the_one_before) ENGRAM_TRY(SyncLmdb());
  if (log_ == nullptr) return Status::Ok();
  // It is committed: whoever heard of an error now would apply it again. A segment that stays is
  // released with a later commit, a log that latched says so at the next write.
  const Status released = log_->ReleaseBelow(previous_applied_);
  if (!released.ok()) environment_.logger.Error("the log cannot shrink: " + released.ToString());
  return Status::Ok();
}

// LMDB reports a write that did not fit as EIO when a part of it did.
Status StoreImpl::FullIfNoSpace(const Status& status) {
  constexpr uint64_t kMarginBytes = 4u << 20;  // more than LMDB writes in one call
  if (status.code() != StatusCode::kIo) return status;
  Result<DiskSpace> space = environment_.fs.Space(options_.directory);
  rlimit limit{};
  const auto size = environment_.fs.Stat(data_path());
  if (size.ok() && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      size->size_bytes + kMarginBytes > limit.rlim_cur) {
    return Status::Full(status.message() + "; files of this process may have at most " +
                            std::to_string(limit.rlim_cur) + " bytes (ulimit -f)",
                        "raise the limit, then run the command again");
  }
  if (!space.ok() || space->available_bytes > kMarginBytes) return status;
  return Status::Full(status.message() + "; the device is full",
                      "free space on the device; the store goes on by itself");
}

Applier& Applier::Shared() {
  static auto* applier = new Applier();  // its thread lives as long as the process
  return *applier;
}

void Applier::Register(StoreImpl* store) {
  std::lock_guard lock(mutex_);
  stores_.push_back(store);
  if (running_) return;
  running_ = true;
  std::thread([this] { Run(); }).detach();
}

void Applier::Unregister(StoreImpl* store) {
  std::unique_lock lock(mutex_);
  std::erase(stores_, store);
  changed_.wait(lock, [&] { return busy_ != store; });
}

// Only the first write of a round and the one that makes it urgent take the mutex: a wake-up per
// write would cost more than the write. What is pending was counted before this is called, so a
// round that begins meanwhile finds it.
void Applier::Wake(const StoreImpl& store) {
  const bool hurries = store.IsHurried();
  if (wake_.load() && (!hurries || hurry_.load())) return;
  std::lock_guard lock(mutex_);
  wake_.store(true);
  if (hurries) hurry_.store(true);
  changed_.notify_all();
}

// Sleeps without a deadline when no store has anything to apply: no CPU when idle.
void Applier::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return wake_.load(); });
    changed_.wait_for(lock, kApplyInterval, [&] { return hurry_.load(); });
    wake_.store(false);
    hurry_.store(false);
    const std::vector<StoreImpl*> round = stores_;
    for (StoreImpl* store : round) {
      if (std::find(stores_.begin(), stores_.end(), store) == stores_.end()) continue;
      busy_ = store;
      lock.unlock();
      bool has_more = false;
      if (store->HasPending()) {
        // A failure is latched or retried by the store itself; callers hear of it on their writes.
        const bool applied = store->ApplyFrozen().ok();
        has_more = store->HasPending();
        if (applied && store->IsHurried()) hurry_.store(true);
      }
      lock.lock();
      if (has_more) wake_.store(true);
      busy_ = nullptr;
      changed_.notify_all();
    }
  }
}

}  // namespace engram::engine
