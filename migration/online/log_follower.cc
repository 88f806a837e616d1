#include "migration/online/log_follower.h"

#include <algorithm>

namespace engram::migration::online {
namespace {

void SortOnce(std::vector<NodeKey>* keys) {
  std::sort(keys->begin(), keys->end());
  keys->erase(std::unique(keys->begin(), keys->end()), keys->end());
}

}  // namespace

void LogFollower::MoveTo(const wal::TailPosition& position) {
  position_ = position;
  tailer_.reset();
}

Status LogFollower::Poll(Lsn visible, uint64_t events_max, FollowedChanges* out) {
  if (tailer_ == nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(tailer_, wal::Tailer::Open(fs_, directory_, position_));
  }
  const auto visit = [&](const wal::LogRecord& record) -> Status {
    ENGRAM_TRY(engine::DecodeLoggedChanges(record.type, record.payload, &changes_));
    out->written_old.insert(out->written_old.end(), changes_.written_old.begin(),
                            changes_.written_old.end());
    out->touched.insert(out->touched.end(), changes_.touched.begin(), changes_.touched.end());
    out->bulk_mark = out->bulk_mark || changes_.is_bulk_mark;
    out->events += 1;
    return Status::Ok();
  };
  return tailer_->Poll(visible, events_max, visit).status();
}

Status LogFollower::Follow(Lsn visible, uint64_t events_max, FollowedChanges* out) {
  *out = FollowedChanges();
  out->position = position_;
  if (visible < position_.next) return Status::Ok();
  const Status polled = Poll(visible, events_max, out);
  // What came before the gap is whole: it counts, and the gap shows again next time.
  const bool gone = polled.code() == StatusCode::kFailedPrecondition;
  if (!polled.ok() && !gone) return polled;
  if (gone && out->events == 0) {
    out->gap = true;
    out->gap_reason = polled.message();
    return Status::Ok();
  }
  SortOnce(&out->written_old);
  SortOnce(&out->touched);
  out->position = tailer_->position();
  position_ = out->position;
  return Status::Ok();
}

}  // namespace engram::migration::online
