#include "migration/throttle.h"

#include <gmock/gmock.h>

#include <thread>

#include "migration/progress.h"
#include "tests/migration/manual_clock.h"

namespace engram::migration {
namespace {

using testing::ManualClock;

TEST(TokenBucket, TheLongRunRateIsExactWhateverTheBatch) {
  for (uint64_t batch : {1u, 10u, 333u, 5000u}) {
    ManualClock clock;
    TokenBucket bucket(clock, 1000);
    const uint64_t begun = clock.MonotonicNs();
    uint64_t taken = 0;
    for (; taken < 20000; taken += batch) ASSERT_TRUE(bucket.Acquire(batch, nullptr));
    const double seconds = static_cast<double>(clock.MonotonicNs() - begun) / 1e9;
    EXPECT_NEAR(static_cast<double>(taken) / seconds, 1000, 30) << "batch " << batch;
  }
}

TEST(TokenBucket, IdleTimeBuysOnlyATenthOfASecond) {
  ManualClock clock;
  TokenBucket bucket(clock, 1000);
  clock.Advance(3600ull * 1000000000);
  ASSERT_TRUE(bucket.Acquire(100, nullptr));
  EXPECT_EQ(clock.slept_ns(), 0u);
  ASSERT_TRUE(bucket.Acquire(100, nullptr));
  EXPECT_NEAR(static_cast<double>(clock.slept_ns()), 1e8, 1e6);
}

TEST(TokenBucket, ZeroIsUnlimited) {
  ManualClock clock;
  TokenBucket bucket(clock, 0);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(bucket.Acquire(1000000, nullptr));
  EXPECT_EQ(clock.slept_ns(), 0u);
}

TEST(TokenBucket, ACancelledWaiterReturnsFalse) {
  ManualClock clock;
  TokenBucket bucket(clock, 1);
  std::atomic<bool> cancel{true};
  EXPECT_FALSE(bucket.Acquire(1000, &cancel));
  EXPECT_LT(clock.slept_ns(), 1000000000u);
}

// Raises the rate after the first nap of a waiter.
class TuningClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return now_ns; }
  int64_t WallSeconds() override { return 0; }
  uint32_t WallNanos() override { return 0; }
  void SleepNs(uint64_t duration_ns) override {
    now_ns += duration_ns;
    if (bucket != nullptr) bucket->SetRate(1000000);
  }
  uint64_t now_ns = 1;
  TokenBucket* bucket = nullptr;
};

TEST(TokenBucket, ARaisedRateShortensAWaitInProgress) {
  TuningClock clock;
  TokenBucket bucket(clock, 10);
  clock.bucket = &bucket;
  ASSERT_TRUE(bucket.Acquire(1000, nullptr));
  EXPECT_LT(clock.now_ns, 1000000000u) << "100 seconds at the old rate";
}

TEST(Throttle, APausedJobWaitsUntilResumed) {
  Throttle throttle(Clock::System(), 0, nullptr);
  throttle.SetPaused(true);
  std::atomic<bool> admitted{false};
  std::thread worker([&] {
    EXPECT_TRUE(throttle.Admit(1));
    admitted = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_FALSE(admitted);
  throttle.SetPaused(false);
  worker.join();
  EXPECT_TRUE(admitted);
}

TEST(Throttle, CancellationEndsAPause) {
  std::atomic<bool> cancel{false};
  Throttle throttle(Clock::System(), 0, &cancel);
  throttle.SetPaused(true);
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    cancel = true;
  });
  EXPECT_FALSE(throttle.Admit(1));
  canceller.join();
}

TEST(MemoryBudget, SeesAnonymousMemoryAndRemembersThePeak) {
  MemoryBudget budget(FileSystem::Posix(), 1);
  const uint64_t before = budget.Sample();
  EXPECT_GT(before, 0u);
  {
    std::vector<char> block(64u << 20, 'x');
    EXPECT_GE(budget.Sample(), before + (60u << 20));
  }
  budget.Sample();
  EXPECT_GE(budget.peak_bytes(), before + (60u << 20));
  EXPECT_TRUE(budget.Exceeded());
}

TEST(MemoryBudget, CommitsShrinkWithTheBudget) {
  EXPECT_EQ(MemoryBudget(FileSystem::Posix(), 512u << 20).RecordsPerCommit(4096, 32768), 32768u);
  EXPECT_EQ(MemoryBudget(FileSystem::Posix(), 48u << 20).RecordsPerCommit(4096, 32768), 4096u);
  EXPECT_EQ(MemoryBudget(FileSystem::Posix(), 0).RecordsPerCommit(4096, 32768), 64u);
}

TEST(ProgressMeter, ReportsRateAndTimeLeftAtMostTenTimesASecond) {
  ManualClock clock;
  std::vector<Progress> seen;
  const std::function<void(const Progress&)> callback = [&](const Progress& p) {
    seen.push_back(p);
  };
  ProgressMeter meter(clock, callback, nullptr, "default");
  meter.Begin("convert", 1000);
  for (int ms = 0; ms < 2000; ms += 10) {
    clock.Advance(10000000);
    meter.Advance(1);
    meter.Poll();
  }
  EXPECT_LE(seen.size(), 21u);
  EXPECT_GE(seen.size(), 19u);
  EXPECT_NEAR(seen.back().rate_per_second, 100, 1);
  EXPECT_NEAR(seen.back().eta_seconds, 8, 0.5);
  EXPECT_EQ(seen.back().phase, "convert");
  meter.Advance(800);
  meter.End();
  EXPECT_EQ(seen.back().done, 1000u);
  EXPECT_EQ(seen.back().eta_seconds, 0);
}

TEST(ProgressMeter, TheRateForgetsWhatIsLongAgo) {
  ManualClock clock;
  Progress last;
  const std::function<void(const Progress&)> callback = [&](const Progress& p) { last = p; };
  ProgressMeter meter(clock, callback, nullptr, "default");
  meter.Begin("convert", 0);
  meter.Advance(1000000);
  for (int i = 0; i < 100; ++i) {
    clock.Advance(100000000);
    meter.Advance(1);
    meter.Poll();
  }
  EXPECT_NEAR(last.rate_per_second, 10, 1);
  EXPECT_LT(last.eta_seconds, 0) << "unknown without a total";
}

}  // namespace
}  // namespace engram::migration
