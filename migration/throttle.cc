#include "migration/throttle.h"

#include <algorithm>
#include <charconv>

namespace engram::migration {
namespace {

constexpr uint64_t kNsPerSecond = 1000000000;
constexpr uint64_t kNapNs = 20000000;  // how late a pause or a cancellation may be noticed

}  // namespace

Result<uint64_t> ResidentAnonBytes(FileSystem& fs) {
  // The size of a proc file is 0, so it is read up to a short read.
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open("/proc/self/status", OpenMode::kReadOnly));
  uint8_t buffer[8192];
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t size, file->ReadAt(0, buffer));
  const std::string_view text = AsView(Bytes(buffer, size));
  constexpr std::string_view kKey = "RssAnon:";
  const size_t at = text.find(kKey);
  if (at == std::string_view::npos) {
    return Status::Unsupported("/proc/self/status has no RssAnon line",
                               "the memory budget needs Linux 4.5 or later");
  }
  const size_t digits = text.find_first_not_of(" \t", at + kKey.size());
  uint64_t kib = 0;
  if (digits != std::string_view::npos) {
    std::from_chars(text.data() + digits, text.data() + text.size(), kib);
  }
  return kib * 1024;
}

TokenBucket::TokenBucket(Clock& clock, uint64_t rate_per_second)
    : clock_(clock), rate_(rate_per_second), refilled_ns_(clock.MonotonicNs()) {}

void TokenBucket::SetRate(uint64_t rate_per_second) {
  std::lock_guard<std::mutex> lock(mutex_);
  rate_.store(rate_per_second, std::memory_order_relaxed);
  tokens_ = std::min(tokens_, 0.0);
  if (rate_per_second == 0) tokens_ = 0;
}

uint64_t TokenBucket::Take(uint64_t records) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now = clock_.MonotonicNs();
  const double rate = static_cast<double>(rate_.load(std::memory_order_relaxed));
  if (rate == 0) {
    refilled_ns_ = now;
    return 0;
  }
  const double burst = std::max(1.0, rate / 10);
  tokens_ =
      std::min(burst, tokens_ + rate * static_cast<double>(now - refilled_ns_) / kNsPerSecond);
  refilled_ns_ = now;
  tokens_ -= static_cast<double>(records);
  if (tokens_ >= 0) return 0;
  return static_cast<uint64_t>(-tokens_ / rate * kNsPerSecond);
}

bool TokenBucket::Acquire(uint64_t records, const std::atomic<bool>* cancel) {
  uint64_t wait_ns = Take(records);
  const uint64_t rate_then = rate();
  while (wait_ns > 0) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return false;
    if (rate() != rate_then) {
      // Tuned while waiting: what is left is waited for at the new rate.
      wait_ns = Take(0);
      if (rate() == 0) break;
    }
    const uint64_t nap = std::min(wait_ns, kNapNs);
    clock_.SleepNs(nap);
    wait_ns -= nap;
  }
  return cancel == nullptr || !cancel->load(std::memory_order_relaxed);
}

uint64_t MemoryBudget::Sample() {
  const auto measured = ResidentAnonBytes(fs_);
  const uint64_t bytes = measured.ok() ? *measured : 0;
  last_bytes_.store(bytes, std::memory_order_relaxed);
  uint64_t peak = peak_bytes_.load(std::memory_order_relaxed);
  while (bytes > peak && !peak_bytes_.compare_exchange_weak(peak, bytes)) {
  }
  return bytes;
}

uint64_t MemoryBudget::RecordsPerCommit(uint64_t bytes_per_record, uint64_t records_max) const {
  const uint64_t fit = budget_bytes_ / 3 / std::max<uint64_t>(bytes_per_record, 1);
  return std::clamp<uint64_t>(fit, std::min<uint64_t>(64, records_max), records_max);
}

bool Throttle::Admit(uint64_t records) {
  while (paused()) {
    if (cancelled()) return false;
    clock_.SleepNs(kNapNs);
  }
  return bucket_.Acquire(records, cancel_);
}

}  // namespace engram::migration
