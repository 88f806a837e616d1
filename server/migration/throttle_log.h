// Which reasons hold the migrator back, since when, and for how long in all.
#ifndef ENGRAM_SERVER_MIGRATION_THROTTLE_LOG_H_
#define ENGRAM_SERVER_MIGRATION_THROTTLE_LOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "server/migration/scheduler.h"

namespace engram::server {

enum class ThrottleReason : size_t { kPaused, kRateLimit, kForeground, kMeasuring, kMemoryBudget };

// A reason that is noted again within kLingerNs counts as one span, so that waits of milliseconds
// between steps show as what they are. One thread at a time.
class ThrottleLog {
 public:
  static constexpr uint64_t kLingerNs = 1'000'000'000;

  void Note(ThrottleReason reason, uint64_t now_ns, int64_t wall_ns) {
    Span& span = spans_[static_cast<size_t>(reason)];
    if (!span.active) {
      span.active = true;
      span.since_ns = now_ns;
      span.since_wall_ns = wall_ns;
    }
    span.noted_ns = now_ns;
  }
  void End(ThrottleReason reason, uint64_t now_ns) {
    Span& span = spans_[static_cast<size_t>(reason)];
    if (!span.active) return;
    span.active = false;
    span.ended_total_ns += now_ns - span.since_ns;
  }
  // Ends what was not noted for kLingerNs; with `all`, everything but a pause.
  void Expire(uint64_t now_ns, bool all) {
    for (size_t i = 1; i < spans_.size(); ++i) {
      if (all || now_ns - spans_[i].noted_ns > kLingerNs) {
        End(static_cast<ThrottleReason>(i), now_ns);
      }
    }
  }
  struct Active {
    const char* reason;
    int64_t since_wall_ns;
  };
  // The one that was noted last; a pause before all others.
  std::optional<Active> Current() const {
    const Span* newest = nullptr;
    for (const Span& span : spans_) {
      if (!span.active) continue;
      if (newest == nullptr || (newest != &spans_[0] && span.noted_ns >= newest->noted_ns)) {
        newest = &span;
      }
    }
    if (newest == nullptr) return std::nullopt;
    return Active{kThrottleReasons[static_cast<size_t>(newest - spans_.data())],
                  newest->since_wall_ns};
  }
  MigrationFigures::Throttle Figures(size_t reason, uint64_t now_ns) const {
    const Span& span = spans_[reason];
    const uint64_t open = span.active ? now_ns - span.since_ns : 0;
    return {span.active, static_cast<double>(span.ended_total_ns + open) / 1e9};
  }

 private:
  struct Span {
    bool active = false;
    uint64_t since_ns = 0;
    int64_t since_wall_ns = 0;
    uint64_t noted_ns = 0;
    uint64_t ended_total_ns = 0;
  };
  std::array<Span, kThrottleReasons.size()> spans_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_THROTTLE_LOG_H_
