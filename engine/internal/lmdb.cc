#include "engine/internal/lmdb.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/check.h"
#include "engine/internal/fault_guard.h"

namespace engram::engine::lmdb {
namespace {

constexpr unsigned kReadersMax = 1024;
constexpr size_t kPoolSizeMax = 64;

const char* const kTableNames[kTableCount + 1] = {
    nullptr,       "meta",    "heads",      "old_heads", "content",  "extensions",
    "embeddings",  "ids",     "uuids",      "edges_out", "edges_in", "bindings_out",
    "bindings_in", "digests", "tombstones", "quarantine"};

// A commit of this size is on its way to the device while LMDB still copies the rest of it.
constexpr uint64_t kEarlyWritebackBytes = 8u << 20;
constexpr auto kWritebackInterval = std::chrono::milliseconds(1);

// While it lives, a thread asks the kernel again and again to begin writing what LMDB has written
// to the page cache. It promises nothing: LMDB's own flush waits for all of it and reports every
// error.
class EarlyWriteback {
 public:
  explicit EarlyWriteback(MDB_env* env) {
    if (mdb_env_get_fd(env, &file_) != 0) return;
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error&) {
      // No thread is to be had: the commit does without.
    }
  }
  ~EarlyWriteback() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kWritebackInterval, [this] { return done_; })) {
      lock.unlock();
      const bool begun = sync_file_range(file_, 0, 0, SYNC_FILE_RANGE_WRITE) == 0;
      lock.lock();
      if (!begun) return;
    }
  }

  mdb_filehandle_t file_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by mutex_
  std::thread thread_;
};

constexpr const char* kDamagedHint =
    "engram space salvage keeps what is intact; or restore the space from a backup";

// LMDB trusts its pages. Where they contradict each other it asserts, or follows a pointer out of
// the map. From a read or a change of a transaction both lead back here; the transaction is then
// dropped, and nothing is written before the commit.
void OnAssertion(MDB_env* env, const char* what) {
  internal::LeaveGuardedCall();
  const char* path = "";
  mdb_env_get_path(env, &path);
  std::fprintf(stderr,
               "engram: pages of %s/data.mdb contradict each other (%s); this process ends here, "
               "before anything is written on top of them\n        hint: %s\n",
               path, what, kDamagedHint);
}

// The result of `call`, or MDB_CORRUPTED where it ran into an assertion or out of the map.
template <typename Call>
int Guarded(Call call) {
  int rc = 0;
  return internal::RunGuarded([&] { rc = call(); }) ? rc : MDB_CORRUPTED;
}

MDB_val ToVal(Bytes bytes) { return {bytes.size(), const_cast<uint8_t*>(bytes.data())}; }
Bytes FromVal(const MDB_val& v) { return {static_cast<const uint8_t*>(v.mv_data), v.mv_size}; }

// All keys are numbers, ascending mostly. Elsewhere a key may have eight bytes by chance.
bool HasNumberKeys(Table table) {
  return table == Table::kHeads || table == Table::kOldHeads || table == Table::kContent ||
         table == Table::kExtensions || table == Table::kEmbeddings;
}

// LMDB's own order (bytes, the shorter key first), in fewer steps for the keys of eight bytes that
// most rows have.
int CompareKeys(const MDB_val* a, const MDB_val* b) {
  if (a->mv_size == sizeof(uint64_t) && b->mv_size == sizeof(uint64_t)) {
    const uint64_t x = LoadBe64(a->mv_data);
    const uint64_t y = LoadBe64(b->mv_data);
    return x < y ? -1 : static_cast<int>(x > y);
  }
  return AsView(FromVal(*a)).compare(AsView(FromVal(*b)));
}

}  // namespace

