#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>

#include "server/migration/background_jobs.h"
#include "server/migration/pace.h"
#include "server/migration/round_robin.h"
#include "server/migration/throttle_log.h"
#include "server/migration/token_bucket.h"

namespace engram::server {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

TEST(TokenBucketTest, TheLongRunRateIsExactWhateverTheBatch) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    TokenBucket bucket;
    uint64_t now = kSecond;
    const uint64_t rate = 1 + random() % 20'000;
    bucket.SetRate(rate, now);
    uint64_t done = 0;
    const uint64_t end = now + 100 * kSecond;
    while (now < end) {
      const uint64_t wait = bucket.WaitNs(now);
      if (wait > 0) {
        now += wait;
        continue;
      }
      const uint64_t records = 1 + random() % 3000;
      bucket.Charge(records);
      done += records;
      now += random() % 1'000'000;
    }
    // The last batch may be a debt; the burst came for free.
    EXPECT_LE(done, rate * 100 + rate / 10 + 3001) << "seed " << seed;
    EXPECT_GE(done + 1, rate * 99) << "seed " << seed;
  }
}

TEST(TokenBucketTest, ANewRateForgivesTheDebtOfTheOldOne) {
  TokenBucket bucket;
  bucket.SetRate(10, kSecond);
  bucket.Charge(1000);
  EXPECT_GT(bucket.WaitNs(kSecond), 90 * kSecond);
  bucket.SetRate(1000, kSecond);
  EXPECT_EQ(bucket.WaitNs(kSecond), 0u);
  bucket.SetRate(0, kSecond);
  bucket.Charge(1'000'000'000);
  EXPECT_EQ(bucket.WaitNs(kSecond), 0u);
}

TEST(TokenBucketTest, StepsAreNoLargerThanTheBurst) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.StepMax(1000), 1000u);
  bucket.SetRate(500, kSecond);
  EXPECT_EQ(bucket.StepMax(1000), 50u);
  bucket.SetRate(3, kSecond);
  EXPECT_EQ(bucket.StepMax(1000), 1u);
}

TEST(RoundRobinTest, NobodyGetsASecondTurnBeforeEverybodyHadOne) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    std::map<std::string, int> turns;
    for (int i = 0; i < 20; ++i) turns["space-" + std::to_string(random() % 1000)] = 0;
    RoundRobin robin;
    for (int round = 1; round <= 5; ++round) {
      for (size_t i = 0; i < turns.size(); ++i) {
        const auto at = robin.Next(turns, [](int) { return true; });
        ASSERT_NE(at, turns.end());
        ++at->second;
      }
      for (const auto& [name, count] : turns) ASSERT_EQ(count, round) << name << " seed " << seed;
    }
  }
}

TEST(RoundRobinTest, WhoCannotGoIsPassedOver) {
  std::map<std::string, int> all = {{"a", 0}, {"b", 1}, {"c", 0}, {"d", 1}};
  RoundRobin robin;
  const auto can_go = [](int value) { return value == 1; };
  EXPECT_EQ(robin.Next(all, can_go)->first, "b");
  EXPECT_EQ(robin.Next(all, can_go)->first, "d");
  EXPECT_EQ(robin.Next(all, can_go)->first, "b");
  EXPECT_EQ(robin.Next(all, [](int) { return false; }), all.end());
  std::map<std::string, int> none;
  EXPECT_EQ(robin.Next(none, can_go), none.end());
}

TEST(RetryDelayTest, DoublesUpToAMinuteAndBeginsAgain) {
  RetryDelay delay;
  EXPECT_TRUE(delay.Due(0));
  uint64_t now = kSecond;
  for (const uint64_t expected : {1, 2, 4, 8, 16, 32, 60, 60}) {
    delay.Failed(now);
    EXPECT_FALSE(delay.Due(now + expected * kSecond - 1));
    EXPECT_TRUE(delay.Due(now + expected * kSecond));
    EXPECT_TRUE(delay.failing());
  }
  delay.Reset();
  EXPECT_FALSE(delay.failing());
  delay.Failed(now);
  EXPECT_EQ(delay.next_ns(), now + kSecond);
}

