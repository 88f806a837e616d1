#include <algorithm>

#include "engine/internal/row_reader.h"
#include "engine/internal/store_impl.h"

namespace engram::engine {
namespace {

constexpr uint64_t kMapSizeBytesMax = uint64_t{1} << 40;
constexpr uint64_t kMetaPagesBytesMax = 2 * (64u << 10);  // the first two, of at most 64 KiB each
constexpr std::string_view kGenerationPrefix = "store.";

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const Environment& environment,
                                           const StoreOptions& options) {
  auto store = std::make_unique<StoreImpl>(environment, options);
  ENGRAM_TRY(store->OpenFiles());
  return std::unique_ptr<Store>(std::move(store));
}

std::string StoreImpl::GenerationPath(uint64_t generation) const {
  return JoinPath(options_.directory, std::string(kGenerationPrefix) + std::to_string(generation));
}

std::string StoreImpl::data_path() const {
  return JoinPath(GenerationPath(store_file_.generation), "data.mdb");
}

Status StoreImpl::OpenFiles() {
  ENGRAM_ASSIGN_OR_RETURN(SpaceId space_id, SpaceId::Parse(options_.space));
  space_id_ = std::move(space_id);
  ENGRAM_TRY(TakeLease());
  ENGRAM_TRY(LoadOrCreate());
  if (!read_only()) ENGRAM_TRY(RemoveStrayGenerations());
  ENGRAM_TRY(LoadMeta());
  ENGRAM_TRY(RaiseNextKeys());
  const uint64_t begun_ns = environment_.clock.MonotonicNs();
  ENGRAM_TRY(ReplayLog());
  if (!read_only()) ENGRAM_TRY(OpenLog());
  recovery_.duration_ns = environment_.clock.MonotonicNs() - begun_ns;
  if (read_only()) return Status::Ok();
  if (options_.background_apply) {
    Applier::Shared().Register(this);
    if (HasPending()) Applier::Shared().Wake(*this);
  }
  return Status::Ok();
}

Status StoreImpl::TakeLease() {
  FileSystem& fs = environment_.fs;
  const auto info = fs.Stat(options_.directory);
  // What may not be looked at is not missing.
  if (!info.ok() && info.status().code() != StatusCode::kNotFound) return info.status();
  const bool exists = info.ok();
  if (!exists && options_.access != Access::kCreate) {
    return Status::NotFound("there is no store in " + options_.directory,
                            "check --data-root and --space, or ingest a directory with "
                            "`engram migrate-dual --source DIR`");
  }
  // Also when it exists: its creator may have been killed before the flush.
  if (options_.access == Access::kCreate) ENGRAM_TRY(CreateDirectories(fs, options_.directory));
  const std::string path = JoinPath(options_.directory, "LOCK");
  auto lease = fs.Lock(path, read_only());
  if (!lease.ok()) {
    if (lease.status().code() != StatusCode::kBusy) return lease.status();
    return Status::Busy("another process holds the store " + options_.directory + " (" +
                            lease.status().message() + ")",
                        "stop that process, or send the command to its server");
  }
  lease_ = std::move(*lease);
  return Status::Ok();
}

Status StoreImpl::LoadOrCreate() {
  const std::string path = JoinPath(options_.directory, "STORE");
  auto file = ReadStoreFile(environment_.fs, path);
  if (file.ok()) {
    store_file_ = *file;
    // Before anything follows from it: its last writer may have been killed before this flush.
    if (!read_only()) ENGRAM_TRY(environment_.fs.SyncDirectory(options_.directory));
    return OpenGeneration(false);
  }
  if (file.status().code() != StatusCode::kNotFound) return file.status();
  ENGRAM_TRY(CheckNeverComplete());
  if (options_.access != Access::kCreate) {
    return Status::NotFound("there is no store in " + options_.directory + ": STORE is missing",
                            "ingest a directory with `engram migrate-dual --source DIR`, or check "
                            "--data-root and --space");
  }
  return CreateStore();
}

// STORE is durable before the first log segment and before any later generation exists: where one
// of them is, STORE was lost, and a new store would be made over the records of the old one.
Status StoreImpl::CheckNeverComplete() {
  FileSystem& fs = environment_.fs;
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs.List(options_.directory));
  std::string proof;
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.starts_with(kGenerationPrefix) && entry.name != "store.1") proof = entry.name;
  }
  const auto log = fs.List(JoinPath(options_.directory, "log"));
  if (!log.ok() && log.status().code() != StatusCode::kNotFound) return log.status();
  if (log.ok() && !log->empty()) proof = "log/" + log->front().name;
  if (proof.empty()) return Status::Ok();
  return Status::Corruption(
      JoinPath(options_.directory, "STORE") + " is missing, but " + proof + " of its store is here",
      "restore STORE from a backup; to give the store up, move the whole folder away and ingest "
      "its source again");
}