Status FromLmdb(int rc, std::string_view what) {
  const std::string message = std::string(what) + ": " + mdb_strerror(rc);
  switch (rc) {
    case MDB_SUCCESS:
      return Status::Ok();
    case MDB_NOTFOUND:
      return Status::NotFound(message);
    case MDB_MAP_FULL:
      return Status::Full(message, "raise the map size: it must exceed the store for ever");
    case MDB_READERS_FULL:
      return Status::Busy(message, "close readers, or restart the process that holds them");
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_BAD_TXN:  // a transaction that has met one of these before
      return Status::Corruption(message, kDamagedHint);
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
      return Status::Unsupported(message, "use the version of the program that wrote the store");
    case MDB_PANIC:
      return Status::Fatal(message, "close the store and open it again");
    default:
      return rc > 0 ? Status::FromErrno(rc, what) : Status::Io(message);
  }
}

ReadTxn::~ReadTxn() {
  if (txn_ != nullptr) environment_->Release(txn_);
}

Result<std::optional<Bytes>> ReadTxn::Get(Table table, Bytes key) const {
  MDB_val k = ToVal(key), v;
  const int rc = Guarded([&] { return mdb_get(txn_, environment_->dbi(table), &k, &v); });
  if (rc == MDB_NOTFOUND) return std::optional<Bytes>();
  if (rc != 0) return FromLmdb(rc, environment_->Describe("read"));
  if (!environment_->IsInFile(v)) return environment_->OutsideOfFile();
  return std::optional<Bytes>(FromVal(v));
}

Result<std::unique_ptr<ReadCursor>> ReadCursor::Open(const ReadTxn& txn, Table table) {
  MDB_cursor* cursor = nullptr;
  const int rc =
      Guarded([&] { return mdb_cursor_open(txn.get(), txn.environment().dbi(table), &cursor); });
  if (rc != 0) return FromLmdb(rc, txn.environment().Describe("open a cursor"));
  return std::unique_ptr<ReadCursor>(new ReadCursor(txn.environment(), cursor));
}

Result<bool> ReadCursor::Step(MDB_val* key, MDB_cursor_op op, Bytes* key_out, Bytes* value_out) {
  MDB_val value;
  const int rc = Guarded([&] { return mdb_cursor_get(cursor_, key, &value, op); });
  if (rc == MDB_NOTFOUND) return false;
  if (rc != 0) return FromLmdb(rc, environment_.Describe("scan"));
  if (!environment_.IsInFile(*key) || !environment_.IsInFile(value)) {
    return environment_.OutsideOfFile();
  }
  *key_out = FromVal(*key);
  *value_out = FromVal(value);
  return true;
}

Result<bool> ReadCursor::Seek(Bytes first, Bytes* key, Bytes* value) {
  MDB_val k = ToVal(first);
  return Step(&k, first.empty() ? MDB_FIRST : MDB_SET_RANGE, key, value);
}

Result<bool> ReadCursor::Next(Bytes* key, Bytes* value) {
  MDB_val k{};
  return Step(&k, MDB_NEXT, key, value);
}

Result<bool> ReadCursor::SeekLast(Bytes prefix, Bytes* key, Bytes* value) {
  std::string beyond(AsView(prefix));
  while (!beyond.empty() && beyond.back() == '\xff') beyond.pop_back();
  if (!beyond.empty()) {
    ++beyond.back();
    ENGRAM_ASSIGN_OR_RETURN(const bool found, Seek(AsBytes(beyond), key, value));
    if (found) return Previous(key, value);
  }
  MDB_val k{};
  return Step(&k, MDB_LAST, key, value);
}

Result<bool> ReadCursor::Previous(Bytes* key, Bytes* value) {
  MDB_val k{};
  return Step(&k, MDB_PREV, key, value);
}

WriteTxn::~WriteTxn() {
  if (txn_ != nullptr) mdb_txn_abort(txn_);
}

