// The store with every single call failing in turn, and with a disk that fills up: a clear error,
// no acknowledgement after a failed flush, and nothing acknowledged is lost when it opens again.
#include <gtest/gtest.h>

#include "tests/crash/store_simulation.h"

namespace engram::testing {
namespace {

constexpr int kRounds = 8;

void ExpectClear(const Status& status) {
  EXPECT_NE(status.message(), "");
  EXPECT_TRUE(status.code() == StatusCode::kIo || status.code() == StatusCode::kFull ||
              status.code() == StatusCode::kFatal ||
              status.code() == StatusCode::kFailedPrecondition)
      << status.ToString();
}

std::string Id(int i) { return "memory-" + std::to_string(i); }

// Puts, deletes, applies, compacts (and compacts again after deletes), closes. Goes on after
// errors, as a client would.
void Work(StoreSimulation& sim) {
  auto expect = [&](const Status& status) {
    if (!status.ok()) ExpectClear(status);
    if (!status.ok() && !sim.FaultExplains()) sim.Fail(status.ToString());
  };
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 4; ++i) expect(sim.Put(Id(round + i)));
    expect(sim.Remove(Id(round)));
    if (round % 2 == 0) expect(sim.store()->Drain({.sync = false}));
    if (round % 3 == 2) expect(sim.Compact());
  }
  expect(sim.Close());
}

// Returns how many calls were failed, one run each.
uint64_t FailEveryCall(Fault::Kind kind, uint32_t calls, int error_number) {
  uint64_t n = 1;
  for (bool reached = true; reached; ++n) {
    StoreSimulation sim(n, "");
    sim.machine().disk().Arm({kind, n, calls, error_number});
    const bool opened = sim.Open();
    if (opened) Work(sim);
    if (!opened) ExpectClear(sim.open_status());
    reached = sim.machine().disk().calls() >= n;
    sim.Drop();
    // The process restarts on the same page cache, writes on, and then the power goes.
    sim.machine().KillProcess();
    EXPECT_TRUE(sim.Open()) << sim.open_status().ToString();
    EXPECT_TRUE(!sim.store() || sim.Put(Id(1)).ok());
    sim.Drop();
    sim.machine().CutPower();
    EXPECT_TRUE(sim.Open()) << sim.open_status().ToString();
    EXPECT_EQ(sim.failure(), "");
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_FALSE(::testing::Test::HasFailure()) << "call " << n;
  return n - 1;
}

TEST(StoreFaultTest, AnyCallThatFailsOnceGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kErrorOnce, kAnyCall, EIO), 200u);
}

TEST(StoreFaultTest, AnyCallFromWhichOnAllFailGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kErrorForever, kAnyCall, EIO), 200u);
}

TEST(StoreFaultTest, AnyWriteThatIsShortGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall(Fault::Kind::kShortWrite, kWriteCall, EIO), 60u);
}

TEST(StoreFaultTest, AFullDiskRefusesPutsReadsAndDeletesGoOnAndItClearsItself) {
  StoreSimulation sim(3, "");
  ASSERT_TRUE(sim.Open());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(sim.Put(Id(i)).ok());
  SimDisk& disk = sim.machine().disk();
  disk.SetCapacity(disk.used_bytes() + (64u << 10));
  Status status;
  for (int i = 0; i < 3000 && status.ok(); ++i) status = sim.Put(Id(i % 15));
  EXPECT_EQ(status.code(), StatusCode::kFull) << status.ToString();
  EXPECT_NE(status.hint(), "");
  EXPECT_TRUE(sim.store()->View().ok());
  Status removed = sim.Remove(Id(1));
  EXPECT_TRUE(removed.ok()) << removed.ToString();
  sim.Check();
  disk.SetCapacity(uint64_t{1} << 30);
  Status put = sim.Put(Id(2));  // no reopen, no command
  EXPECT_TRUE(put.ok()) << put.ToString();
  EXPECT_TRUE(sim.store()->Drain({.sync = true}).ok());
  sim.Check();
  sim.Drop();
  sim.machine().CutPower();
  EXPECT_TRUE(sim.Open());
  EXPECT_EQ(sim.failure(), "");
}

}  // namespace
}  // namespace engram::testing
