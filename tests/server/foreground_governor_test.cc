#include "server/migration/foreground_governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "tests/server/manual_clock.h"

namespace engram::server {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kTickNs = kMs / 4;
constexpr uint64_t kStepTicks = 20;

// A foreground with log-normal latencies around 1 ms and a migrator that steps for 5 ms whenever it
// may. A request that begins during a step takes `slowdown` times as long.
class Simulation {
 public:
  Simulation(uint32_t seed, double requests_per_ms, double slowdown)
      : random_(seed), requests_per_ms_(requests_per_ms), slowdown_(slowdown), governor_(clock_) {}

  void RunSeconds(uint64_t seconds) {
    const uint64_t end = clock_.MonotonicNs() + seconds * 1000 * kMs;
    while (clock_.MonotonicNs() < end) {
      const auto decision = governor_.Decide();
      if (decision.reason != nullptr) reason_ = decision.reason;
      if (decision.may_step) {
        governor_.StepBegins();
        for (uint64_t i = 0; i < kStepTicks; ++i) Tick(true);
        governor_.StepEnds();
        stepped_ns_ += kStepTicks * kTickNs;
      } else {
        ASSERT_GT(decision.resume_ns, clock_.MonotonicNs()) << "it would spin";
        while (clock_.MonotonicNs() < decision.resume_ns) Tick(false);
      }
    }
  }
  void Forget() {
    stepped_ns_ = 0;
    latencies_.clear();
    reason_.clear();
  }
  double P99Ms() {
    if (latencies_.empty()) return 0;
    std::sort(latencies_.begin(), latencies_.end());
    return static_cast<double>(latencies_[latencies_.size() * 99 / 100]) / kMs;
  }
  double stepped_seconds() const { return static_cast<double>(stepped_ns_) / 1e9; }
  const std::string& reason() const { return reason_; }
  ForegroundGovernor& governor() { return governor_; }
  testing::SteppedClock& clock() { return clock_; }
  void SetSlowdown(double slowdown) { slowdown_ = slowdown; }
  void SetRequestsPerMs(double rate) { requests_per_ms_ = rate; }

 private:
  struct Request {
    uint64_t ends_ns;
    uint64_t duration_ns;
    bool operator>(const Request& other) const { return ends_ns > other.ends_ns; }
  };

  void Tick(bool stepping) {
    const uint64_t now = clock_.MonotonicNs();
    due_ += requests_per_ms_ * kTickNs / kMs;
    for (; due_ >= 1; due_ -= 1) {
      double ms = std::lognormal_distribution<double>(0, 0.4)(random_);
      if (stepping) ms *= slowdown_;
      const auto duration = static_cast<uint64_t>(ms * kMs);
      running_.push({now + duration, duration});
      latencies_.push_back(duration);
    }
    clock_.Advance(kTickNs);
    while (!running_.empty() && running_.top().ends_ns <= now + kTickNs) {
      governor_.Record(running_.top().duration_ns);
      running_.pop();
    }
  }

  std::mt19937 random_;
  double requests_per_ms_;
  double slowdown_;
  testing::SteppedClock clock_;
  ForegroundGovernor governor_;
  std::priority_queue<Request, std::vector<Request>, std::greater<>> running_;
  double due_ = 0;
  uint64_t stepped_ns_ = 0;
  std::vector<uint64_t> latencies_;
  std::string reason_;
};

TEST(ForegroundGovernorTest, NoTrafficIsAMeasurement) {
  Simulation simulation(1, 0, 1);
  simulation.RunSeconds(10);
  EXPECT_GE(simulation.stepped_seconds(), 10);
  EXPECT_EQ(simulation.reason(), "");
}

TEST(ForegroundGovernorTest, StepsThatHarmNobodyTakeMostOfTheTime) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    Simulation simulation(seed, 2, 1);
    simulation.RunSeconds(20);
    simulation.Forget();
    simulation.RunSeconds(20);
    EXPECT_GE(simulation.stepped_seconds(), 12) << "seed " << seed;
  }
}

TEST(ForegroundGovernorTest, StepsThatHarmAreCutUntilTheP99IsWithinTheBudget) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    Simulation undisturbed(seed, 2, 1);
    undisturbed.RunSeconds(20);
    Simulation simulation(seed, 2, 3);
    simulation.RunSeconds(10);
    simulation.Forget();
    simulation.RunSeconds(60);
    EXPECT_EQ(simulation.reason(), "foreground p99");
    // The budget and what the noise of the judgement lets through.
    EXPECT_LE(simulation.P99Ms(), undisturbed.P99Ms() * 1.25) << "seed " << seed;
    EXPECT_GT(simulation.stepped_seconds(), 0.1) << "it never tries again, seed " << seed;
    EXPECT_LT(simulation.stepped_seconds(), 6) << "seed " << seed;
  }
}

TEST(ForegroundGovernorTest, AWiderBudgetLetsMoreThrough) {
  Simulation narrow(7, 2, 1.5), wide(7, 2, 1.5);
  wide.governor().SetBudget(100);
  narrow.RunSeconds(60);
  wide.RunSeconds(60);
  EXPECT_GT(wide.stepped_seconds(), narrow.stepped_seconds() * 2);
}