Result<MDB_cursor*> WriteTxn::Cursor(Table table) {
  MDB_cursor*& cursor = cursors_[static_cast<int>(table)];
  if (cursor == nullptr) {
    const int rc = mdb_cursor_open(txn_, environment_->dbi(table), &cursor);
    if (rc != 0) return FromLmdb(rc, environment_->Describe("open a cursor"));
  }
  return cursor;
}

Result<std::optional<Bytes>> WriteTxn::Get(Table table, Bytes key) {
  ENGRAM_CHECK(txn_ != nullptr);
  ENGRAM_ASSIGN_OR_RETURN(MDB_cursor * cursor, Cursor(table));
  MDB_val k = ToVal(key), v;
  const int rc = Guarded([&] { return mdb_cursor_get(cursor, &k, &v, MDB_SET); });
  if (rc == MDB_NOTFOUND) return std::optional<Bytes>();
  if (rc != 0) return FromLmdb(rc, environment_->Describe("read"));
  return std::optional<Bytes>(FromVal(v));
}

Result<std::optional<std::pair<std::string, std::string>>> WriteTxn::FindFirst(Table table,
                                                                               Bytes prefix) {
  using Row = std::pair<std::string, std::string>;
  ENGRAM_CHECK(txn_ != nullptr);
  ENGRAM_ASSIGN_OR_RETURN(MDB_cursor * cursor, Cursor(table));
  MDB_val k = ToVal(prefix), v;
  const int rc = Guarded([&] { return mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); });
  if (rc == MDB_NOTFOUND) return std::optional<Row>();
  if (rc != 0) return FromLmdb(rc, environment_->Describe("read"));
  if (!AsView(FromVal(k)).starts_with(AsView(prefix))) return std::optional<Row>();
  return std::optional<Row>(Row(AsView(FromVal(k)), AsView(FromVal(v))));
}

Result<bool> WriteTxn::IsAppend(Table table, MDB_cursor* cursor, Bytes key) {
  if (!HasNumberKeys(table) || key.size() != sizeof(uint64_t)) return false;
  std::optional<uint64_t>& last = last_keys_[static_cast<int>(table)];
  if (!last) {
    MDB_val k, v;
    const int rc = Guarded([&] { return mdb_cursor_get(cursor, &k, &v, MDB_LAST); });
    if (rc != 0 && rc != MDB_NOTFOUND) return FromLmdb(rc, environment_->Describe("read"));
    if (rc == 0 && k.mv_size != sizeof(uint64_t)) return false;
    last = rc == 0 ? LoadBe64(k.mv_data) : 0;
  }
  const uint64_t number = LoadBe64(key.data());
  if (number <= *last) return false;
  last = number;
  return true;
}

// The key is always the caller's own copy: LMDB loses keys when it is given back the pointer that
// a cursor returned and the value lives on an overflow page.
Status WriteTxn::Put(Table table, Bytes key, Bytes value) {
  ENGRAM_CHECK(txn_ != nullptr);
  ENGRAM_ASSIGN_OR_RETURN(MDB_cursor * cursor, Cursor(table));
  ENGRAM_ASSIGN_OR_RETURN(const bool is_append, IsAppend(table, cursor, key));
  MDB_val k = ToVal(key), v = ToVal(value);
  const int rc =
      Guarded([&] { return mdb_cursor_put(cursor, &k, &v, is_append ? MDB_APPEND : 0); });
  if (rc != 0) return FromLmdb(rc, environment_->Describe("write"));
  put_bytes_ += value.size();
  return Status::Ok();
}

Status WriteTxn::Delete(Table table, Bytes key) {
  ENGRAM_CHECK(txn_ != nullptr);
  MDB_val k = ToVal(key);
  const int rc = Guarded([&] { return mdb_del(txn_, environment_->dbi(table), &k, nullptr); });
  if (rc != 0 && rc != MDB_NOTFOUND) return FromLmdb(rc, environment_->Describe("delete"));
  return Status::Ok();
}