// STORE comes last: without it nothing else counts, and a half-made generation is made again.
Status StoreImpl::CreateStore() {
  FileSystem& fs = environment_.fs;
  ENGRAM_ASSIGN_OR_RETURN(store_file_.store_uuid, Uuid::Random());
  store_file_.generation = 1;
  ENGRAM_TRY(RemoveStrayGenerations());
  ENGRAM_TRY(OpenGeneration(true));
  ENGRAM_TRY(InitializeMeta());
  return WriteStoreFile(fs, JoinPath(options_.directory, "STORE"), store_file_);
}

Result<uint64_t> StoreImpl::MapSize() {
  if (options_.map_size_bytes != 0) return options_.map_size_bytes;
  ENGRAM_ASSIGN_OR_RETURN(DiskSpace space, environment_.fs.Space(options_.directory));
  const uint64_t wanted = std::min(kMapSizeBytesMax, 4 * space.total_bytes);
  return std::max<uint64_t>(wanted, 64u << 20) & ~uint64_t{4095};
}

Status StoreImpl::OpenGeneration(bool create) {
  FileSystem& fs = environment_.fs;
  const std::string path = GenerationPath(store_file_.generation);
  if (create) ENGRAM_TRY(fs.CreateDirectory(path));
  if (!create) ENGRAM_TRY(CheckGeneration(path));
  if (!create && !read_only()) ENGRAM_TRY(FlushGeneration(path));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t map_size_bytes, MapSize());
  ENGRAM_ASSIGN_OR_RETURN(
      std::unique_ptr<lmdb::Environment> opened,
      lmdb::Environment::Open(
          {.path = path, .map_size_bytes = map_size_bytes, .read_only = read_only()}));
  {
    MutexLock lock(stage_mutex_);
    lmdb_ = std::move(opened);
    applied_txn_id_ = 0;
  }
  if (!read_only()) {
    IgnoreError(lmdb_->SweepReaders(), "stale readers cost space, not correctness");
  }
  if (!create) return Status::Ok();
  ENGRAM_TRY(fs.SyncDirectory(path));
  return fs.SyncDirectory(options_.directory);
}

Status StoreImpl::CheckGeneration(const std::string& path) {
  const std::string data_path = JoinPath(path, "data.mdb");
  const auto data = environment_.fs.Stat(data_path);
  if (data.ok() || data.status().code() != StatusCode::kNotFound) return data.status();
  return Status::Corruption(data_path + " is missing, but STORE names its folder",
                            "restore the store from a backup or ingest its source again");
}

// A killed process may have left its last commit in the page cache only. The log must not build on
// it before it is durable. The meta pages are written again for that: where they went with a flush
// that failed, the cache counts them as written. What they point to is durable, for a commit writes
// its meta page behind a successful flush of the rest, and no later commit writes over that.
Status StoreImpl::FlushGeneration(const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(auto data,
                          environment_.fs.Open(JoinPath(path, "data.mdb"), OpenMode::kReadWrite));
  ENGRAM_TRY(WriteCachedAgain(*data, 0, kMetaPagesBytesMax));
  return data->Sync();
}

