#include "server/api/migration_text.h"

namespace engram::server {
namespace {

nlohmann::json ModeOrNull(uint32_t mode) {
  return mode == 0 ? nlohmann::json(nullptr) : nlohmann::json(ModeName(mode));
}
nlohmann::json TextOrNull(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

}  // namespace

nlohmann::json ToJson(const SpaceMigration& space, const SchedulerKnobs& knobs) {
  nlohmann::json json = {{"space", space.space},
                         {"mode", ModeOrNull(space.mode)},
                         {"mode_due", ModeOrNull(space.mode_due)},
                         {"phase", space.phase},
                         {"count", space.count},
                         {"remaining_old", space.remaining_old},
                         {"converted", space.converted},
                         {"quarantined", space.quarantined},
                         {"rate", space.rate},
                         {"eta_seconds", space.eta_seconds < 0 ? nlohmann::json(nullptr)
                                                               : nlohmann::json(space.eta_seconds)},
                         {"lag_lsn", space.lag_lsn},
                         {"lsn", space.lsn},
                         {"digest", TextOrNull(space.digest)},
                         {"digest_matches", space.is_judged() ? nlohmann::json(space.digest_matches)
                                                              : nlohmann::json(nullptr)},
                         {"online_step", TextOrNull(space.online_step)},
                         {"error", TextOrNull(space.error)}};
  json["source"] = space.source ? ToJson(*space.source) : nlohmann::json(nullptr);
  json["paused"] = knobs.paused;
  json["rate_limit"] = knobs.rate_limit;
  json["history_scan"] = knobs.history_scan;
  json["throttle"] = {{"reason", TextOrNull(space.throttle_reason)},
                      {"since", TextOrNull(space.throttle_since)}};
  return json;
}

nlohmann::json ToJson(const SchedulerKnobs& knobs) {
  return {{"paused", knobs.paused},
          {"rate_limit", knobs.rate_limit},
          {"history_scan", knobs.history_scan},
          {"p99_budget_percent", knobs.p99_budget_percent},
          {"memory_budget_mb", knobs.memory_budget_mb},
          {"batch_size", knobs.batch_size}};
}

nlohmann::json ToJson(const std::vector<MigrationScheduler::Failure>& failures) {
  nlohmann::json json = nlohmann::json::array();
  for (const MigrationScheduler::Failure& failure : failures) {
    json.push_back({{"space", failure.space}, {"error", failure.why.message()}});
  }
  return json;
}

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace engram::server
