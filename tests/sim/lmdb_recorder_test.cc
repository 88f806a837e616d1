#include "tests/testing/lmdb_recorder.h"

#include <gtest/gtest.h>
#include <lmdb.h>

#include <memory>

#include "tests/testing/temp_dir.h"

namespace engram::testing {
namespace {

constexpr int kValueSize = 3084;

struct EnvCloser {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
using Env = std::unique_ptr<MDB_env, EnvCloser>;

// One environment on a simulated disk: commits counters and checks what a crash leaves.
class LmdbWorld {
 public:
  explicit LmdbWorld(uint64_t seed) : disk_(seed), random_(seed * 77 + 1) { Boot(); }

  int OpenEnv() {
    MDB_env* env = nullptr;
    mdb_env_create(&env);
    env_.reset(env);
    mdb_env_set_mapsize(env, 256u << 20);
    int rc = mdb_env_open(env, (fs_->real_root() + "/store.1").c_str(),
                          MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS, 0600);
    if (rc != 0) return rc;
    MDB_txn* txn;
    if ((rc = mdb_txn_begin(env, nullptr, 0, &txn)) != 0) return rc;
    if ((rc = mdb_dbi_open(txn, nullptr, 0, &dbi_)) != 0) {
      mdb_txn_abort(txn);
      return rc;
    }
    return mdb_txn_commit(txn);
  }

  // Sets every key of a random batch to `round` and key 0 as well, in one transaction.
  int Commit(uint64_t round) {
    MDB_txn* txn;
    int rc = mdb_txn_begin(env_.get(), nullptr, 0, &txn);
    if (rc != 0) return rc;
    for (int i = 0; rc == 0 && i < 20; ++i) {
      uint64_t key = i == 0 ? 0 : 1 + random_.Below(200);
      std::string value(kValueSize, static_cast<char>('a' + round % 26));
      memcpy(value.data(), &round, sizeof round);
      MDB_val k = {sizeof key, &key}, v = {value.size(), value.data()};
      rc = mdb_put(txn, dbi_, &k, &v, 0);
    }
    if (rc == 0) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
  }

  // The round in key 0, or -1 if the file is not a consistent snapshot of one round.
  int64_t CheckedRound() {
    MDB_txn* txn;
    if (mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, &txn) != 0) return -1;
    MDB_cursor* cursor;
    int64_t round = 0;
    if (mdb_cursor_open(txn, dbi_, &cursor) == 0) {
      MDB_val k, v;
      uint64_t newest = 0, first = 0;
      int rc;
      while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        uint64_t key, value;
        if (k.mv_size != 8 || v.mv_size != kValueSize) break;
        memcpy(&key, k.mv_data, 8);
        memcpy(&value, v.mv_data, 8);
        const char* bytes = static_cast<const char*>(v.mv_data);
        for (int i = 8; i < kValueSize; ++i) {
          if (bytes[i] != static_cast<char>('a' + value % 26)) rc = EIO;
        }
        if (rc != 0) break;
        if (key == 0) first = value;
        newest = std::max(newest, value);
      }
      round = rc == MDB_NOTFOUND && newest == first ? static_cast<int64_t>(first) : -1;
      mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return round;
  }

  int Sync() { return mdb_env_sync(env_.get(), 1); }
  void Crash() {
    env_.reset();
    recorder_.reset();
    disk_.Restart();
    Boot();
  }
  SimDisk& disk() { return disk_; }
  SimFileSystem& fs() { return *fs_; }

 private:
  void Boot() {
    fs_.reset();
    fs_ = std::make_unique<SimFileSystem>(disk_, dir_.Join("life" + std::to_string(disk_.life())));
    recorder_ = std::make_unique<LmdbRecorder>(*fs_);
    if (disk_.life() != 0) return;
    EXPECT_TRUE(fs_->CreateDirectory(fs_->real_root() + "/store.1").ok());
    EXPECT_TRUE(fs_->SyncDirectory(fs_->real_root()).ok());
    EXPECT_EQ(OpenEnv(), 0);
    EXPECT_EQ(Sync(), 0);
    EXPECT_TRUE(fs_->SyncDirectory(fs_->real_root() + "/store.1").ok());
  }

