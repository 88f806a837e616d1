#include "server/migration/foreground_governor.h"

#include <algorithm>
#include <cmath>

namespace engram::server {
namespace {

constexpr uint64_t kAdjustNs = 500'000'000;
constexpr uint64_t kStopNs = 2'000'000'000;
constexpr int kJudgedSlots = 4;  // seconds whose p99 is held against the budget

constexpr const char* kOverBudget = kThrottleReasons[2];
constexpr const char* kMeasuring = kThrottleReasons[3];

}  // namespace

void ForegroundGovernor::Record(uint64_t duration_ns) {
  const uint64_t now = clock_.MonotonicNs();
  last_record_ns_.store(now, std::memory_order_relaxed);
  const uint64_t began = now - std::min(now, duration_ns);
  const bool disturbed = stepping_.load(std::memory_order_relaxed) ||
                         step_ended_ns_.load(std::memory_order_relaxed) > began;
  (disturbed ? during_ : without_).Record(duration_ns);
}

void ForegroundGovernor::StepBegins() { stepping_.store(true, std::memory_order_relaxed); }

void ForegroundGovernor::StepEnds() {
  step_ended_ns_.store(clock_.MonotonicNs(), std::memory_order_relaxed);
  stepping_.store(false, std::memory_order_relaxed);
}

// Moves the share once per kAdjustNs, so that a change shows in the figures before the next one.
void ForegroundGovernor::Adjust(uint64_t now_ns) {
  if (now_ns - adjusted_ns_ < kAdjustNs) return;
  adjusted_ns_ = now_ns;
  const LatencyCounts undisturbed = without_.Newest(LatencyWindow::kSlots);
  LatencyCounts all = without_.Newest(kJudgedSlots);
  all.Add(during_.Newest(kJudgedSlots));
  const LatencyCounts disturbed = during_.Newest(LatencyWindow::kSlots);
  p99_ns_ = all.QuantileNs(0.99);
  undisturbed_p99_ns_ = undisturbed.QuantileNs(0.99);
  const bool few = undisturbed.total() + disturbed.total() < kSamplesMin;
  if (few && now_ns - observing_since_ns_ >= kObserveNs) {
    share_ = kShareSparse;
    reason_ = nullptr;
    return;
  }
  if (undisturbed.total() < kSamplesMin) {
    share_ = 0;
    reason_ = kMeasuring;
    return;
  }
  const double bound = static_cast<double>(undisturbed_p99_ns_) * (1 + budget_percent_ / 100);
  const auto above = static_cast<double>(all.CountAbove(static_cast<uint64_t>(bound)));
  const double allowed = 0.01 * static_cast<double>(all.total());
  // One in a hundred lies above the p99 anyway; two standard deviations more are noise.
  if (above > allowed + 2 * std::sqrt(allowed)) {
    share_ = share_ > kShareMin ? std::max(kShareMin, share_ / 2) : 0;
    if (share_ == 0) stopped_until_ns_ = now_ns + kStopNs;
    reason_ = kOverBudget;
  } else if (above <= allowed) {
    share_ = std::clamp(share_ * 1.5, kShareMin, kShareMax);
    reason_ = share_ < kShareMax ? reason_ : nullptr;
  }
}

ForegroundGovernor::Decision ForegroundGovernor::InCycle(uint64_t now_ns, const char* reason) {
  const uint64_t at = now_ns % kCycleNs;
  const auto work_ns = static_cast<uint64_t>(share_ * static_cast<double>(kCycleNs));
  if (at < work_ns) return {.may_step = true, .resume_ns = 0, .reason = reason};
  return {.may_step = false, .resume_ns = now_ns - at + kCycleNs, .reason = reason};
}

ForegroundGovernor::Decision ForegroundGovernor::Decide() {
  const uint64_t now = clock_.MonotonicNs();
  if (now - decided_ns_ > LatencyWindow::kSlotNs) observing_since_ns_ = now;
  decided_ns_ = now;
  during_.Advance(now);
  without_.Advance(now);
  const uint64_t last = last_record_ns_.load(std::memory_order_relaxed);
  traffic_ = last != 0 && now - std::min(now, last) < kQuietNs;
  if (!traffic_) {
    share_ = kShareMin;
    reason_ = nullptr;
    return {};
  }
  if (now >= stopped_until_ns_) Adjust(now);
  if (share_ == 0) {
    // Asked again within a slot, or the window would forget what it saw.
    return {.may_step = false, .resume_ns = now + kCycleNs, .reason = reason_};
  }
  return InCycle(now, reason_);
}

}  // namespace engram::server