TEST(RateMeterTest, ShowsTheLastSecondsAndFallsToNothing) {
  RateMeter meter;
  uint64_t now = kSecond;
  for (int i = 0; i < 100; ++i) {
    now += kSecond / 10;
    meter.Add(now, 50);
  }
  EXPECT_NEAR(meter.PerSecond(now), 500, 15);
  EXPECT_EQ(meter.PerSecond(now + 6 * kSecond), 0);
}

TEST(ThrottleLogTest, ShortWaitsOfOneReasonAreOneSpan) {
  ThrottleLog log;
  log.Note(ThrottleReason::kRateLimit, kSecond, 17);
  for (int i = 1; i < 20; ++i) {
    log.Note(ThrottleReason::kRateLimit, kSecond + static_cast<uint64_t>(i) * kSecond / 10, 99);
    log.Expire(kSecond + static_cast<uint64_t>(i) * kSecond / 10, false);
  }
  ASSERT_TRUE(log.Current());
  EXPECT_STREQ(log.Current()->reason, "rate limit");
  EXPECT_EQ(log.Current()->since_wall_ns, 17);
  log.Expire(10 * kSecond, false);
  EXPECT_FALSE(log.Current());
  EXPECT_NEAR(log.Figures(1, 20 * kSecond).seconds_total, 9, 1e-6);
}

TEST(ThrottleLogTest, APauseComesBeforeAllOthersAndStays) {
  ThrottleLog log;
  log.Note(ThrottleReason::kPaused, kSecond, 1);
  log.Note(ThrottleReason::kForeground, 2 * kSecond, 2);
  EXPECT_STREQ(log.Current()->reason, "paused");
  log.Expire(100 * kSecond, true);
  EXPECT_STREQ(log.Current()->reason, "paused");
  log.End(ThrottleReason::kPaused, 101 * kSecond);
  EXPECT_FALSE(log.Current());
  EXPECT_NEAR(log.Figures(0, 200 * kSecond).seconds_total, 100, 1e-6);
}

TEST(BackgroundJobsTest, OneAfterAnotherAndAgainAfterIdling) {
  BackgroundJobs jobs;
  std::atomic<int> running{0}, most{0}, done{0};
  const auto wait_for = [&](int count) {
    for (int i = 0; i < 10'000 && done.load() < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 5; ++i) {
      jobs.Add(BackgroundJobs::Kind::kIngest, [&](const std::atomic<bool>&) {
        const int now = ++running;
        if (now > most) most = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        --running;
        ++done;
      });
    }
    wait_for(round * 5);
    EXPECT_EQ(done.load(), round * 5);
  }
  EXPECT_EQ(most.load(), 1);
}

TEST(BackgroundJobsTest, OnlyAJobOfTheKindIsCancelled) {
  BackgroundJobs jobs;
  std::atomic<bool> began{false}, cancelled{false};
  jobs.Add(BackgroundJobs::Kind::kVerification, [&](const std::atomic<bool>& cancel) {
    began = true;
    while (!cancel.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancelled = true;
  });
  while (!began) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  jobs.CancelCurrent(BackgroundJobs::Kind::kIngest);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(cancelled.load());
  jobs.CancelCurrent(BackgroundJobs::Kind::kVerification);
  for (int i = 0; i < 10'000 && !cancelled; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(cancelled.load());
}

TEST(BackgroundJobsTest, StopCancelsTheOneInHandAndDropsTheOthers) {
  BackgroundJobs jobs;
  std::atomic<bool> began{false}, other{false};
  jobs.Add(BackgroundJobs::Kind::kIngest, [&](const std::atomic<bool>& cancel) {
    began = true;
    while (!cancel.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  jobs.Add(BackgroundJobs::Kind::kIngest, [&](const std::atomic<bool>&) { other = true; });
  while (!began) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  jobs.Stop();
  EXPECT_FALSE(other.load());
}

}  // namespace
}  // namespace engram::server