Status WriteTxn::Commit() {
  ENGRAM_CHECK(txn_ != nullptr);
  MDB_txn* txn = txn_;
  txn_ = nullptr;                       // freed by the commit, whatever it returns
  std::optional<EarlyWriteback> early;  // ends with this call
  if (put_bytes_ >= kEarlyWritebackBytes) early.emplace(environment_->env_);
  const int rc = mdb_txn_commit(txn);
  if (rc != 0) return FromLmdb(rc, environment_->Describe("commit"));
  IgnoreError(environment_->CoverPages(), "it is committed, and the next open does it");
  return Status::Ok();
}

std::string Environment::Describe(std::string_view operation) const {
  return std::string(operation) + " in " + path_ + "/data.mdb";
}

Result<std::unique_ptr<Environment>> Environment::Open(const EnvironmentOptions& options) {
  internal::InstallFaultGuard();
  std::unique_ptr<Environment> environment(new Environment());
  environment->path_ = options.path;
  auto describe = [&](std::string_view what) { return environment->Describe(what); };
  const unsigned flags =
      MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS | (options.read_only ? MDB_RDONLY : 0);
  int rc = 0;
  for (unsigned extra : {0u, static_cast<unsigned>(MDB_NOLOCK)}) {
    rc = mdb_env_create(&environment->env_);
    if (rc != 0) return FromLmdb(rc, describe("create an environment"));
    mdb_env_set_maxdbs(environment->env_, kTableCount + 1);
    mdb_env_set_maxreaders(environment->env_, kReadersMax);
    mdb_env_set_assert(environment->env_, OnAssertion);
    rc = mdb_env_set_mapsize(environment->env_, options.map_size_bytes);
    if (rc == 0) {
      rc = mdb_env_open(environment->env_, options.path.c_str(), flags | extra, 0600);
    }
    if (rc == 0) break;
    mdb_env_close(environment->env_);
    environment->env_ = nullptr;
    // Without a place for lock.mdb nobody can write beside us either.
    if (!options.read_only || (rc != EROFS && rc != EACCES)) break;
  }
  if (rc != 0) return FromLmdb(rc, describe("open the environment"));
  ENGRAM_TRY(environment->CheckFileLength(options.read_only));
  ENGRAM_TRY(environment->OpenTables(options.read_only));
  ENGRAM_TRY(environment->FindMap());
  return environment;
}

// LMDB tells nobody where its map is; a page begins with its own number. Where that is damaged,
// rows will be found to lie outside.
Status Environment::FindMap() {
  constexpr MDB_dbi kTableOfTables = 1;
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginRead());
  MDB_stat stat;
  MDB_cursor* cursor = nullptr;
  MDB_val key, value;
  int rc = mdb_env_stat(env_, &stat);
  if (rc == 0) rc = mdb_cursor_open(txn.get(), kTableOfTables, &cursor);
  if (rc == 0) rc = Guarded([&] { return mdb_cursor_get(cursor, &key, &value, MDB_FIRST); });
  if (cursor != nullptr) mdb_cursor_close(cursor);
  if (rc != 0) return FromLmdb(rc, Describe("find the map"));
  const auto at = reinterpret_cast<uintptr_t>(key.mv_data);
  const uintptr_t page = at - at % stat.ms_psize;
  size_t number = 0;
  std::memcpy(&number, reinterpret_cast<const void*>(page), sizeof number);
  map_ = page - number * stat.ms_psize;
  return Status::Ok();
}

Result<uint64_t> Environment::FileBytes() {
  mdb_filehandle_t file = -1;
  struct stat info;
  const int rc = mdb_env_get_fd(env_, &file);
  if (rc != 0) return FromLmdb(rc, Describe("look at the length"));
  if (fstat(file, &info) != 0) return Status::FromErrno(errno, Describe("look at the length"));
  file_bytes_.store(static_cast<uint64_t>(info.st_size), std::memory_order_release);
  return static_cast<uint64_t>(info.st_size);
}

