// What the log does when writes fail, the disk is full, or io_uring is forbidden.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <csignal>
#include <cstddef>

#include <atomic>
#include <thread>

#include "tests/testing/sim_file_system.h"
#include "tests/wal/log_fixture.h"
#include "wal/log_directory.h"
#include "wal/pwrite/pwrite_write_queue.h"
#include "wal/uring/uring_write_queue.h"

namespace engram::wal {
namespace {

// The real file system, until told to fail: then every write, whatever way it takes, goes to a
// descriptor that is open for reading only, and the kernel refuses it.
class FailingFileSystem : public FileSystem {
 public:
  std::atomic<bool> writes_fail{false};
  std::atomic<uint64_t> available_bytes{UINT64_MAX};

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    ENGRAM_ASSIGN_OR_RETURN(auto file, posix_.Open(path, mode));
    ENGRAM_ASSIGN_OR_RETURN(auto read_only, posix_.Open(path, OpenMode::kReadOnly));
    return std::unique_ptr<File>(
        std::make_unique<FailingFile>(writes_fail, std::move(file), std::move(read_only)));
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return posix_.Rename(from, to);
  }
  Status Unlink(const std::string& path) override { return posix_.Unlink(path); }
  Status CreateDirectory(const std::string& path) override { return posix_.CreateDirectory(path); }
  Status RemoveDirectory(const std::string& path) override { return posix_.RemoveDirectory(path); }
  Status SyncDirectory(const std::string& path) override { return posix_.SyncDirectory(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return posix_.List(path);
  }
  Result<FileInfo> Stat(const std::string& path) override { return posix_.Stat(path); }
  Result<DiskSpace> Space(const std::string&) override {
    return DiskSpace{UINT64_MAX, available_bytes};
  }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, bool shared) override {
    return posix_.Lock(path, shared);
  }

 private:
  class FailingFile : public File {
   public:
    FailingFile(std::atomic<bool>& fail, std::unique_ptr<File> real,
                std::unique_ptr<File> read_only)
        : fail_(fail), real_(std::move(real)), read_only_(std::move(read_only)) {}
    Result<uint64_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
      return real_->ReadAt(offset, out);
    }
    Status WriteAt(uint64_t offset, Bytes bytes) override { return To().WriteAt(offset, bytes); }
    Status WriteAtDurable(uint64_t offset, Bytes bytes) override {
      return To().WriteAtDurable(offset, bytes);
    }
    Status Sync() override { return real_->Sync(); }
    Status Truncate(uint64_t size_bytes) override { return real_->Truncate(size_bytes); }
    Result<uint64_t> Size() override { return real_->Size(); }
    int native_fd() const override { return To().native_fd(); }
    const std::string& path() const override { return real_->path(); }

   private:
    File& To() const { return fail_ ? *read_only_ : *real_; }
    std::atomic<bool>& fail_;
    const std::unique_ptr<File> real_;
    const std::unique_ptr<File> read_only_;
  };
  FileSystem& posix_ = FileSystem::Posix();
};

class LogFaultTest : public ::testing::TestWithParam<LogIo> {
 protected:
  std::unique_ptr<Log> Open() { return OpenLog(fs_, directory(), SmallSegments(GetParam())); }
  std::string directory() const { return dir_.path() + "/log"; }
  Status TryPut(Log& log, std::string_view payload, bool use_reserve = false) {
    auto lsn = log.Append(1, AsBytes(payload), {use_reserve});
    return lsn.ok() ? log.WaitDurable(*lsn) : lsn.status();
  }

