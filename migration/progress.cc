#include "migration/progress.h"

namespace engram::migration {
namespace {

constexpr uint64_t kReportIntervalNs = 100000000;
constexpr uint64_t kWindowNs = 5000000000;

}  // namespace

ProgressMeter::ProgressMeter(Clock& clock, const std::function<void(const Progress&)>& callback,
                             MemoryBudget* budget, std::string space)
    : clock_(clock), callback_(callback), budget_(budget) {
  progress_.space = std::move(space);
}

void ProgressMeter::Begin(std::string phase, uint64_t total, uint64_t done) {
  progress_.phase = std::move(phase);
  progress_.total = total;
  done_.store(done, std::memory_order_relaxed);
  window_.clear();
  const uint64_t now = clock_.MonotonicNs();
  window_.push_back({now, done});
  Report(now);
}

void ProgressMeter::CheckpointWritten(std::string time, uint64_t nodes) {
  progress_.checkpoint_time = std::move(time);
  progress_.checkpoint_nodes = nodes;
}

void ProgressMeter::Poll() {
  const uint64_t now = clock_.MonotonicNs();
  if (now - reported_ns_ >= kReportIntervalNs) Report(now);
}

void ProgressMeter::End() { Report(clock_.MonotonicNs()); }

void ProgressMeter::Report(uint64_t now_ns) {
  reported_ns_ = now_ns;
  const uint64_t done = this->done();
  window_.push_back({now_ns, done});
  while (window_.size() > 2 && now_ns - window_[1].time_ns >= kWindowNs) window_.pop_front();
  progress_.done = done;
  const Sample& oldest = window_.front();
  const double seconds = static_cast<double>(now_ns - oldest.time_ns) / 1e9;
  progress_.rate_per_second = seconds > 0 ? static_cast<double>(done - oldest.done) / seconds : 0;
  progress_.eta_seconds = -1;
  if (progress_.total > 0 && done >= progress_.total) {
    progress_.eta_seconds = 0;
  } else if (progress_.total > 0 && progress_.rate_per_second > 0) {
    progress_.eta_seconds = static_cast<double>(progress_.total - done) / progress_.rate_per_second;
  }
  if (budget_ != nullptr) {
    progress_.resident_anon_bytes = budget_->Sample();
    progress_.memory_budget_bytes = budget_->budget_bytes();
  }
  if (callback_) callback_(progress_);
}

}  // namespace engram::migration
