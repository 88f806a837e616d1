#include "server/api/migration_feed.h"

#include <utility>

#include "server/api/migration_text.h"

namespace engram::server {
namespace {

void Renew(MigrationFeed::Part* part, std::string text, uint64_t number) {
  if (part->text != nullptr && *part->text == text) return;

  part->text = std::make_shared<const std::string>(std::move(text));
  part->changed_in = number;
}

}  // namespace

std::string KnobsText(const MigrationScheduler& scheduler) {
  nlohmann::json knobs = ToJson(scheduler.knobs());
  knobs["dual_memory_types"] = scheduler.dual_memory_types();
  return Dump(knobs);
}

std::shared_ptr<const MigrationFeed::Snapshot> MigrationFeed::Latest() {
  MutexLock lock(mutex_);
  const uint64_t now_ns = clock_.MonotonicNs();
  if (latest_ == nullptr || now_ns - taken_ns_ >= kBeatNs) {
    latest_ = Take();
    taken_ns_ = now_ns;
  }
  return latest_;
}

std::shared_ptr<const MigrationFeed::Snapshot> MigrationFeed::Take() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->number = latest_ == nullptr ? 1 : latest_->number + 1;
  Renew(&knobs_, KnobsText(scheduler_), snapshot->number);
  snapshot->knobs = knobs_;
  const SchedulerKnobs knobs = scheduler_.knobs();
  for (const SpaceMigration& space : scheduler_.Spaces(std::nullopt)) {
    Part& part = spaces_[space.space];
    Renew(&part, Dump(ToJson(space, knobs)), snapshot->number);
    snapshot->spaces.push_back(part);
  }
  return snapshot;
}

}  // namespace engram::server
