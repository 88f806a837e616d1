// The migrator of an open space and the mirror of its state.
#include <cstring>

#include "migration/spaces.h"
#include "plugin/boundary.h"
#include "plugin/handles.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

using engine::ControlState;
using migration::online::Phase;

static_assert(static_cast<uint32_t>(Phase::kTail) == ENGRAM_SE_PHASE_TAIL);
static_assert(static_cast<uint32_t>(Phase::kFailed) == ENGRAM_SE_PHASE_FAILED);

// The one migrator of a space; given back unless kept.
class Claim {
 public:
  explicit Claim(engram_se_space* space) : space_(space) {
    held_ = !space->has_migrator.exchange(true);
  }
  ~Claim() {
    if (held_) space_->has_migrator.store(false);
  }
  bool held() const { return held_; }
  void Keep() { held_ = false; }

 private:
  engram_se_space* space_;
  bool held_ = false;
};

engram_se_status MigratorOpen(engram_se_space* space, const engram_se_migrator_options* options,
                              engram_se_migrator** migrator_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    const engram_se_migrator_options given = Taken(options);
    Claim claim(space);
    if (!claim.held()) {
      return Status::Busy("the space " + space->store->space() + " has a migrator already",
                          "close that one first");
    }
    const migration::JobContext context = space->engine->Context();
    migration::online::MigratorOptions open;
    open.history_scan = (given.flags & ENGRAM_SE_MIGRATOR_NO_HISTORY_SCAN) == 0;
    open.log_directory = JoinPath(migration::DualDirectory(context, space->store->space()), "log");
    auto migrator = std::make_unique<engram_se_migrator>();
    migrator->space = space;
    ENGRAM_ASSIGN_OR_RETURN(migrator->migrator, migration::online::Migrator::Open(
                                                    *space->store, context.environment, open));
    claim.Keep();
    *migrator_out = migrator.release();
    return Status::Ok();
  });
}

engram_se_status MigratorStep(engram_se_migrator* migrator, uint64_t records_max,
                              engram_se_migrator_state* state, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto now, migrator->migrator->Step(records_max));
    engram_se_migrator_state out{};
    out.phase = static_cast<uint32_t>(now.phase);
    out.done = now.done;
    out.converted_total = now.converted;
    out.remaining_old = now.remaining_old;
    out.quarantined_total = now.quarantined;
    out.lsn_tailed = now.tailed.value;
    out.lsn_durable = now.durable.value;
    out.digest_matches = now.digest_matches ? 1 : 0;
    out.resident_budget_used_bytes = now.used_bytes;
    return Give(out, state);
  });
}

void MigratorClose(engram_se_migrator* migrator) noexcept {
  if (migrator == nullptr) return;
  engram_se_space* const space = migrator->space;
  delete migrator;
  space->has_migrator.store(false);
}

ControlState ToState(const engram_se_control& given) {
  ControlState state;
  state.mode = given.mode;
  state.phase = given.phase;
  state.pid = given.pid;
  state.http_port = given.http_port;
  state.pid_start_time = given.pid_start_time;
  state.updated_unix_ns = given.updated_unix_ns;
  state.lsn = given.lsn;
  state.count = given.count;
  state.old_count = given.old_count;
  state.converted = given.converted;
  state.quarantined = given.quarantined;
  state.lag_lsn = given.lag_lsn;
  state.rate_per_second = given.rate_per_second;
  state.eta_seconds = given.eta_seconds;
  state.rate_limit_per_second = given.rate_limit_per_second;
  state.paused = given.paused;
  state.history_scan = given.history_scan;
  state.throttled_since_unix_ns = given.throttled_since_unix_ns;
  static_assert(sizeof state.throttle_reason == sizeof given.throttle_reason);
  std::memcpy(state.throttle_reason, given.throttle_reason, sizeof state.throttle_reason - 1);
  static_assert(sizeof state.digest == sizeof given.digest);
  std::memcpy(state.digest, given.digest, sizeof state.digest);
  return state;
}

engram_se_control FromState(const ControlState& state) {
  engram_se_control out{};
  out.mode = state.mode;
  out.phase = state.phase;
  out.pid = state.pid;
  out.http_port = state.http_port;
  out.pid_start_time = state.pid_start_time;
  out.updated_unix_ns = state.updated_unix_ns;
  out.lsn = state.lsn;
  out.count = state.count;
  out.old_count = state.old_count;
  out.converted = state.converted;
  out.quarantined = state.quarantined;
  out.lag_lsn = state.lag_lsn;
  out.rate_per_second = state.rate_per_second;
  out.eta_seconds = state.eta_seconds;
  out.rate_limit_per_second = state.rate_limit_per_second;
  out.paused = state.paused;
  out.history_scan = state.history_scan;
  out.throttled_since_unix_ns = state.throttled_since_unix_ns;
  std::memcpy(out.throttle_reason, state.throttle_reason, sizeof out.throttle_reason - 1);
  std::memcpy(out.digest, state.digest, sizeof out.digest);
  return out;
}

engram_se_status ControlPublish(engram_se_space* space, const engram_se_control* control,
                                engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(engine::ControlBlock * block, space->Control());
    block->Publish(ToState(Taken(control)));
    return Status::Ok();
  });
}

engram_se_status ControlRead(engram_se_engine* engine, const char* space,
                             engram_se_control* control, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(space == nullptr ? "" : space));
    const migration::JobContext context = engine->Context();
    const std::string path = engine::ControlPath(migration::DualDirectory(context, id.str()));
    ENGRAM_ASSIGN_OR_RETURN(const ControlState state,
                            engine::ReadControl(context.environment.fs, path));
    return Give(FromState(state), control);
  });
}

}  // namespace

void SetMigratorSlots(engram_se_vtable* table) {
  table->migrator_open = MigratorOpen;
  table->migrator_step = MigratorStep;
  table->migrator_close = MigratorClose;
  table->control_publish = ControlPublish;
  table->control_read = ControlRead;
}

}  // namespace engram::plugin
