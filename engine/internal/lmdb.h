// LMDB behind RAII: environments, transactions, cursors that cannot lose keys. The only place that
// knows lmdb.h. Flags and limits: docs/format/store.md.
#ifndef ENGRAM_ENGINE_INTERNAL_LMDB_H_
#define ENGRAM_ENGINE_INTERNAL_LMDB_H_

#include <lmdb.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/result.h"
#include "engine/rows.h"

namespace engram::engine::lmdb {

// Maps an LMDB or errno code; `what` names the operation and the environment.
Status FromLmdb(int rc, std::string_view what);

class Environment;

// A read transaction from the environment's pool; back to the pool on destruction. Only moved into
// and destroyed when default-constructed or moved from.
class ReadTxn {
 public:
  ReadTxn() = default;
  ReadTxn(Environment* environment, MDB_txn* txn) : environment_(environment), txn_(txn) {}
  ~ReadTxn();
  ReadTxn(ReadTxn&& other) noexcept
      : environment_(other.environment_), txn_(std::exchange(other.txn_, nullptr)) {}
  ReadTxn& operator=(ReadTxn&& other) noexcept {
    std::swap(environment_, other.environment_);
    std::swap(txn_, other.txn_);
    return *this;
  }
  MDB_txn* get() const { return txn_; }
  uint64_t id() const { return mdb_txn_id(txn_); }  // of the newest commit it sees
  Environment& environment() const { return *environment_; }
  // The row, borrowed until the transaction ends.
  Result<std::optional<Bytes>> Get(Table table, Bytes key) const;

 private:
  Environment* environment_ = nullptr;
  MDB_txn* txn_ = nullptr;
};

// Walks a table in a read transaction.
class ReadCursor {
 public:
  static Result<std::unique_ptr<ReadCursor>> Open(const ReadTxn& txn, Table table);
  ~ReadCursor() { mdb_cursor_close(cursor_); }
  ReadCursor(const ReadCursor&) = delete;
  ReadCursor& operator=(const ReadCursor&) = delete;
  // At the first row with key >= `first` (the first row at all when empty); false: there is none.
  Result<bool> Seek(Bytes first, Bytes* key, Bytes* value);
  Result<bool> Next(Bytes* key, Bytes* value);
  // At the last row whose key begins with `prefix`, or sorts before it; false: there is none.
  Result<bool> SeekLast(Bytes prefix, Bytes* key, Bytes* value);
  Result<bool> Previous(Bytes* key, Bytes* value);

 private:
  ReadCursor(Environment& environment, MDB_cursor* cursor)
      : environment_(environment), cursor_(cursor) {}
  Result<bool> Step(MDB_val* key, MDB_cursor_op op, Bytes* key_out, Bytes* value_out);
  Environment& environment_;
  MDB_cursor* cursor_;
};

// The write transaction of an environment; aborted unless committed. One thread.
class WriteTxn {
 public:
  ~WriteTxn();
  WriteTxn(const WriteTxn&) = delete;
  WriteTxn& operator=(const WriteTxn&) = delete;
  // Borrowed until the next write or the end.
  Result<std::optional<Bytes>> Get(Table table, Bytes key);
  // A copy of the first row whose key begins with `prefix`.
  Result<std::optional<std::pair<std::string, std::string>>> FindFirst(Table table, Bytes prefix);
  // Node and vector keys above all others of the table are appended: no search, and full pages.
  Status Put(Table table, Bytes key, Bytes value);
  // Deleting what is not there is no error.
  Status Delete(Table table, Bytes key);
  // Ends the transaction, also on failure.
  Status Commit();
  uint64_t id() const { return mdb_txn_id(txn_); }

 private:
  friend class Environment;
  WriteTxn(Environment* environment, MDB_txn* txn) : environment_(environment), txn_(txn) {}
  Result<MDB_cursor*> Cursor(Table table);
  Result<bool> IsAppend(Table table, MDB_cursor* cursor, Bytes key);
  Environment* environment_;
  MDB_txn* txn_;
  uint64_t put_bytes_ = 0;
  std::array<MDB_cursor*, kTableCount + 1> cursors_{};  // die with the transaction
  // No key of the table is above this, where it is set; of tables with 8-byte keys.
  std::array<std::optional<uint64_t>, kTableCount + 1> last_keys_;
};

struct EnvironmentOptions {
  std::string path;  // an existing directory
  uint64_t map_size_bytes = 0;
  bool read_only = false;
};

class Environment {
 public:
  // Creates the tables unless read-only. kUnsupported if a table is missing then.
  // kCorruption if the file is shorter than its pages.
  static Result<std::unique_ptr<Environment>> Open(const EnvironmentOptions& options);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  Result<ReadTxn> BeginRead();
  Result<std::unique_ptr<WriteTxn>> BeginWrite();
  // Flushes data and meta pages. A failure is final: the caller must latch.
  Status Sync();
  // Frees the slots of readers that died.
  Status SweepReaders();
  // Bytes up to the last page ever taken, free pages between included.
  Result<uint64_t> UsedBytes();
  // Bytes of pages that a later commit may take again, at the last commit; reads the free list.
  Result<uint64_t> FreeBytes();
  // Rows of a table at the last commit; costs no scan.
  Result<uint64_t> RowCount(Table table);
  MDB_dbi dbi(Table table) const { return tables_[static_cast<int>(table)]; }
  std::string Describe(std::string_view operation) const;
  const std::string& path() const { return path_; }

 private:
  friend class ReadTxn;
  friend class ReadCursor;
  friend class WriteTxn;
  Environment() = default;
  Status OpenTables(bool read_only);
  void Release(MDB_txn* txn);
  // LMDB reads its file through a map: a page that the file does not reach is a signal, no error.
  Result<uint64_t> FileBytes();
  Status FindMap();
  Status CheckFileLength(bool read_only);
  Status CheckMissingPagesAreFree(uint64_t file_bytes);
  Status CoverPages();
  Status ForEachFreePage(const std::function<void(uint64_t page, uint64_t page_bytes)>& visit);
  // Whether the bytes lie in the file, as far as it reaches.
  bool IsInFile(const MDB_val& value);
  Status OutsideOfFile() const;

  MDB_env* env_ = nullptr;
  uintptr_t map_ = 0;
  std::atomic<uint64_t> file_bytes_{0};  // it is at least so long
  std::string path_;
  std::array<MDB_dbi, kTableCount + 1> tables_{};
  std::mutex pool_mutex_;
  std::vector<MDB_txn*> pool_;  // reset, to be renewed
};

}  // namespace engram::engine::lmdb

#endif  // ENGRAM_ENGINE_INTERNAL_LMDB_H_