// A last page that was taken and given back within one transaction is never written, so LMDB alone
// may leave the file shorter than its pages; after a crash it may be so here.
Status Environment::CoverPages() {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t used, UsedBytes());
  if (used <= file_bytes_.load(std::memory_order_acquire)) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t present, FileBytes());
  if (used <= present) return Status::Ok();
  mdb_filehandle_t file = -1;
  mdb_env_get_fd(env_, &file);
  if (ftruncate(file, static_cast<off_t>(used)) != 0) {
    return Status::FromErrno(errno, Describe("extend"));
  }
  return FileBytes().status();
}

Status Environment::CheckFileLength(bool read_only) {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t present, FileBytes());
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t used, UsedBytes());
  if (present >= used) return Status::Ok();
  if (!read_only) ENGRAM_TRY(CoverPages());
  const Status free = CheckMissingPagesAreFree(present);
  if (free.ok()) return free;
  if (!read_only) {
    // As it was found: the next one to open it is to see what is wrong.
    mdb_filehandle_t file = -1;
    mdb_env_get_fd(env_, &file);
    if (ftruncate(file, static_cast<off_t>(present)) != 0) return free;
  }
  return Status::Corruption(path_ + "/data.mdb is cut off: it has " + std::to_string(present) +
                                " bytes of " + std::to_string(used),
                            "restore the space from a backup, or ingest its source again");
}

Status Environment::CheckMissingPagesAreFree(uint64_t file_bytes) {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t used, UsedBytes());
  uint64_t missing = 0;
  ENGRAM_TRY(ForEachFreePage([&](uint64_t page, uint64_t page_bytes) {
    if (page * page_bytes >= file_bytes && page * page_bytes < used) missing += page_bytes;
  }));
  return file_bytes + missing >= used ? Status::Ok()
                                      : Status::Corruption("pages in use are missing");
}

bool Environment::IsInFile(const MDB_val& value) {
  const uint64_t offset = reinterpret_cast<uintptr_t>(value.mv_data) - map_;  // below: huge
  const auto lies_in = [&](uint64_t bytes) {
    return offset <= bytes && value.mv_size <= bytes - offset;
  };
  if (lies_in(file_bytes_.load(std::memory_order_acquire))) return true;
  const auto bytes = FileBytes();  // it has grown since
  return bytes.ok() && lies_in(*bytes);
}

Status Environment::OutsideOfFile() const {
  return Status::Corruption(Describe("read") + ": a row reaches out of the file", kDamagedHint);
}

Status Environment::OpenTables(bool read_only) {
  MDB_txn* txn = nullptr;
  int rc = mdb_txn_begin(env_, nullptr, read_only ? MDB_RDONLY : 0, &txn);
  if (rc != 0) return FromLmdb(rc, Describe("begin"));
  for (int table = 1; table <= kTableCount; ++table) {
    rc = Guarded([&] {
      return mdb_dbi_open(txn, kTableNames[table], read_only ? 0 : MDB_CREATE, &tables_[table]);
    });
    if (rc == 0) rc = mdb_set_compare(txn, tables_[table], CompareKeys);
    if (rc != 0) {
      mdb_txn_abort(txn);
      if (rc == MDB_NOTFOUND) {
        return Status::Corruption(
            Describe("open") + ": the table \"" + kTableNames[table] + "\" is missing",
            "restore the store from a backup or ingest it again");
      }
      return FromLmdb(rc, Describe("open a table"));
    }
  }
  rc = mdb_txn_commit(txn);
  return rc == 0 ? Status::Ok() : FromLmdb(rc, Describe("commit"));
}

Environment::~Environment() {
  for (MDB_txn* txn : pool_) mdb_txn_abort(txn);
  if (env_ != nullptr) mdb_env_close(env_);
}

