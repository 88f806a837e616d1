// The log as the migrator sees it: which node keys were left old, from a position on.
#ifndef ENGRAM_MIGRATION_ONLINE_LOG_FOLLOWER_H_
#define ENGRAM_MIGRATION_ONLINE_LOG_FOLLOWER_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/log_changes.h"
#include "wal/log.h"

namespace engram::migration::online {

struct FollowedChanges {
  uint64_t events = 0;
  std::vector<NodeKey> written_old;  // sorted, each once
  std::vector<NodeKey> touched;      // as above
  bool bulk_mark = false;            // a batch whose records the log does not have
  bool gap = false;                  // the log no longer holds the position: nothing was delivered
  std::string gap_reason;
  wal::TailPosition position;  // behind what was delivered; as before with a gap
};

// One thread at a time.
class LogFollower {
 public:
  LogFollower(FileSystem& fs, std::string log_directory)
      : fs_(fs), directory_(std::move(log_directory)) {}
  // Goes to `position`; the log is looked at by the next Follow().
  void MoveTo(const wal::TailPosition& position);
  // Up to `events_max` log records at or below `visible`. After an error the caller moves it.
  Status Follow(Lsn visible, uint64_t events_max, FollowedChanges* out);

 private:
  Status Poll(Lsn visible, uint64_t events_max, FollowedChanges* out);

  FileSystem& fs_;
  const std::string directory_;
  wal::TailPosition position_;
  std::unique_ptr<wal::Tailer> tailer_;  // null: not opened at position_ yet
  engine::LoggedChanges changes_;
};

}  // namespace engram::migration::online

#endif  // ENGRAM_MIGRATION_ONLINE_LOG_FOLLOWER_H_
