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

enum class Client { kGoesOn, kDiesWithTheFault };

// Puts, deletes, applies, compacts (and compacts again after deletes), closes.
void Work(StoreSimulation& sim, Client client) {
  auto ends = [&](const Status& status) {
    if (!status.ok()) ExpectClear(status);
    if (!status.ok() && !sim.FaultExplains()) sim.Fail(status.ToString());
    return client == Client::kDiesWithTheFault && sim.FaultExplains();
  };
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 4; ++i) {
      if (ends(sim.Put(Id(round + i)))) return;
    }
    if (ends(sim.Remove(Id(round)))) return;
    if (round % 2 == 0 && ends(sim.store()->Drain({.sync = false}))) return;
    if (round % 3 == 2 && ends(sim.Compact())) return;
  }
  ends(sim.Close());
}

// What is applied on the way gives segments of the log back, and what follows takes them.
void WriteOn(StoreSimulation& sim, uint64_t rounds) {
  EXPECT_TRUE(sim.Put(Id(1)).ok());
  for (uint64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(sim.Put(Id(i)).ok());
    EXPECT_TRUE(sim.store()->Drain({.sync = false}).ok());
  }
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(sim.Put(Id(i % 12)).ok());
}

// Returns how many calls were failed, one run each.
uint64_t FailEveryCall(const Fault& fault, Client client = Client::kGoesOn,
                       uint64_t first_seed = 1) {
  uint64_t n = 1;
  for (bool reached = true; reached; ++n) {
    StoreSimulation sim(first_seed + n, "");
    sim.machine().disk().Arm({fault.kind, n, fault.calls, fault.error_number});
    const bool opened = sim.Open();
    if (opened) Work(sim, client);
    if (!opened) ExpectClear(sim.open_status());
    reached = sim.machine().disk().calls() >= n;
    sim.Drop();
    // The process restarts on the same page cache, writes on, and then the power goes.
    sim.machine().KillProcess();
    EXPECT_TRUE(sim.Open()) << sim.open_status().ToString();
    if (sim.store() != nullptr) WriteOn(sim, n % 3);
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
  EXPECT_GT(FailEveryCall({.kind = Fault::Kind::kErrorOnce}), 200u);
}

TEST(StoreFaultTest, AnyCallFromWhichOnAllFailGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall({.kind = Fault::Kind::kErrorForever}), 200u);
}

TEST(StoreFaultTest, AnyWriteThatIsShortGivesAClearErrorAndLosesNothing) {
  EXPECT_GT(FailEveryCall({.kind = Fault::Kind::kShortWrite, .calls = kWriteCall}), 60u);
}

// The next process finds a page cache that shows what the flush never wrote.
TEST(StoreFaultTest, AProcessThatDiesWithAFailedFlushLosesNothing) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    EXPECT_GT(FailEveryCall({.kind = Fault::Kind::kErrorOnce, .calls = kFlushCall},
                            Client::kDiesWithTheFault, seed * 1000),
              40u);
    if (HasFailure()) break;
  }
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
