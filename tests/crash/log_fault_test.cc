// The log with every single call failing in turn, and with a disk that fills up: a clear error, no
// acknowledgement after a failed flush, and nothing acknowledged is lost when it is opened again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/crash/crash_support.h"
#include "wal/log.h"

namespace engram::wal {
namespace {

using testing::Fault;
using testing::kPageBytes;
using testing::SimMachine;

constexpr uint64_t kRecordCount = 40;

std::string Payload(uint64_t lsn) { return std::string(100 + 90 * (lsn % 7), 'a' + lsn % 26); }

// A log on a simulated machine that remembers what it acknowledged.
class LogOnSimDisk {
 public:
  explicit LogOnSimDisk(uint64_t seed) : machine(seed) { uuid_.bytes[3] = 7; }

  // Recovers and opens; checks that what was acknowledged is there, in order.
  Status Open() {
    log.reset();
    uint64_t next = 1;
    auto recovered = Recover(machine.fs(), {machine.Path("log"), uuid_, Lsn{0}, false},
                             [&](const LogRecord& record) {
                               EXPECT_EQ(record.lsn.value, next);
                               EXPECT_EQ(AsView(record.payload), Payload(next));
                               ++next;
                               return Status::Ok();
                             });
    ENGRAM_TRY(recovered.status());
    EXPECT_GE(next - 1, acknowledged);
    Log::OpenOptions options;
    options.directory = machine.Path("log");
    options.store_uuid = uuid_;
    options.recovered = *recovered;
    options.log.segment_size_bytes_min = 4 * kPageBytes;
    options.log.segment_size_bytes_max = 4 * kPageBytes;
    options.log.group_size_bytes_max = 2 * kPageBytes;
    ENGRAM_ASSIGN_OR_RETURN(log, Log::Open(machine.fs(), Logger::Null(), options));
    acknowledged = next - 1;
    return Status::Ok();
  }

  Status Put(bool use_reserve) {
    const uint64_t lsn = log->next_lsn().value;
    Log::AppendOptions options;
    options.use_reserve = use_reserve;
    const std::string payload = Payload(lsn);
    ENGRAM_TRY(log->Append(1, AsBytes(payload), options).status());
    ENGRAM_TRY(log->WaitDurable(Lsn{lsn}));
    acknowledged = lsn;
    return Status::Ok();
  }

  SimMachine machine;
  std::unique_ptr<Log> log;
  uint64_t acknowledged = 0;

 private:
  Uuid uuid_;
};

void ExpectClear(const Status& status) {
  EXPECT_NE(status.message(), "");
  EXPECT_TRUE(status.code() == StatusCode::kIo || status.code() == StatusCode::kFull ||
              status.code() == StatusCode::kFatal)
      << status.ToString();
}

// Runs the workload with call `n` failing; true if the fault was reached.
bool RunWithFault(LogOnSimDisk& world, const Fault& fault) {
  world.machine.disk().Arm(fault);
  Status status = world.Open();
  for (uint64_t i = 0; status.ok() && i < kRecordCount; ++i) {
    Status put = world.Put(false);
    if (put.ok()) continue;
    ExpectClear(put);
    if (world.log->latched()) {
      // No retry and no acknowledgement after a failed write or flush.
      EXPECT_EQ(world.Put(true).code(), StatusCode::kFatal);
      EXPECT_EQ(world.log->WaitDurable(Lsn{world.log->next_lsn().value - 1}).code(),
                StatusCode::kFatal);
      EXPECT_EQ(world.log->CloseClean().code(), StatusCode::kFatal);
      break;
    }
  }
  if (!status.ok()) ExpectClear(status);
  if (status.ok() && !world.log->latched()) {
    Status closed = world.log->CloseClean();
    if (!closed.ok()) ExpectClear(closed);
  }
  world.log.reset();
  const bool reached = world.machine.disk().calls() >= fault.call;
  world.machine.disk().Arm({});
  return reached;
}

uint64_t FailEveryCall(Fault::Kind kind, uint32_t calls, int error_number) {
  uint64_t n = 1;
  for (;; ++n) {
    LogOnSimDisk world(n);
    const bool reached = RunWithFault(world, {kind, n, calls, error_number});
    // The process restarts on the same page cache, then the power goes.
    world.machine.KillProcess();
    Status reopened = world.Open();
    EXPECT_TRUE(reopened.ok()) << reopened.ToString();
    EXPECT_TRUE(!reopened.ok() || world.Put(false).ok());
    world.log.reset();
    world.machine.CutPower();
    reopened = world.Open();
    EXPECT_TRUE(reopened.ok()) << reopened.ToString();
    if (!reached || ::testing::Test::HasFailure()) break;
  }
  EXPECT_FALSE(::testing::Test::HasFailure()) << "call " << n;
  return n - 1;
}

TEST(LogFaultTest, AnyCallThatFailsOnceGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kErrorOnce, testing::kAnyCall, EIO), 100u);
}

TEST(LogFaultTest, AnyCallFromWhichOnAllFailGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kErrorForever, testing::kAnyCall, EIO), 100u);
}

TEST(LogFaultTest, AnyWriteThatIsShortGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kShortWrite, testing::kWriteCall, EIO), 40u);
}

TEST(LogFaultTest, AnyWriteThatFindsTheDiskFullGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kErrorOnce, testing::kWriteCall, ENOSPC), 40u);
}

TEST(LogFaultTest, AFullDiskRefusesAppendsWithoutALatchDeletesGoOnAndItClearsItself) {
  LogOnSimDisk world(5);
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Put(false).ok());
  world.machine.disk().SetCapacity(world.machine.disk().used_bytes() + 3 * kPageBytes);
  Status status;
  for (int i = 0; i < 500 && status.ok(); ++i) status = world.Put(false);
  EXPECT_EQ(status.code(), StatusCode::kFull) << status.ToString();
  EXPECT_NE(status.hint(), "");
  EXPECT_FALSE(world.log->latched());
  EXPECT_TRUE(world.Put(true).ok());  // a delete, out of the reserve
  EXPECT_EQ(world.Put(false).code(), StatusCode::kFull);
  world.machine.disk().SetCapacity(uint64_t{1} << 30);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(world.Put(false).ok());
  world.log.reset();
  world.machine.CutPower();
  EXPECT_TRUE(world.Open().ok());
}

}  // namespace
}  // namespace engram::wal
