#include <algorithm>
#include <thread>

#include "base/check.h"
#include "engine/internal/store_impl.h"
#include "engine/vector_search.h"

namespace engram::engine {

std::string_view ModeName(Mode mode) {
  switch (mode) {
    case Mode::kLegacy:
      return "legacy";
    case Mode::kDualWrite:
      return "dual_write";
    case Mode::kShadow:
      return "shadow";
    case Mode::kDual:
      return "dual";
    case Mode::kFinalized:
      return "finalized";
  }
  return "unknown";
}

Status CheckMetaName(std::string_view name) {
  if (!name.empty() && name.size() <= kMetaNameSizeBytesMax &&
      !name.starts_with(kMetaReservedPrefix)) {
    return Status::Ok();
  }
  return Status::InvalidArgument(
      "a meta row cannot be named \"" + std::string(name.substr(0, 64)) + "\"",
      "give it 1 to " + std::to_string(kMetaNameSizeBytesMax) + " bytes that do not begin with " +
          std::string(kMetaReservedPrefix));
}

StoreImpl::StoreImpl(const Environment& environment, const StoreOptions& options)
    : environment_(environment), options_(options) {
  MutexLock lock(stage_mutex_);
  AddMemtable();
}

StoreImpl::~StoreImpl() {
  Status status = CloseOnce();
  if (!status.ok()) environment_.logger.Error("closing the store: " + status.ToString());
}

Status StoreImpl::Close() { return CloseOnce(); }

Status StoreImpl::CloseOnce() {
  if (closed_) return Status::Ok();
  closed_ = true;
  if (read_only() || log_ == nullptr) {
    lease_.reset();
    return Status::Ok();
  }
  if (options_.background_apply) Applier::Shared().Unregister(this);
  Status status = Drain({.sync = true});
  if (status.code() == StatusCode::kFull) {
    // What is acknowledged is durable in the log, and the next open applies it. The log ends in
    // order, so that the next process needs no room for a new segment: deletes go on.
    environment_.logger.Warning("acknowledged writes wait in the log for room on the device: " +
                                status.message());
    status = Status::Ok();
  }
  if (status.ok()) status = log_->CloseClean();
  log_.reset();
  lmdb_.reset();
  lease_.reset();
  return status;
}

void StoreImpl::Latch(const Status& status) {
  MutexLock lock(latch_mutex_);
  if (!latched_.ok()) return;
  latched_ = Status::Fatal("the store is latched after an error: " + status.message(),
                           "close the store and open it again; nothing acknowledged is lost");
  is_latched_.store(true);
  environment_.logger.Error("latched: " + status.ToString());
}

Status StoreImpl::CheckWritable() {
  if (read_only()) return Status::FailedPrecondition("the store is open read-only");
  if (closed_ && log_ == nullptr) return Status::FailedPrecondition("the store is closed");
  if (!is_latched_.load()) return Status::Ok();
  MutexLock lock(latch_mutex_);
  return latched_;
}

namespace {

Status BusyNow() { return Status::Busy("the space cannot take a write at once"); }

// Writers hold the mutex for as long as it takes to stage a write, most of them.
bool LocksWithinAMoment(std::mutex& mutex) {
  constexpr uint64_t kMomentNs = 50'000;
  Clock& clock = Clock::System();
  const uint64_t begun_ns = clock.MonotonicNs();
  while (!mutex.try_lock()) {
    if (clock.MonotonicNs() - begun_ns > kMomentNs) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

// Writers wait while too much is acknowledged and not applied.
Status StoreImpl::WaitForRoom(bool wait) {
  while (pending_bytes_.load() > options_.overlay_size_bytes_max) {
    if (!wait) return BusyNow();
    if (!options_.background_apply) {
      ENGRAM_TRY(ApplyFrozen());
      continue;
    }
    ENGRAM_TRY(CheckWritable());
    if (full_.load()) return Status::Ok();  // StageChanges lets removals alone through
    Applier::Shared().Wake(*this);
    MutexLock lock(stage_mutex_);
    room_.WaitFor(stage_mutex_, std::chrono::milliseconds(100));
  }
  return Status::Ok();
}

Result<std::unique_ptr<WriteTxn>> StoreImpl::Begin(const BeginOptions& options) {
  ENGRAM_TRY(CheckWritable());
  ENGRAM_TRY(WaitForRoom(options.wait));
  if (!options.wait) {
    if (!LocksWithinAMoment(write_mutex_)) return BusyNow();
    return MakeWriteTxn(this, std::unique_lock(write_mutex_, std::adopt_lock), options);
  }
  writers_arrived_.fetch_add(1);
  std::unique_lock lock(write_mutex_);
  writers_admitted_.fetch_add(1);
  return MakeWriteTxn(this, std::move(lock), options);
}

// The mutex knows no order: without this a caller of batch after batch would keep writers out.
void StoreImpl::LetWritersIn() {
  constexpr uint64_t kWaitNsMax = 20'000'000;
  constexpr uint64_t kStepNs = 50'000;
  const uint64_t arrived = writers_arrived_.load();
  for (uint64_t waited_ns = 0; waited_ns < kWaitNsMax; waited_ns += kStepNs) {
    if (writers_admitted_.load() >= arrived) return;
    Clock::System().SleepNs(kStepNs);
  }
}

Result<Lsn> StoreImpl::StageChanges(std::string payload, const ChangeSet& changes,
                                    std::optional<Mode> mode,
                                    const wal::Log::AppendOptions& append) {
  ENGRAM_TRY(CheckWritable());
  // On a full device removals go on, up to the same amount again.
  const uint64_t pending_max = options_.overlay_size_bytes_max * (append.use_reserve ? 2 : 1);
  if (full_.load() && pending_bytes_.load() > pending_max) {
    return Status::Full("the device is full: acknowledged writes can not be applied",
                        "free space on the device; the store goes on by itself");
  }
  ENGRAM_TRY(FlushBulk(append.wait));
  ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn,
                          log_->Append(kLogRecordChangeSet, AsBytes(payload), append));
  MutexLock lock(stage_mutex_);
  Memtable& active = *tables_.back();
  const uint64_t before = active.size_bytes();
  active.Insert(lsn, std::move(payload), changes);
  staged_ = lsn;
  if (mode) staged_mode_.emplace(lsn, *mode);
  pending_bytes_.fetch_add(active.size_bytes() - before);
  return lsn;
}

// A log record may build on the rows of a bulk batch; then a crash must not undo the batch alone.
Status StoreImpl::FlushBulk(bool wait) {
  if (!bulk_is_unflushed_.load()) return Status::Ok();
  if (!wait) return BusyNow();
  std::lock_guard apply_lock(apply_mutex_);
  return bulk_is_unflushed_.load() ? SyncLmdb() : Status::Ok();
}

// REQUIRES: apply_mutex_ is held.
Status StoreImpl::SyncLmdb() {
  ENGRAM_TRY(CheckWritable());
  Status status = lmdb_->Sync();
  if (!status.ok()) {
    Latch(status);
    return status;
  }
  previous_applied_ = Lsn{applied_.load()};
  bulk_is_unflushed_.store(false);
  return Status::Ok();
}

Status StoreImpl::WaitDurable(Lsn lsn) {
  if (lsn.value <= visible_.load(std::memory_order_acquire)) return Status::Ok();
  Status status = log_->WaitDurable(lsn);
  if (!status.ok()) {
    if (log_->latched()) Latch(status);
    return status;
  }
  {
    MutexLock lock(stage_mutex_);
    // What is durable is visible once it is in a memtable: staging runs behind the append.
    const uint64_t newest = std::min(log_->durable().value, staged_.value);
    if (newest > visible_.load()) visible_.store(newest, std::memory_order_release);
    if (staged_mode_ && staged_mode_->first.value <= newest) {
      mode_.store(staged_mode_->second);
      staged_mode_.reset();
    }
  }
  if (options_.background_apply) Applier::Shared().Wake(*this);
  return Status::Ok();
}

void StoreImpl::AddMemtable() {
  tables_.push_back(std::make_shared<Memtable>());
  ShareTables();
}

void StoreImpl::ShareTables() {
  shared_tables_ = std::make_shared<const MemtableList>(tables_.begin(), tables_.end());
}

// An LMDB transaction and the memtables above it. Under one lock, so that the transaction is at
// least as new as what the overlay has dropped. `latest`: with writes that are not durable yet, for
// the writer itself.
Result<ReadState> StoreImpl::OpenReadState(bool latest) {
  ReadState state;
  uint64_t known_txn_id = 0;
  {
    MutexLock lock(stage_mutex_);
    if (lmdb_ == nullptr) return Status::FailedPrecondition("the store is closed");
    state.environment = lmdb_;
    ENGRAM_ASSIGN_OR_RETURN(state.txn, lmdb_->BeginRead());
    state.all_tables = shared_tables_;
    state.visible = latest ? staged_ : Lsn{visible_.load()};
    state.applied = Lsn{applied_.load()};
    known_txn_id = applied_txn_id_;
  }
  ENGRAM_CHECK(state.txn.id() >= known_txn_id);
  if (state.txn.id() != known_txn_id) {
    // A commit that is not published yet: the row in the transaction is the truth.
    ENGRAM_ASSIGN_OR_RETURN(auto row, state.txn.Get(Table::kMeta, AsBytes(kMetaApplied)));
    if (row) {
      ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(AsBytes(kMetaApplied), *row));
      if (body.size() == 8) state.applied = Lsn{LoadLe<uint64_t>(body.data())};
    }
  }
  state.visible = std::max(state.visible, state.applied);
  state.tables = *state.all_tables;
  while (!state.tables.empty() && state.tables.front()->last() <= state.applied) {
    state.tables = state.tables.subspan(1);
  }
  return state;
}

Result<std::unique_ptr<ReadView>> StoreImpl::View() {
  ENGRAM_ASSIGN_OR_RETURN(ReadState state, OpenReadState(false));
  return MakeReadView(std::move(state), this);
}

// The same as a view: memtables are shared, frozen ones are immutable, and versions above the
// view's LSN are skipped. Nothing is copied until a table is scanned.
Result<std::unique_ptr<ReadView>> StoreImpl::Snapshot() { return View(); }

Status StoreImpl::Drain(const DrainOptions& options) {
  if (read_only()) return Status::Ok();
  while (HasPending()) ENGRAM_TRY(ApplyFrozen());
  if (!options.sync) return Status::Ok();
  std::lock_guard apply_lock(apply_mutex_);
  return SyncLmdb();
}

// An empty change set: replaying it changes nothing, and the LSN is taken.
Status StoreImpl::LogBulkMarker(Lsn lsn, uint64_t next_node_key, uint64_t next_vector_key) {
  ChangeSetBuilder empty;
  ChangeSet changes;
  const std::string payload = empty.Finish(next_node_key, next_vector_key, &changes);
  ENGRAM_ASSIGN_OR_RETURN(const Lsn got, log_->Append(kLogRecordChangeSet, AsBytes(payload), {}));
  ENGRAM_CHECK(got == lsn);
  Status status = log_->WaitDurable(lsn);
  if (!status.ok() && log_->latched()) Latch(status);
  return status;
}

void StoreImpl::PublishBulk(Lsn lsn) {
  MutexLock lock(stage_mutex_);
  staged_ = lsn;
  visible_.store(lsn.value, std::memory_order_release);
}

Result<std::unique_ptr<BulkTxn>> StoreImpl::BeginBulk() {
  ENGRAM_TRY(CheckWritable());
  LetWritersIn();
  std::unique_lock write_lock(write_mutex_);
  while (HasPending()) ENGRAM_TRY(ApplyFrozen());
  std::unique_lock apply_lock(apply_mutex_);
  return MakeBulkTxn(this, std::move(write_lock), std::move(apply_lock), Lsn{applied_.load()});
}

Status StoreImpl::RecycleLog() {
  std::lock_guard apply_lock(apply_mutex_);
  ENGRAM_TRY(CheckWritable());
  IgnoreError(lmdb_->SweepReaders(), "stale readers cost space, not correctness");
  return log_->ReleaseBelow(previous_applied_);
}

StoreInfo StoreImpl::Info() {
  StoreInfo info;
  info.store_uuid = store_file_.store_uuid;
  info.generation = store_file_.generation;
  info.applied = Lsn{applied_.load()};
  info.durable = Lsn{visible_.load()};
  info.overlay_size_bytes = pending_bytes_.load();
  info.latched = is_latched_.load() || (log_ != nullptr && log_->latched());
  if (log_ != nullptr) {
    info.log_io = std::string(log_->io_name());
    info.log_size_bytes = log_->size_bytes();
    info.log = log_->counters();
  }
  const auto environment = LmdbNow();
  if (environment == nullptr) return info;
  Result<uint64_t> used = environment->UsedBytes();
  if (used.ok()) info.used_bytes = *used;
  Result<uint64_t> old_heads = environment->RowCount(Table::kOldHeads);
  if (old_heads.ok()) info.old_head_rows = *old_heads;
  info.bytes = info.used_bytes + info.log_size_bytes;
  Result<FileInfo> data = environment_.fs.Stat(environment->path() + "/data.mdb");
  if (data.ok()) info.bytes += data->size_bytes - std::min(data->size_bytes, info.used_bytes);
  return info;
}

Result<uint64_t> StoreImpl::LiveBytes() {
  const auto environment = LmdbNow();
  if (environment == nullptr) return Status::FailedPrecondition("the store is closed");
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t used, environment->UsedBytes());
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t free, environment->FreeBytes());
  return used - std::min(used, free);
}

