// The status of every space for those who follow it: taken once for all of them.
#ifndef ENGRAM_SERVER_API_MIGRATION_FEED_H_
#define ENGRAM_SERVER_API_MIGRATION_FEED_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// Thread-safe. Nothing is taken while nobody asks.
class MigrationFeed {
 public:
  static constexpr uint64_t kBeatNs = 500'000'000;
  struct Part {
    std::shared_ptr<const std::string> text;  // JSON
    uint64_t changed_in = 0;                  // the number of the snapshot it is new in
  };
  // What a snapshot with a lower number does not show yet is sent; 0 has shown nothing.
  struct Snapshot {
    uint64_t number = 0;
    Part knobs;
    std::vector<Part> spaces;  // sorted by name
  };
  // `scheduler` and `clock` outlive it.
  MigrationFeed(MigrationScheduler& scheduler, Clock& clock)
      : scheduler_(scheduler), clock_(clock) {}
  // Taken less than kBeatNs ago.
  std::shared_ptr<const Snapshot> Latest() ENGRAM_EXCLUDES(mutex_);

 private:
  std::shared_ptr<const Snapshot> Take() ENGRAM_REQUIRES(mutex_);

  MigrationScheduler& scheduler_;
  Clock& clock_;
  Mutex mutex_;
  std::shared_ptr<const Snapshot> latest_ ENGRAM_GUARDED_BY(mutex_);
  uint64_t taken_ns_ ENGRAM_GUARDED_BY(mutex_) = 0;
  Part knobs_ ENGRAM_GUARDED_BY(mutex_);
  std::map<std::string, Part> spaces_ ENGRAM_GUARDED_BY(mutex_);
};

// The knobs and the flag, as the event `knobs` has them.
std::string KnobsText(const MigrationScheduler& scheduler);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_MIGRATION_FEED_H_