Result<ReadTxn> Environment::BeginRead() {
  MDB_txn* txn = nullptr;
  {
    std::lock_guard lock(pool_mutex_);
    if (!pool_.empty()) {
      txn = pool_.back();
      pool_.pop_back();
    }
  }
  const int rc =
      txn != nullptr ? mdb_txn_renew(txn) : mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (rc != 0) {
    if (txn != nullptr) mdb_txn_abort(txn);
    return FromLmdb(rc, Describe("begin a read"));
  }
  return ReadTxn(this, txn);
}

void Environment::Release(MDB_txn* txn) {
  mdb_txn_reset(txn);
  std::lock_guard lock(pool_mutex_);
  if (pool_.size() < kPoolSizeMax) {
    pool_.push_back(txn);
  } else {
    mdb_txn_abort(txn);
  }
}

Result<std::unique_ptr<WriteTxn>> Environment::BeginWrite() {
  MDB_txn* txn = nullptr;
  const int rc = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (rc != 0) return FromLmdb(rc, Describe("begin a write"));
  return std::unique_ptr<WriteTxn>(new WriteTxn(this, txn));
}

Status Environment::Sync() {
  const int rc = mdb_env_sync(env_, 1);
  return rc == 0 ? Status::Ok() : FromLmdb(rc, Describe("flush"));
}

Status Environment::SweepReaders() {
  int dead = 0;
  const int rc = mdb_reader_check(env_, &dead);
  return rc == 0 ? Status::Ok() : FromLmdb(rc, Describe("sweep readers"));
}

Result<uint64_t> Environment::UsedBytes() {
  MDB_envinfo info;
  MDB_stat stat;
  int rc = mdb_env_info(env_, &info);
  if (rc == 0) rc = mdb_env_stat(env_, &stat);
  if (rc != 0) return FromLmdb(rc, Describe("stat"));
  return (info.me_last_pgno + 1) * static_cast<uint64_t>(stat.ms_psize);
}

Status Environment::ForEachFreePage(
    const std::function<void(uint64_t page, uint64_t page_bytes)>& visit) {
  constexpr MDB_dbi kFreeList = 0;  // rows: a transaction, then the count of its pages before them
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginRead());
  MDB_stat stat;
  int rc = mdb_stat(txn.get(), kFreeList, &stat);
  MDB_cursor* cursor = nullptr;
  if (rc == 0) rc = mdb_cursor_open(txn.get(), kFreeList, &cursor);
  MDB_val key;
  MDB_val row;
  while (rc == 0) {
    rc = Guarded([&] { return mdb_cursor_get(cursor, &key, &row, MDB_NEXT); });
    if (rc != 0) break;
    size_t numbers = 0;
    const bool counts = row.mv_size >= sizeof numbers;
    if (counts) std::memcpy(&numbers, row.mv_data, sizeof numbers);
    if (!counts || numbers > row.mv_size / sizeof numbers - 1) {
      rc = MDB_CORRUPTED;
      break;
    }
    for (size_t i = 1; i <= numbers; ++i) {
      size_t page = 0;
      std::memcpy(&page, static_cast<const char*>(row.mv_data) + i * sizeof page, sizeof page);
      visit(page, stat.ms_psize);
    }
  }
  if (cursor != nullptr) mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? Status::Ok() : FromLmdb(rc, Describe("read the free list"));
}

Result<uint64_t> Environment::FreeBytes() {
  uint64_t bytes = 0;
  ENGRAM_TRY(ForEachFreePage([&](uint64_t, uint64_t page_bytes) { bytes += page_bytes; }));
  return bytes;
}

Result<uint64_t> Environment::RowCount(Table table) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginRead());
  MDB_stat stat;
  const int rc = mdb_stat(txn.get(), dbi(table), &stat);
  if (rc != 0) return FromLmdb(rc, Describe("stat"));
  return static_cast<uint64_t>(stat.ms_entries);
}

}  // namespace engram::engine::lmdb