  TempDir dir_ = TempDir::InMemory();
  SimDisk disk_;
  Random random_;
  std::unique_ptr<SimFileSystem> fs_;
  std::unique_ptr<LmdbRecorder> recorder_;
  Env env_;
  MDB_dbi dbi_ = 0;
};

// Runs commits until a crash at a random call. Returns {last committed round, round found}.
std::pair<int64_t, int64_t> RunOnce(LmdbWorld* world, uint64_t seed) {
  world->disk().Arm({Fault::Kind::kCrash, 1 + (seed * 7919) % 150});
  int64_t committed = 0;
  for (uint64_t round = 1; round < 1000 && !world->disk().crashed(); ++round) {
    if (world->Commit(round) == 0) committed = static_cast<int64_t>(round);
  }
  world->Crash();
  if (world->OpenEnv() != 0) return {committed, -1};
  return {committed, world->CheckedRound()};
}

TEST(LmdbRecorder, WithItsFlushesLmdbLosesAtMostTheLastCommit) {
  int undone = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    LmdbWorld world(seed);
    auto [committed, found] = RunOnce(&world, seed);
    ASSERT_GE(found, committed - 1) << "seed " << seed;
    ASSERT_LE(found, committed + 1) << "seed " << seed;
    undone += found == committed - 1;
  }
  EXPECT_GT(undone, 5);  // MDB_NOMETASYNC does undo commits here: the disk is no kinder than real
}

TEST(LmdbRecorder, WithoutItsDataFlushesLmdbBreaks) {
  int broken = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    LmdbWorld world(seed);
    world.disk().IgnoreFlushes([](std::string_view name) { return name.starts_with("lmdb sync"); });
    auto [committed, found] = RunOnce(&world, seed);
    broken += found < committed - 1;
  }
  EXPECT_GT(broken, 10);
}

TEST(LmdbRecorder, AnEnvironmentSyncKeepsTheLastCommit) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    LmdbWorld world(seed);
    for (uint64_t round = 1; round <= 5; ++round) ASSERT_EQ(world.Commit(round), 0);
    ASSERT_EQ(world.Sync(), 0);
    world.Crash();
    ASSERT_EQ(world.OpenEnv(), 0);
    EXPECT_EQ(world.CheckedRound(), 5) << "seed " << seed;
  }
}

TEST(LmdbRecorder, WithoutADirectoryFlushTheFileItselfMayBeGone) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    TempDir dir = TempDir::InMemory();
    SimDisk disk(seed);
    {
      SimFileSystem fs(disk, dir.Join("a"));
      LmdbRecorder recorder(fs);
      MDB_env* env;
      mdb_env_create(&env);
      ASSERT_EQ(mdb_env_open(env, fs.real_root().c_str(), MDB_NOMETASYNC, 0600), 0);
      mdb_env_close(env);
    }
    disk.Restart();
    SimFileSystem fs(disk, dir.Join("b"));
    lost += !Exists(fs, fs.real_root() + "/data.mdb");
  }
  EXPECT_GT(lost, 5);
}

TEST(LmdbRecorder, InjectedErrorsReachLmdb) {
  LmdbWorld world(3);
  ASSERT_EQ(world.Commit(1), 0);
  world.disk().Arm({Fault::Kind::kErrorOnce, 1, kFlushCall});
  EXPECT_EQ(world.Commit(2), EIO);
  world.disk().Arm({});
  EXPECT_EQ(world.Commit(3), 0);
  world.disk().SetCapacity(world.disk().used_bytes());
  int rc = 0;
  for (uint64_t round = 4; rc == 0 && round < 50; ++round) rc = world.Commit(round);
  EXPECT_TRUE(rc == ENOSPC || rc == EIO) << rc;
  world.disk().SetCapacity(uint64_t{1} << 30);
  EXPECT_EQ(world.Commit(60), 0);
  EXPECT_EQ(world.CheckedRound(), 60);
}

TEST(LmdbRecorder, TheSeamSeesWhatLmdbWrote) {
  LmdbWorld world(3);
  ASSERT_EQ(world.Commit(1), 0);
  auto info = world.fs().Stat(world.fs().real_root() + "/store.1/data.mdb");
  ASSERT_TRUE(info.ok());
  EXPECT_GT(info->size_bytes, 4096u * 10);
  EXPECT_EQ(world.fs().List(world.fs().real_root() + "/store.1")->size(), 2u);  // and lock.mdb
}

}  // namespace
}  // namespace engram::testing