Status StoreImpl::InitializeMeta() {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, lmdb_->BeginWrite());
  auto put = [&txn](std::string_view name, Bytes body) {
    std::string value;
    EncodeChecked(AsBytes(name), body, &value);
    return txn->Put(Table::kMeta, AsBytes(name), AsBytes(value));
  };
  auto put_u64 = [&put](std::string_view name, uint64_t number) {
    uint8_t body[8];
    StoreLe(body, number);
    return put(name, body);
  };
  ENGRAM_TRY(put(kMetaStoreUuid, store_file_.store_uuid.bytes));
  ENGRAM_TRY(put_u64(kMetaTableVersion, kTableVersion));
  ENGRAM_TRY(put_u64(kMetaMode, static_cast<uint64_t>(Mode::kLegacy)));
  ENGRAM_TRY(put_u64(kMetaNextNodeKey, 1));
  ENGRAM_TRY(put_u64(kMetaNextVectorKey, 1));
  ENGRAM_TRY(put_u64(kMetaApplied, 0));
  ENGRAM_TRY(txn->Commit());
  return lmdb_->Sync();
}

// A key that is given twice overwrites a record: keys go on above the rows that are there, whatever
// the counters say. Verification says so, the next commit writes the counters anew.
Status StoreImpl::RaiseNextKeys() {
  ENGRAM_ASSIGN_OR_RETURN(const auto txn, lmdb_->BeginRead());
  const auto raise = [&](Table table, uint64_t* next) -> Status {
    ENGRAM_ASSIGN_OR_RETURN(auto cursor, lmdb::ReadCursor::Open(txn, table));
    Bytes key, value;
    ENGRAM_ASSIGN_OR_RETURN(const bool found, cursor->SeekLast({}, &key, &value));
    const uint64_t last = found && key.size() == 8 ? LoadBe64(key.data()) : 0;
    if (last < *next || last == UINT64_MAX) return Status::Ok();
    environment_.logger.Error(lmdb_->path() + ": " + std::string(TableName(table)) +
                              " has a row above every key that was given: " + std::to_string(last) +
                              "; keys go on above it, run engram verify");
    *next = last + 1;
    return Status::Ok();
  };
  for (const Table table : {Table::kContent, Table::kHeads, Table::kOldHeads}) {
    ENGRAM_TRY(raise(table, &next_node_key_));
  }
  return raise(Table::kEmbeddings, &next_vector_key_);
}

Status StoreImpl::LoadMeta() {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, lmdb_->BeginRead());
  const std::string file = lmdb_->path() + "/data.mdb";
  auto get = [&](std::string_view name, size_t size) -> Result<Bytes> {
    ENGRAM_ASSIGN_OR_RETURN(auto row, txn.Get(Table::kMeta, AsBytes(name)));
    if (!row)
      return Status::Corruption(file + ": the meta row " + std::string(name) + " is missing");
    auto body = DecodeChecked(AsBytes(name), *row);
    if (!body.ok()) return body.status().WithContext(file + ", meta row " + std::string(name));
    if (body->size() != size)
      return Status::Corruption(file + ": the meta row " + std::string(name) + " has a wrong size");
    return *body;
  };
  auto get_u64 = [&](std::string_view name) -> Result<uint64_t> {
    ENGRAM_ASSIGN_OR_RETURN(Bytes body, get(name, 8));
    return LoadLe<uint64_t>(body.data());
  };
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t version, get_u64(kMetaTableVersion));
  if (version != kTableVersion) {
    return Status::Unsupported(file + ": the tables have version " + std::to_string(version) +
                                   ", this program knows version 1",
                               "use the version of the program that wrote the store");
  }
  ENGRAM_ASSIGN_OR_RETURN(Bytes uuid, get(kMetaStoreUuid, 16));
  if (AsView(uuid) != AsView(Bytes(store_file_.store_uuid.bytes))) {
    return Status::Corruption(
        file + " belongs to another store than " + options_.directory + "/STORE",
        "put the folder back that belongs to this STORE file");
  }
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t mode, get_u64(kMetaMode));
  if (mode < 1 || mode > 5)
    return Status::Unsupported(file + ": unknown mode " + std::to_string(mode));
  mode_.store(static_cast<Mode>(mode));
  ENGRAM_ASSIGN_OR_RETURN(next_node_key_, get_u64(kMetaNextNodeKey));
  ENGRAM_ASSIGN_OR_RETURN(next_vector_key_, get_u64(kMetaNextVectorKey));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t applied, get_u64(kMetaApplied));
  applied_.store(applied);
  visible_.store(applied);
  recovery_.applied = Lsn{applied};
  MutexLock lock(stage_mutex_);
  staged_ = Lsn{applied};
  applied_txn_id_ = txn.id();
  return Status::Ok();
}

