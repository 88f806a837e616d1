#include "bench/raw_store_harness.h"

#include <fcntl.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace engram::bench {
namespace {

enum TableIndex { kHeads, kOldHeads, kText, kEmbeddings, kIds, kUuids };

void Require(int rc, const char* what) {
  if (rc != 0) {
    std::fprintf(stderr, "raw harness: %s: %s\n", what, mdb_strerror(rc));
    std::abort();
  }
}

void RequireErrno(bool good, const char* what) {
  if (!good) {
    std::perror(what);
    std::abort();
  }
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint64_t BigEndian(uint64_t v) { return __builtin_bswap64(v); }

void Put(MDB_txn* txn, unsigned table, const void* key, size_t key_size, const void* value,
         size_t value_size, unsigned flags) {
  MDB_val k{key_size, const_cast<void*>(key)};
  MDB_val v{value_size, const_cast<void*>(value)};
  Require(mdb_put(txn, table, &k, &v, flags), "put");
}

MDB_txn* Begin(MDB_env* env, unsigned flags) {
  MDB_txn* txn = nullptr;
  Require(mdb_txn_begin(env, nullptr, flags, &txn), "begin");
  return txn;
}

// The keys of both id tables, in the order the bulk build writes them.
std::vector<std::pair<std::string, uint64_t>> SortedKeys(uint64_t first, uint64_t count,
                                                         uint32_t size) {
  std::vector<std::pair<std::string, uint64_t>> keys;
  keys.reserve(count);
  std::mt19937_64 random(first + size);
  for (uint64_t i = 0; i < count; ++i) {
    std::string key(size, '\0');
    for (uint32_t at = 0; at < size; at += 8) {
      uint64_t word = random();
      std::memcpy(key.data() + at, &word, std::min<size_t>(8, size - at));
    }
    keys.emplace_back(std::move(key), first + i);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

void PutKeys(MDB_txn* txn, unsigned table,
             const std::vector<std::pair<std::string, uint64_t>>& keys, size_t from, size_t to,
             uint32_t value_size, unsigned flags) {
  std::vector<char> value(value_size);
  for (size_t i = from; i < to; ++i) {
    std::memcpy(value.data(), &keys[i].second, 8);
    Put(txn, table, keys[i].first.data(), keys[i].first.size(), value.data(), value_size, flags);
  }
}

}  // namespace

RawStore::RawStore(const std::string& directory, const RawShape& shape)
    : directory_(directory), shape_(shape) {
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_);
  sync();  // what the row before left to the device is not this one's
  Open();
}

void RawStore::Open() {
  Require(mdb_env_create(&env_), "create");
  Require(mdb_env_set_maxdbs(env_, 8), "maxdbs");
  Require(mdb_env_set_mapsize(env_, uint64_t{64} << 30), "mapsize");
  Require(mdb_env_open(env_, directory_.c_str(), MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS, 0600),
          "open");
  MDB_txn* txn = Begin(env_, 0);
  const char* names[] = {"heads", "old_heads", "text", "embeddings", "ids", "uuids"};
  for (int i = 0; i < 6; ++i) Require(mdb_dbi_open(txn, names[i], MDB_CREATE, &tables_[i]), "dbi");
  Require(mdb_txn_commit(txn), "commit");
}

RawStore::~RawStore() { mdb_env_close(env_); }

double RawStore::BulkLoad(uint64_t count, uint64_t batch, const std::string& log_path) {
  const uint32_t record_size = shape_.old_head + shape_.text + shape_.embedding;
  std::vector<char> record(std::max<size_t>(record_size, 4096), 'x');
  int log = log_path.empty() ? -1 : open(log_path.c_str(), O_RDONLY | O_CLOEXEC);
  RequireErrno(log_path.empty() || log >= 0, "open log");
  std::vector<char> buffer(1u << 20);
  size_t filled = 0, used = 0;
  const uint64_t log_record_size = log < 0 ? 0 : [&] {
    struct stat info;
    fstat(log, &info);
    return static_cast<uint64_t>(info.st_size) / count;
  }();
  const double started = Now();
  for (uint64_t i = 0; i < count;) {
    MDB_txn* txn = Begin(env_, 0);
    for (uint64_t end = std::min(count, i + batch); i < end; ++i) {
      for (uint64_t need = log_record_size; need > 0;) {
        if (used == filled) {
          ssize_t got = read(log, buffer.data(), buffer.size());
          RequireErrno(got >= 0, "read log");
          filled = static_cast<size_t>(got), used = 0;
          if (got == 0) break;
        }
        size_t take = std::min<size_t>({need, filled - used, record.size()});
        std::memcpy(record.data(), buffer.data() + used, take);
        used += take, need -= take;
      }
      const uint64_t key = BigEndian(count_ + i + 1);
      Put(txn, tables_[kOldHeads], &key, 8, record.data(), shape_.old_head, MDB_APPEND);
      Put(txn, tables_[kText], &key, 8, record.data(), shape_.text, MDB_APPEND);
      Put(txn, tables_[kEmbeddings], &key, 8, record.data(), shape_.embedding, MDB_APPEND);
    }
    Require(mdb_txn_commit(txn), "commit");
  }
  for (int table : {kIds, kUuids}) {
    auto keys = SortedKeys(count_, count, table == kIds ? shape_.id_key : 16);
    MDB_txn* txn = Begin(env_, 0);
    PutKeys(txn, tables_[table], keys, 0, keys.size(), shape_.id_value,
            count_ == 0 ? MDB_APPEND : 0);
    Require(mdb_txn_commit(txn), "commit");
    if (table == kIds) ids_ = std::move(keys);
  }
  Require(mdb_env_sync(env_, 1), "sync");
  const double seconds = Now() - started;
  if (log >= 0) close(log);
  count_ += count;
  std::shuffle(ids_.begin(), ids_.end(), std::mt19937_64(1));
  return seconds;
}

double RawStore::RewriteHeads(uint64_t batch) {
  std::vector<char> head(shape_.dual_head, 'h');
  const double started = Now();
  uint64_t next = 1;
  while (next <= count_) {
    MDB_txn* txn = Begin(env_, 0);
    MDB_cursor* from = nullptr;
    MDB_cursor* to = nullptr;
    Require(mdb_cursor_open(txn, tables_[kOldHeads], &from), "cursor");
    Require(mdb_cursor_open(txn, tables_[kHeads], &to), "cursor");
    uint64_t key = BigEndian(next);
    MDB_val k{8, &key}, v;
    Require(mdb_cursor_get(from, &k, &v, MDB_SET_RANGE), "seek");
    for (uint64_t i = 0; i < batch && next <= count_; ++i, ++next) {
      std::memcpy(head.data(), v.mv_data, std::min<size_t>(v.mv_size, head.size()));
      uint64_t copy = BigEndian(next);
      MDB_val nk{8, &copy}, nv{head.size(), head.data()};
      Require(mdb_cursor_put(to, &nk, &nv, 0), "put");
      if (next < count_) Require(mdb_cursor_get(from, &k, &v, MDB_NEXT), "next");
    }
    Require(mdb_txn_commit(txn), "commit");
  }
  Require(mdb_env_sync(env_, 1), "sync");
  return Now() - started;
}

double RawStore::UpdateHeadsInPlace(uint64_t batch) {
  std::vector<char> head(shape_.dual_head);
  const double started = Now();
  for (uint64_t next = 1; next <= count_;) {
    MDB_txn* txn = Begin(env_, 0);
    MDB_cursor* cursor = nullptr;
    Require(mdb_cursor_open(txn, tables_[kHeads], &cursor), "cursor");
    for (uint64_t i = 0; i < batch && next <= count_; ++i, ++next) {
      uint64_t key = BigEndian(next);
      MDB_val k{8, &key}, v;
      Require(mdb_cursor_get(cursor, &k, &v, MDB_SET), "get");
      std::memcpy(head.data(), v.mv_data, v.mv_size);
      for (int b = 0; b < 24; ++b) ++head[b];
      MDB_val nk{8, &key}, nv{v.mv_size, head.data()};
      Require(mdb_cursor_put(cursor, &nk, &nv, MDB_CURRENT), "put");
    }
    Require(mdb_txn_commit(txn), "commit");
  }
  Require(mdb_env_sync(env_, 1), "sync");
  return Now() - started;
}

double RawStore::ReopenAndHashAll(uint32_t threads) {
  const double started = Now();
  mdb_env_close(env_);
  Open();
  std::vector<std::thread> workers;
  for (uint32_t worker = 0; worker < threads; ++worker) {
    workers.emplace_back([this, worker, threads] {
      const uint64_t first = count_ * worker / threads + 1, last = count_ * (worker + 1) / threads;
      MDB_txn* txn = Begin(env_, MDB_RDONLY);
      MDB_cursor* cursors[3];
      for (int i = 0; i < 3; ++i) {
        unsigned table = tables_[i == 0 ? kOldHeads : i == 1 ? kText : kEmbeddings];
        Require(mdb_cursor_open(txn, table, &cursors[i]), "cursor");
      }
      EVP_MD* sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
      EVP_MD_CTX* context = EVP_MD_CTX_new();
      unsigned char digest[32], sink = 0;
      std::vector<char> copy(4096);
      for (uint64_t n = first; n <= last; ++n) {
        MDB_val k, v;
        uint64_t key = BigEndian(n);
        for (auto* cursor : cursors) {
          k = {8, &key};
          Require(mdb_cursor_get(cursor, &k, &v, n == first ? MDB_SET_KEY : MDB_NEXT), "get");
          if (v.mv_size < 3072) std::memcpy(copy.data(), v.mv_data, v.mv_size);
        }
        EVP_DigestInit_ex(context, sha256, nullptr);
        EVP_DigestUpdate(context, v.mv_data, 3072);
        EVP_DigestFinal_ex(context, digest, nullptr);
        sink ^= digest[0];
      }
      if (sink == 1 && copy[0] == 2) std::fprintf(stderr, "%c", sink);
      EVP_MD_CTX_free(context);
      EVP_MD_free(sha256);
      for (auto* cursor : cursors) mdb_cursor_close(cursor);
      mdb_txn_abort(txn);
    });
  }
  for (auto& worker : workers) worker.join();
  return Now() - started;
}

double RawStore::GetAll(bool full) {
  std::vector<char> copy(8192);
  MDB_txn* txn = Begin(env_, MDB_RDONLY);
  const double started = Now();
  for (auto& [id, node] : ids_) {
    mdb_txn_reset(txn);
    Require(mdb_txn_renew(txn), "renew");
    MDB_val id_key{id.size(), id.data()}, id_value;
    Require(mdb_get(txn, tables_[kIds], &id_key, &id_value), "get id");
    uint64_t found;
    std::memcpy(&found, id_value.mv_data, sizeof found);
    uint64_t key = BigEndian(found + 1);
    size_t at = 0;
    for (int table : {kOldHeads, kText, kEmbeddings}) {
      if (table == kEmbeddings && !full) break;
      MDB_val k{8, &key}, v;
      Require(mdb_get(txn, tables_[table], &k, &v), "get");
      std::memcpy(copy.data() + at, v.mv_data, v.mv_size);
      at += v.mv_size;
    }
  }
  const double seconds = Now() - started;
  mdb_txn_abort(txn);
  return seconds;
}

double RawStore::LogAndApply(uint64_t count, uint64_t batch, const std::string& log_path) {
  const uint32_t entry =
      shape_.old_head + shape_.dual_head + shape_.text + shape_.embedding + shape_.id_key + 64;
  const uint64_t log_size = entry * batch * 16;
  int log = open(log_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  RequireErrno(log >= 0, "open log");
  std::vector<char> block(entry * batch, 'x');
  for (uint64_t at = 0; at < log_size; at += block.size()) {
    RequireErrno(pwrite(log, block.data(), block.size(), static_cast<off_t>(at)) > 0, "prewrite");
  }
  RequireErrno(fdatasync(log) == 0, "fdatasync");
  auto ids = SortedKeys(count_, count, shape_.id_key);
  auto uuids = SortedKeys(count_, count, 16);
  // Within a batch both engines insert ids sorted; across batches they are random.
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(7));
  std::shuffle(uuids.begin(), uuids.end(), std::mt19937_64(8));

  std::mutex mutex;
  std::condition_variable changed;
  uint64_t logged = 0;
  const uint64_t queue_max = batch * 16;
  uint64_t applied = 0;
  const double started = Now();
  std::thread applier([&] {
    std::vector<char> row(4096, 'x');
    while (applied < count) {
      uint64_t end;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return logged > applied; });
        end = logged;
      }
      std::sort(ids.begin() + applied, ids.begin() + end);
      std::sort(uuids.begin() + applied, uuids.begin() + end);
      MDB_txn* txn = Begin(env_, 0);
      for (uint64_t i = applied; i < end; ++i) {
        uint64_t key = BigEndian(count_ + i + 1);
        Put(txn, tables_[kHeads], &key, 8, row.data(), shape_.dual_head, MDB_APPEND);
        Put(txn, tables_[kOldHeads], &key, 8, row.data(), shape_.old_head, MDB_APPEND);
        Put(txn, tables_[kText], &key, 8, row.data(), shape_.text, MDB_APPEND);
        Put(txn, tables_[kEmbeddings], &key, 8, row.data(), shape_.embedding, MDB_APPEND);
      }
      PutKeys(txn, tables_[kIds], ids, applied, end, shape_.id_value, 0);
      PutKeys(txn, tables_[kUuids], uuids, applied, end, shape_.id_value, 0);
      Require(mdb_txn_commit(txn), "commit");
      std::lock_guard lock(mutex);
      applied = end;
      changed.notify_all();
    }
  });
  for (uint64_t at = 0; at < count;) {
    const uint64_t n = std::min(batch, count - at);
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return logged - applied < queue_max; });
    }
    std::vector<char> source(entry, 'y');
    for (uint64_t i = 0; i < n; ++i) std::memcpy(block.data() + i * entry, source.data(), entry);
    const uint64_t offset = (at / batch % 16) * entry * batch;
    RequireErrno(pwrite(log, block.data(), n * entry, static_cast<off_t>(offset)) > 0, "pwrite");
    RequireErrno(fdatasync(log) == 0, "fdatasync");
    at += n;
    std::lock_guard lock(mutex);
    logged = at;
    changed.notify_all();
  }
  applier.join();
  Require(mdb_env_sync(env_, 1), "sync");
  const double seconds = Now() - started;
  close(log);
  count_ += count;
  return seconds;
}

double RawDurableWriteMedian(const std::string& path, uint64_t size_bytes, uint64_t operations) {
  int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  RequireErrno(file >= 0, "open");
  std::vector<char> zeros(1u << 20);
  const uint64_t slot = (size_bytes + 4095) / 4096 * 4096;
  for (uint64_t at = 0; at < slot * operations; at += zeros.size()) {
    RequireErrno(pwrite(file, zeros.data(), zeros.size(), static_cast<off_t>(at)) > 0, "prewrite");
  }
  RequireErrno(fsync(file) == 0, "fsync");
  sync();
  std::vector<double> seconds;
  std::vector<char> bytes(size_bytes, 'x');
  for (uint64_t i = 0; i < operations; ++i) {
    const double started = Now();
    RequireErrno(pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(i * slot)) > 0,
                 "pwrite");
    RequireErrno(fdatasync(file) == 0, "fdatasync");
    seconds.push_back(Now() - started);
  }
  close(file);
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace engram::bench