std::shared_ptr<lmdb::Environment> StoreImpl::LmdbNow() {
  MutexLock lock(stage_mutex_);
  return lmdb_;
}

namespace {

// One read transaction for each thread of a search, all at the same commit, with the memtables
// above.
class SearchSnapshot {
 public:
  SearchSnapshot(ReadState state, std::vector<lmdb::ReadTxn> txns)
      : state_(std::move(state)), idle_(std::move(txns)) {
    idle_.push_back(std::move(state_.txn));
  }
  const ReadState& state() const { return state_; }  // its transaction is among the borrowed ones
  // REQUIRES: fewer are borrowed than there are threads
  lmdb::ReadTxn Borrow() {
    std::lock_guard lock(mutex_);
    ENGRAM_CHECK(!idle_.empty());
    auto txn = std::move(idle_.back());
    idle_.pop_back();
    return txn;
  }
  void Return(lmdb::ReadTxn txn) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(txn));
  }

 private:
  ReadState state_;
  std::mutex mutex_;
  std::vector<lmdb::ReadTxn> idle_;  // guarded by mutex_
};

// The current embedding rows of a key range: LMDB's merged with the overlay's.
class EmbeddingCursor final : public VectorRowCursor {
 public:
  EmbeddingCursor(SearchSnapshot& snapshot, const VectorRange& range)
      : snapshot_(snapshot), txn_(snapshot.Borrow()), last_(EncodeU64Key(range.last.value)) {}
  ~EmbeddingCursor() override {
    cursor_.reset();
    snapshot_.Return(std::move(txn_));
  }
  Status Start(const VectorRange& range) {
    const std::string first = EncodeU64Key(range.first.value);
    const ReadState& state = snapshot_.state();
    overlay_ = CollectMerged(state.tables, Table::kEmbeddings, AsBytes(first), {}, state.visible);
    ENGRAM_ASSIGN_OR_RETURN(cursor_, lmdb::ReadCursor::Open(txn_, Table::kEmbeddings));
    ENGRAM_ASSIGN_OR_RETURN(more_, cursor_->Seek(AsBytes(first), &key_, &value_));
    return Status::Ok();
  }
  Result<bool> Next(Bytes* key, Bytes* value) override {
    for (;;) {
      if (more_ && AsView(key_) > last_) more_ = false;
      const bool in_overlay = at_ < overlay_.size() && AsView(overlay_[at_].key) <= last_;
      if (!more_ && !in_overlay) return false;
      if (in_overlay && (!more_ || AsView(overlay_[at_].key) <= AsView(key_))) {
        const OverlayRow& row = overlay_[at_++];
        if (more_ && AsView(row.key) == AsView(key_)) ENGRAM_TRY(Step());
        if (row.is_delete) continue;
        *key = row.key;
        *value = row.value;
        return true;
      }
      *key = key_;
      *value = value_;
      ENGRAM_TRY(Step());
      return true;
    }
  }

