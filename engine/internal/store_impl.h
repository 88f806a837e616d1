// The store's state and who locks what. Lock order: write_mutex_ -> apply_mutex_ -> stage_mutex_.
//   write_mutex_  held by a WriteTxn or BulkTxn from begin to end: one writer at a time
//   apply_mutex_  held while rows go into LMDB: one LMDB write transaction at a time
//   stage_mutex_  guards the list of memtables and the LSNs; held for moments
#ifndef ENGRAM_ENGINE_INTERNAL_STORE_IMPL_H_
#define ENGRAM_ENGINE_INTERNAL_STORE_IMPL_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/internal/change_set.h"
#include "engine/internal/digest_rows.h"
#include "engine/internal/lmdb.h"
#include "engine/internal/overlay.h"
#include "engine/internal/store_file.h"
#include "engine/store.h"
#include "wal/log.h"

namespace engram::engine {

// kInvalidArgument for a name that nobody else may give a meta row.
Status CheckMetaName(std::string_view name);

// Meta rows of the engine's own (kMetaReservedPrefix); others belong to who sets them.
inline constexpr std::string_view kMetaApplied = "engine.applied_lsn";
inline constexpr std::string_view kMetaMode = "engine.mode";
inline constexpr std::string_view kMetaStoreUuid = "engine.store_uuid";
inline constexpr std::string_view kMetaNextNodeKey = "engine.next_node_key";
inline constexpr std::string_view kMetaNextVectorKey = "engine.next_vector_key";
inline constexpr std::string_view kMetaTableVersion = "engine.table_version";
inline constexpr uint64_t kTableVersion = 1;

// What a reader sees: an LMDB transaction and the memtables above it, at one LSN.
struct ReadState {
  std::shared_ptr<lmdb::Environment> environment;  // outlives the transaction
  lmdb::ReadTxn txn;
  std::shared_ptr<const MemtableList> all_tables;
  MemtableSpan tables;  // oldest first, those at or below the transaction's LSN left out
  Lsn visible;
  Lsn applied;  // of the transaction
  // Of a write transaction: keys from here on were given by itself, so nothing here has them.
  uint64_t unborn_node_key = UINT64_MAX;
  bool IsUnborn(Table table, Bytes key) const {
    const bool has_node_keys = table == Table::kHeads || table == Table::kOldHeads ||
                               table == Table::kContent || table == Table::kExtensions;
    return has_node_keys && LoadBe64(key.data()) >= unborn_node_key;
  }
};

class StoreImpl final : public Store {
 public:
  StoreImpl(const Environment& environment, const StoreOptions& options);
  ~StoreImpl() override;
  Status OpenFiles();

  Status Close() override;
  using Store::Begin;
  Result<std::unique_ptr<WriteTxn>> Begin(const BeginOptions& options) override;
  Status WaitDurable(Lsn lsn) override;
  Result<std::unique_ptr<ReadView>> View() override;
  Result<std::unique_ptr<ReadView>> Snapshot() override;
  Status Drain(const DrainOptions& options) override;
  Result<std::unique_ptr<BulkTxn>> BeginBulk() override;
  Status RecycleLog() override;
  Result<std::vector<SearchHit>> Search(const Embedding& query, uint32_t k) override;
  Result<CompactReport> Compact(const CompactOptions& options) override;
  Result<DigestState> CopyTo(const std::string& directory) override;
  Status RestoreFrom(const std::string& directory, const Sha256Digest& digest) override;
  std::string data_path() const override;
  Mode mode() const override { return mode_.load(); }
  StoreInfo Info() override;
  Result<uint64_t> LiveBytes() override;
  const RecoveryReport& recovery() const override { return recovery_; }
  const std::string& space() const override { return options_.space; }
  bool read_only() const override { return options_.access == Access::kReadOnly; }

  // For the pieces of the implementation.
  Result<ReadState> OpenReadState(bool latest);
  // Called with write_mutex_ held; takes the finished write. `mode`: what mode() returns once it is
  // durable.
  Result<Lsn> StageChanges(std::string payload, const ChangeSet& changes, std::optional<Mode> mode,
                           const wal::Log::AppendOptions& append);
  Status ApplyFrozen();  // one round of the applier
  Lsn NextLsn() const { return log_->next_lsn(); }
  // More waits than may pile up before the next regular round.
  bool IsHurried() const { return pending_bytes_.load() > options_.overlay_size_bytes_max / 8; }
  bool HasPending() const { return pending_bytes_.load() > 0; }
  uint64_t next_node_key() const { return next_node_key_; }
  uint64_t next_vector_key() const { return next_vector_key_; }
  void SetNextKeys(uint64_t node, uint64_t vector) {
    next_node_key_ = node;
    next_vector_key_ = vector;
  }
  lmdb::Environment& lmdb_environment() { return *lmdb_; }
  Uuid UuidOf(std::string_view id) const { return NodeUuid(*space_id_, id); }
  // Consumes the LSN of a bulk batch in the log, durably, before its rows are committed.
  Status LogBulkMarker(Lsn lsn, uint64_t next_node_key, uint64_t next_vector_key);
  void PublishBulk(Lsn lsn);
  Status CommitLmdb(std::unique_ptr<lmdb::WriteTxn> txn, Lsn applied, bool sync);
  // Called with write_mutex_ and apply_mutex_ held after a commit that the log cannot repeat.
  void NoteUnflushedBulk() { bulk_is_unflushed_.store(true); }
  void Latch(const Status& status);
  Status CheckWritable();

