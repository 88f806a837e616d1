#include "server/migration/token_bucket.h"

#include <algorithm>

namespace engram::server {
namespace {

constexpr double kNsPerSecond = 1e9;

double Burst(uint64_t rate) { return std::max(1.0, static_cast<double>(rate) / 10); }

}  // namespace

void TokenBucket::SetRate(uint64_t rate_per_second, uint64_t now_ns) {
  if (rate_per_second == rate_) return;
  rate_ = rate_per_second;
  tokens_ = 0;
  refilled_ns_ = now_ns;
}

uint64_t TokenBucket::WaitNs(uint64_t now_ns) {
  if (rate_ == 0) {
    tokens_ = 0;
    return 0;
  }
  const auto rate = static_cast<double>(rate_);
  const double gained = rate * static_cast<double>(now_ns - refilled_ns_) / kNsPerSecond;
  tokens_ = std::min(Burst(rate_), tokens_ + gained);
  refilled_ns_ = now_ns;
  if (tokens_ >= 0) return 0;
  return static_cast<uint64_t>(-tokens_ / rate * kNsPerSecond) + 1;
}

uint64_t TokenBucket::StepMax(uint64_t records) const {
  if (rate_ == 0) return records;
  return std::min(records, static_cast<uint64_t>(Burst(rate_)));
}

}  // namespace engram::server