 private:
  Status Step() {
    ENGRAM_ASSIGN_OR_RETURN(more_, cursor_->Next(&key_, &value_));
    return Status::Ok();
  }
  SearchSnapshot& snapshot_;
  lmdb::ReadTxn txn_;
  std::string last_;
  std::vector<OverlayRow> overlay_;
  size_t at_ = 0;
  std::unique_ptr<lmdb::ReadCursor> cursor_;
  bool more_ = false;
  Bytes key_, value_;
};

// What a search needs of the key space: up to the next key that will be given.
Result<VectorKey> LastVectorKey(const ReadState& state) {
  VectorKey last{1};
  for (const auto& table : state.tables) last = std::max(last, VectorKey{table->next_vector_key()});
  ENGRAM_ASSIGN_OR_RETURN(auto row, state.txn.Get(Table::kMeta, AsBytes(kMetaNextVectorKey)));
  if (!row) return last;
  ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(AsBytes(kMetaNextVectorKey), *row));
  if (body.size() == 8) last = std::max(last, VectorKey{LoadLe<uint64_t>(body.data())});
  return last;
}

// Tries of opening several transactions at one commit, before a search makes do with one.
constexpr int kSameCommitTries = 64;

// `count` more transactions at the commit of `state`; fewer than that if another commit came.
Result<std::vector<lmdb::ReadTxn>> OpenMore(const ReadState& state, uint32_t count) {
  std::vector<lmdb::ReadTxn> txns;
  while (txns.size() < count) {
    ENGRAM_ASSIGN_OR_RETURN(auto txn, state.environment->BeginRead());
    if (txn.id() != state.txn.id()) break;
    txns.push_back(std::move(txn));
  }
  return txns;
}

}  // namespace

Result<std::vector<SearchHit>> StoreImpl::Search(const Embedding& query, uint32_t k) {
  VectorSearchRequest request;
  request.k = k;
  for (int attempt = 0;; ++attempt) {
    ENGRAM_ASSIGN_OR_RETURN(ReadState state, OpenReadState(false));
    ENGRAM_ASSIGN_OR_RETURN(VectorKey last, LastVectorKey(state));
    request.keys = {VectorKey{1}, last};
    request.thread_count = attempt < kSameCommitTries ? 0 : 1;
    request.thread_count = SearchThreadCount(request);
    ENGRAM_ASSIGN_OR_RETURN(auto more, OpenMore(state, request.thread_count - 1));
    if (more.size() + 1 < request.thread_count) continue;  // another commit came between
    SearchSnapshot snapshot(std::move(state), std::move(more));
    return SearchVectors(
        query, request,
        [&snapshot](const VectorRange& range) -> Result<std::unique_ptr<VectorRowCursor>> {
          auto cursor = std::make_unique<EmbeddingCursor>(snapshot, range);
          ENGRAM_TRY(cursor->Start(range));
          return std::unique_ptr<VectorRowCursor>(std::move(cursor));
        });
  }
}

}  // namespace engram::engine