 private:
  friend class Applier;
  std::string GenerationPath(uint64_t generation) const;
  Status TakeLease();
  Status LoadOrCreate();
  Status CheckNeverComplete();
  Status CreateStore();
  Status OpenGeneration(bool create);
  Status CheckGeneration(const std::string& path);
  Status FlushGeneration(const std::string& path);
  Status InitializeMeta();
  Status LoadMeta();
  Status RaiseNextKeys();
  Status RemoveStrayGenerations();
  Status ReplayLog();
  Status ReplayRecord(const wal::LogRecord& record);
  Status OpenLog();
  Status CloseOnce();
  Result<uint64_t> MapSize();
  std::shared_ptr<lmdb::Environment> LmdbNow();  // null once closed
  Status WaitForRoom(bool wait);
  void AddMemtable() ENGRAM_REQUIRES(stage_mutex_);
  void ShareTables() ENGRAM_REQUIRES(stage_mutex_);
  Status FlushBulk(bool wait);
  Status SyncLmdb();
  void LetWritersIn();
  Status FullIfNoSpace(const Status& status);
  Status ApplyTables(const MemtableList& tables, Lsn target);
  Status CopyGeneration(lmdb::Environment& from, lmdb::Environment* to,
                        const CompactOptions& options, CompactReport* report);
  // Builds the next generation with `fill` and makes it the current one; the one before stays for
  // the caller to remove, once all that follows from the change is in memory.
  // REQUIRES: write_mutex_ and apply_mutex_ are held, everything is applied and flushed.
  Status ReplaceGeneration(const std::function<Status(lmdb::Environment*)>& fill);
  Status FillFromCopy(lmdb::Environment* to, const std::string& directory,
                      const Sha256Digest& digest, Lsn lsn, Mode* mode);

  const Environment environment_;
  const StoreOptions options_;
  std::optional<SpaceId> space_id_;
  std::unique_ptr<FileLock> lease_;
  StoreFile store_file_;
  std::shared_ptr<lmdb::Environment> lmdb_;
  std::unique_ptr<wal::Log> log_;
  wal::RecoveryResult log_recovery_;
  RecoveryReport recovery_;

  std::mutex write_mutex_;
  uint64_t next_node_key_ = 1;    // guarded by write_mutex_
  uint64_t next_vector_key_ = 1;  // guarded by write_mutex_
  // LMDB's last commit is a bulk batch that a crash may undo, and log records must not build on.
  // Set with both mutexes held, cleared with apply_mutex_ held.
  std::atomic<bool> bulk_is_unflushed_{false};
  // Writers that have asked for write_mutex_, and those that got it.
  std::atomic<uint64_t> writers_arrived_{0};
  std::atomic<uint64_t> writers_admitted_{0};

  std::mutex apply_mutex_;
  Lsn previous_applied_;  // of the commit before the last: the log is recycled below it
  // The flush in a failed commit was also that of the meta page before it.
  bool last_commit_failed_ = false;

  Mutex stage_mutex_;
  CondVar room_;
  // Oldest first; the last one takes writes.
  std::vector<std::shared_ptr<Memtable>> tables_ ENGRAM_GUARDED_BY(stage_mutex_);
  // The same for readers, who share it: replaced with every change of the list.
  std::shared_ptr<const MemtableList> shared_tables_ ENGRAM_GUARDED_BY(stage_mutex_);
  Lsn staged_ ENGRAM_GUARDED_BY(stage_mutex_);  // newest LSN in a memtable
  std::optional<std::pair<Lsn, Mode>> staged_mode_ ENGRAM_GUARDED_BY(stage_mutex_);
  // LMDB transaction that brought applied_.
  uint64_t applied_txn_id_ ENGRAM_GUARDED_BY(stage_mutex_) = 0;
  std::atomic<uint64_t> visible_{0};
  std::atomic<uint64_t> applied_{0};
  std::atomic<uint64_t> pending_bytes_{0};
  std::atomic<Mode> mode_{Mode::kLegacy};

  Mutex latch_mutex_;
  Status latched_ ENGRAM_GUARDED_BY(latch_mutex_);
  std::atomic<bool> is_latched_{false};
  std::atomic<bool> full_{false};  // the device or the map has no room; cleared by a commit
  std::atomic<bool> closed_{false};
};

// The background applier: one thread for all stores of the process.
class Applier {
 public:
  static Applier& Shared();
  void Register(StoreImpl* store);
  // Returns when the store is not being worked on and never will be again.
  void Unregister(StoreImpl* store);
  // `store` has something to apply.
  void Wake(const StoreImpl& store);

 private:
  Applier() = default;
  void Run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StoreImpl*> stores_;
  StoreImpl* busy_ = nullptr;
  bool running_ = false;
  // Set under mutex_, so that no wake-up is lost.
  std::atomic<bool> wake_{false};   // a store has something to apply
  std::atomic<bool> hurry_{false};  // without waiting for the interval to pass
};

std::unique_ptr<ReadView> MakeReadView(ReadState state, StoreImpl* store);
// The transaction holds `lock` (write_mutex_) until it ends.
Result<std::unique_ptr<WriteTxn>> MakeWriteTxn(StoreImpl* store, std::unique_lock<std::mutex> lock,
                                               const Store::BeginOptions& options);
Result<std::unique_ptr<BulkTxn>> MakeBulkTxn(StoreImpl* store, std::unique_lock<std::mutex> write,
                                             std::unique_lock<std::mutex> apply, Lsn applied);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_STORE_IMPL_H_