// Leftovers of an interrupted creation or compaction.
Status StoreImpl::RemoveStrayGenerations() {
  FileSystem& fs = environment_.fs;
  ENGRAM_ASSIGN_OR_RETURN(auto entries, fs.List(options_.directory));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with(kGenerationPrefix)) continue;
    const std::string path = JoinPath(options_.directory, entry.name);
    if (lmdb_ != nullptr && path == lmdb_->path()) continue;
    environment_.logger.Info("removing " + path + ", the leftover of an interrupted run");
    ENGRAM_ASSIGN_OR_RETURN(auto files, fs.List(path));
    for (const DirectoryEntry& file : files) ENGRAM_TRY(fs.Unlink(JoinPath(path, file.name)));
    ENGRAM_TRY(fs.RemoveDirectory(path));
  }
  return Status::Ok();
}

Status StoreImpl::ReplayRecord(const wal::LogRecord& record) {
  if (record.type != kLogRecordChangeSet) {
    return Status::Unsupported(
        "the log holds a record of type " + std::to_string(record.type) + ", expected 1",
        "use the version of the program that wrote the store");
  }
  MutexLock lock(stage_mutex_);
  if (!read_only() && tables_.back()->size_bytes() > options_.overlay_size_bytes_max) {
    AddMemtable();
  }
  Memtable& table = *tables_.back();
  const uint64_t before = table.size_bytes();
  ENGRAM_TRY(table.InsertCopy(record.lsn, record.payload));
  pending_bytes_.fetch_add(table.size_bytes() - before);
  // Rows above the counters keep their keys (RaiseNextKeys).
  next_node_key_ = std::max(next_node_key_, table.next_node_key());
  next_vector_key_ = std::max(next_vector_key_, table.next_vector_key());
  staged_ = record.lsn;
  ++recovery_.records_replayed;
  return Status::Ok();
}

Status StoreImpl::ReplayLog() {
  wal::RecoverOptions recover;
  recover.directory = JoinPath(options_.directory, "log");
  recover.store_uuid = store_file_.store_uuid;
  recover.applied = recovery_.applied;
  recover.salvage = options_.salvage;
  ENGRAM_ASSIGN_OR_RETURN(
      log_recovery_, wal::Recover(environment_.fs, recover, [this](const wal::LogRecord& record) {
        return ReplayRecord(record);
      }));
  recovery_.recovered = std::max(recovery_.applied, log_recovery_.last);
  recovery_.torn_tail = log_recovery_.torn;
  recovery_.torn_detail = log_recovery_.detail;
  recovery_.lost = log_recovery_.lost;
  if (log_recovery_.torn) environment_.logger.Warning("torn log tail: " + log_recovery_.detail);
  MutexLock lock(stage_mutex_);
  if (read_only()) visible_.store(staged_.value);
  const std::string key(kMetaMode);
  for (const auto& memtable : tables_) {
    auto row = memtable->Find(Table::kMeta, AsBytes(key), staged_);
    if (!row) continue;
    ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(AsBytes(key), row->value));
    if (body.size() == 8) mode_.store(static_cast<Mode>(LoadLe<uint64_t>(body.data())));
  }
  return Status::Ok();
}

// Opening the log flushes what recovery read: only then is it visible.
Status StoreImpl::OpenLog() {
  wal::Log::OpenOptions open;
  open.directory = JoinPath(options_.directory, "log");
  open.store_uuid = store_file_.store_uuid;
  open.recovered = log_recovery_;
  open.applied = Lsn{applied_.load()};
  open.log = options_.log;
  ENGRAM_ASSIGN_OR_RETURN(log_, wal::Log::Open(environment_.fs, environment_.logger, open));
  MutexLock lock(stage_mutex_);
  visible_.store(staged_.value);
  return Status::Ok();
}

}  // namespace engram::engine