TEST(ForegroundGovernorTest, ItGoesOnOnceTheHarmIsOver) {
  Simulation simulation(3, 2, 4);
  simulation.RunSeconds(20);
  simulation.SetSlowdown(1);
  simulation.RunSeconds(30);
  simulation.Forget();
  simulation.RunSeconds(20);
  EXPECT_GE(simulation.stepped_seconds(), 12);
}

// Requests that are always overlapped by something leave nothing to compare with.
TEST(ForegroundGovernorTest, WithoutAnUndisturbedMeasurementItStops) {
  testing::SteppedClock clock;
  ForegroundGovernor governor(clock);
  governor.Decide();
  governor.StepBegins();
  for (int i = 0; i < 1000; ++i) governor.Record(kMs);
  governor.StepEnds();
  const auto decision = governor.Decide();
  EXPECT_FALSE(decision.may_step);
  EXPECT_STREQ(decision.reason, "measuring the foreground");
  // Only undisturbed requests end that.
  bool went_on = false;
  for (int second = 0; second < 4 && !went_on; ++second) {
    for (int i = 0; i < 100; ++i) {
      clock.Advance(10 * kMs);
      governor.Record(kMs);
      went_on = went_on || governor.Decide().may_step;
    }
  }
  EXPECT_TRUE(went_on);
}

// The migrator wakes up in the middle of traffic: what it has not seen yet is not "few requests".
TEST(ForegroundGovernorTest, TheFirstLookAtTrafficStopsItUntilTheFirstMeasurement) {
  testing::SteppedClock clock;
  ForegroundGovernor governor(clock);
  for (int i = 0; i < 10'000; ++i) {
    clock.Advance(kMs);
    governor.Record(kMs);
  }
  EXPECT_FALSE(governor.Decide().may_step);
  for (int i = 0; i < 600; ++i) {
    clock.Advance(kMs);
    governor.Record(kMs / 2);
    governor.Decide();
  }
  EXPECT_LE(governor.share(), ForegroundGovernor::kShareMin * 1.5) << "it begins gently";
  EXPECT_GT(governor.share(), 0);
}

TEST(ForegroundGovernorTest, AFewRequestsNeitherStopNorFreeIt) {
  Simulation simulation(5, 0.002, 3);  // two a second
  simulation.RunSeconds(5);            // it looks first
  simulation.Forget();
  simulation.RunSeconds(30);
  EXPECT_GT(simulation.stepped_seconds(), 5);
  EXPECT_LT(simulation.stepped_seconds(), 25);
  EXPECT_EQ(simulation.reason(), "");
}

TEST(ForegroundGovernorTest, QuietLiftsEveryLimit) {
  Simulation simulation(6, 2, 5);
  simulation.RunSeconds(20);
  simulation.SetRequestsPerMs(0);
  simulation.RunSeconds(3);
  simulation.Forget();
  simulation.RunSeconds(10);
  EXPECT_GE(simulation.stepped_seconds(), 10);
}

TEST(LatencyWindowTest, QuantilesAreWithinTheWidthOfABucket) {
  LatencyCounts counts;
  for (uint64_t us = 1; us <= 10'000; ++us) counts.Add(LatencyCounts::BucketOf(us * 1000), 1);
  for (const double quantile : {0.5, 0.9, 0.99}) {
    const double expected = quantile * 10'000 * 1000;
    EXPECT_NEAR(static_cast<double>(counts.QuantileNs(quantile)), expected, expected * 0.035);
  }
  EXPECT_NEAR(static_cast<double>(counts.CountAbove(9'000'000)), 1000, 300);
}

TEST(LatencyWindowTest, EveryDurationLiesInItsBucket) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t ns = (random() >> (random() % 40)) % (uint64_t{1} << 35);
    const int bucket = LatencyCounts::BucketOf(ns);
    ASSERT_LE(ns, LatencyCounts::UpperBoundNs(bucket)) << ns;
    if (bucket > 0) {
      ASSERT_GT(ns, LatencyCounts::UpperBoundNs(bucket - 1)) << ns;
    }
  }
}

TEST(LatencyWindowTest, WhatIsOlderThanTheWindowIsForgotten) {
  LatencyWindow window;
  window.Advance(100 * LatencyWindow::kSlotNs);
  window.Record(kMs);
  for (uint64_t second = 101; second < 100 + LatencyWindow::kSlots; ++second) {
    window.Advance(second * LatencyWindow::kSlotNs);
    EXPECT_EQ(window.Newest(LatencyWindow::kSlots).total(), 1u);
  }
  window.Advance((100 + LatencyWindow::kSlots) * LatencyWindow::kSlotNs);
  EXPECT_EQ(window.Newest(LatencyWindow::kSlots).total(), 0u);
}

TEST(LatencyWindowTest, SamplesOfUnknownAgeAreForgotten) {
  LatencyWindow window;
  window.Advance(100 * LatencyWindow::kSlotNs);
  window.Record(kMs);  // at any time in the next hour
  window.Advance(3700 * LatencyWindow::kSlotNs);
  EXPECT_EQ(window.Newest(LatencyWindow::kSlots).total(), 0u);
}

}  // namespace
}  // namespace engram::server