  FailingFileSystem fs_;
  testing::TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(Io, LogFaultTest, ::testing::Values(LogIo::kPwrite, LogIo::kUring),
                         IoName);

TEST_P(LogFaultTest, AFailedWriteLatchesTheLogAndNothingIsRetried) {
  auto log = Open();
  const Status kept = TryPut(*log, "kept");
  ASSERT_TRUE(kept.ok()) << kept.ToString();
  fs_.writes_fail = true;
  const Status failed = TryPut(*log, "lost");
  EXPECT_EQ(failed.code(), StatusCode::kFatal) << failed.ToString();
  EXPECT_NE(failed.message().find("outcome of the writes in flight is unknown"), std::string::npos);
  EXPECT_FALSE(failed.hint().empty());
  fs_.writes_fail = false;
  EXPECT_TRUE(log->latched());
  EXPECT_EQ(log->durable().value, 1u);
  EXPECT_TRUE(log->WaitDurable({1}).ok()) << "what was durable stays so";
  EXPECT_EQ(log->WaitDurable({2}).code(), StatusCode::kFatal);
  EXPECT_EQ(TryPut(*log, "no").code(), StatusCode::kFatal);
  EXPECT_EQ(log->ReleaseBelow({1}).code(), StatusCode::kFatal);
  EXPECT_EQ(log->CloseClean().code(), StatusCode::kFatal);
  log = Open();
  EXPECT_EQ(RecoverAll(fs_, directory()).records.size(), 1u);
  ASSERT_TRUE(TryPut(*log, "after").ok());
  EXPECT_EQ(RecoverAll(fs_, directory()).records.size(), 2u);
}

TEST_P(LogFaultTest, EveryWaiterOfAFailedGroupIsTold) {
  auto log = Open();
  ASSERT_TRUE(TryPut(*log, "kept").ok());
  fs_.writes_fail = true;
  std::mutex owner;
  std::atomic<int> fatal{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      std::unique_lock lock(owner);
      const auto lsn = log->Append(1, AsBytes("x"), {});
      lock.unlock();
      const Status status = lsn.ok() ? log->WaitDurable(*lsn) : lsn.status();
      fatal += status.code() == StatusCode::kFatal;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(fatal, 16);
}

TEST_P(LogFaultTest, AFullDiskQueuesNothingLetsDeletesGoOnAndClearsItself) {
  auto log = Open();
  fs_.available_bytes = 20 * kPageSizeBytes;
  ASSERT_TRUE(TryPut(*log, "first").ok());
  fs_.available_bytes = 0;
  Status status;
  while ((status = TryPut(*log, "more")).ok()) {
  }
  EXPECT_EQ(status.code(), StatusCode::kFull) << status.ToString();
  EXPECT_FALSE(status.hint().empty());
  const Lsn next = log->next_lsn();
  EXPECT_EQ(TryPut(*log, "again").code(), StatusCode::kFull);
  EXPECT_EQ(log->next_lsn(), next) << "nothing was queued";
  EXPECT_FALSE(log->latched());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(TryPut(*log, "delete", true).ok()) << i;
  EXPECT_EQ(TryPut(*log, "put").code(), StatusCode::kFull) << "the reserve is for deletes";
  while ((status = TryPut(*log, "delete", true)).ok()) {
  }
  EXPECT_EQ(status.code(), StatusCode::kFull);
  fs_.available_bytes = UINT64_MAX;
  EXPECT_TRUE(TryPut(*log, "space is back").ok());
  EXPECT_TRUE(log->CloseClean().ok());
  const Recovered recovered = RecoverAll(fs_, directory());
  EXPECT_TRUE(recovered.result.clean_shutdown);
  EXPECT_EQ(recovered.records.back().payload, "space is back");
}

TEST_P(LogFaultTest, AFullDiskFromTheStartIsReportedAndLeavesNothingBehind) {
  fs_.available_bytes = 1000;
  auto log = Open();
  EXPECT_EQ(TryPut(*log, "x").code(), StatusCode::kFull);
  EXPECT_EQ(log->size_bytes(), 0u);
  EXPECT_TRUE(log->CloseClean().ok());
  EXPECT_TRUE(fs_.List(directory())->empty());
}

TEST_P(LogFaultTest, BadOptionsAndRecordsAreRefused) {
  LogOptions options = SmallSegments(GetParam());
  options.segment_size_bytes_min = 5000;
  EXPECT_EQ(ValidateLogOptions(options).code(), StatusCode::kInvalidArgument);
  options = SmallSegments(GetParam());
  options.segment_size_bytes_max = 4096;
  EXPECT_EQ(ValidateLogOptions(options).code(), StatusCode::kInvalidArgument);
  options.group_size_bytes_max = 1;
  EXPECT_EQ(ValidateLogOptions(options).code(), StatusCode::kInvalidArgument);
  auto log = Open();
  EXPECT_EQ(log->Append(0, {}, {}).status().code(), StatusCode::kInvalidArgument);
  const std::string huge(kPayloadSizeBytesMax + 1, 'x');
  EXPECT_EQ(log->Append(1, AsBytes(huge), {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(log->WaitDurable({5}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(log->CloseClean().ok());
  EXPECT_EQ(log->Append(1, {}, {}).status().code(), StatusCode::kFailedPrecondition);
}

TEST_P(LogFaultTest, TheLargestRecordGetsASegmentThatHoldsIt) {
  auto log = Open();
  const std::string huge(kPayloadSizeBytesMax, 'h');
  ASSERT_TRUE(TryPut(*log, huge).ok());
  ASSERT_TRUE(TryPut(*log, "small").ok());
  log.reset();
  const Recovered recovered = RecoverAll(fs_, directory());
  ASSERT_EQ(recovered.records.size(), 2u);
  EXPECT_EQ(recovered.records[0].payload, huge);
}

// The kernel stops a write at the file size limit: the queue must not take the short write for OK.
TEST_P(LogFaultTest, AShortWriteIsAFailure) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  auto queue =
      GetParam() == LogIo::kUring ? std::move(*NewUringWriteQueue()) : NewPwriteWriteQueue();
  auto file = std::move(*FileSystem::Posix().Open(dir_.Join("f"), OpenMode::kCreate));
  const std::vector<uint8_t> bytes(4 * kPageSizeBytes, 1);
  rlimit limit = old;
  limit.rlim_cur = 2 * kPageSizeBytes;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Status submitted = queue->Submit(9, *file, kPageSizeBytes, bytes);
  const auto completion = queue->Wait();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  ASSERT_TRUE(submitted.ok() && completion.ok());
  EXPECT_EQ(completion->token, 9u);
  EXPECT_FALSE(completion->status.ok());
}

TEST(UringTest, ManyQueuesShareTheRingFromManyThreads) {
  constexpr int kThreads = 8;
  testing::TempDir dir;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      auto queue = std::move(*NewUringWriteQueue());
      auto file =
          std::move(*FileSystem::Posix().Open(dir.Join(std::to_string(t)), OpenMode::kCreate));
      const std::string bytes(kPageSizeBytes, static_cast<char>('a' + t));
      for (uint64_t i = 0; i < 60; i += 3) {
        for (uint64_t j = i; j < i + 3; ++j) {
          ASSERT_TRUE(queue->Submit(j, *file, j * bytes.size(), AsBytes(bytes)).ok());
        }
        for (uint64_t j = i; j < i + 3; ++j) ASSERT_TRUE(queue->Wait()->status.ok());
      }
      EXPECT_EQ(ReadFile(FileSystem::Posix(), file->path(), 1u << 20)->size(), 60 * kPageSizeBytes);
    });
  }
  for (auto& thread : threads) thread.join();
}

// As container runtimes do it.
void ForbidUring() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = std::size(filter), .filter = filter};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

bool WritesWithPwrite(const std::string& directory) {
  auto log = OpenLog(FileSystem::Posix(), directory, SmallSegments(LogIo::kAuto));
  Put(*log, "written without io_uring");
  return log->io_name() == "pwrite";
}

bool OnlyUringIsRefused(const std::string& directory) {
  ForbidUring();
  Log::OpenOptions options;
  options.directory = directory + "-2";
  options.recovered.clean_shutdown = true;
  options.log = SmallSegments(LogIo::kUring);
  const auto uring = Log::Open(FileSystem::Posix(), Logger::Null(), options);
  return WritesWithPwrite(directory) && uring.status().code() == StatusCode::kUnsupported &&
         uring.status().message().find("io_uring_setup") != std::string::npos &&
         uring.status().hint().find("pwrite") != std::string::npos;
}

TEST(UringTest, AutoDoesNotUseItWhereItWouldWork) {
  testing::TempDir dir;
  ASSERT_TRUE(NewUringWriteQueue().ok());
  EXPECT_TRUE(WritesWithPwrite(dir.path() + "/log"));
}

TEST(UringDeathTest, WhereItIsForbiddenAutoWritesAndUringSaysWhy) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fresh process: the ring is probed once
  testing::TempDir dir;
  EXPECT_EXIT(exit(OnlyUringIsRefused(dir.path() + "/log") ? 0 : 1), ::testing::ExitedWithCode(0),
              "");
}

// Every call of a small life fails once, then every call from there on: no acknowledged record is
// lost, and what fails is reported.
class SimulatedFaultTest : public ::testing::TestWithParam<testing::Fault::Kind> {
 protected:
  // Returns the LSNs acknowledged.
  uint64_t Live(FileSystem& fs, const std::string& directory) {
    RecoverOptions recover;
    recover.directory = directory;
    recover.store_uuid = TestStore();
    const auto visit = [](const LogRecord&) { return Status::Ok(); };
    const auto recovered = Recover(fs, recover, visit);
    if (!recovered.ok()) return 0;
    Log::OpenOptions options;
    options.directory = directory;
    options.store_uuid = TestStore();
    options.recovered = *recovered;
    options.log = SmallSegments(LogIo::kAuto);
    auto log = Log::Open(fs, Logger::Null(), options);
    if (!log.ok()) return 0;
    EXPECT_EQ((*log)->io_name(), "simulated");
    uint64_t acknowledged = recovered->last.value;
    for (int i = 0; i < 8; ++i) {
      const auto lsn = (*log)->Append(1, AsBytes(std::string(2000, 'r')), {});
      if (lsn.ok() && (*log)->WaitDurable(*lsn).ok()) acknowledged = lsn->value;
    }
    IgnoreError((*log)->CloseClean(), "may fail here");
    return acknowledged;
  }
};
INSTANTIATE_TEST_SUITE_P(Kind, SimulatedFaultTest,
                         ::testing::Values(testing::Fault::Kind::kErrorOnce,
                                           testing::Fault::Kind::kErrorForever,
                                           testing::Fault::Kind::kShortWrite,
                                           testing::Fault::Kind::kCrash));

TEST_P(SimulatedFaultTest, AtEveryCallNoAcknowledgedRecordIsLost) {
  bool fired = true;
  uint64_t call = 1;
  for (; fired; ++call) {
    testing::SimDisk disk(call);
    uint64_t acknowledged = 0;
    {
      testing::TempDir root;
      testing::SimFileSystem fs(disk, root.path());
      acknowledged = Live(fs, root.path() + "/log");
      const bool short_write = GetParam() == testing::Fault::Kind::kShortWrite;
      disk.Arm({GetParam(), call, short_write ? testing::kWriteCall : testing::kAnyCall});
      acknowledged = std::max(acknowledged, Live(fs, root.path() + "/log"));
      fired = disk.fault_fired();
    }
    disk.Restart();
    testing::TempDir root;
    testing::SimFileSystem fs(disk, root.path());
    const Recovered recovered = RecoverAll(fs, root.path() + "/log");
    ASSERT_TRUE(recovered.status.ok()) << "call " << call << ": " << recovered.status.ToString();
    ASSERT_GE(recovered.result.last.value, acknowledged) << "call " << call;
    ASSERT_EQ(recovered.records.size(), recovered.result.last.value);
  }
  EXPECT_GT(call, 10u) << "the fault was planned at every call";
}

}  // namespace
}  // namespace engram::wal
