// The migration as JSON: what the admin routes and the stream both send.
#ifndef ENGRAM_SERVER_API_MIGRATION_TEXT_H_
#define ENGRAM_SERVER_API_MIGRATION_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/migration/scheduler.h"

namespace engram::server {

// The object of `migrate-dual status --json`; unknown parts are null.
nlohmann::json ToJson(const SpaceMigration& space, const SchedulerKnobs& knobs);
nlohmann::json ToJson(const SchedulerKnobs& knobs);
// [{"space", "error"}]: the spaces that did not take the flag yet.
nlohmann::json ToJson(const std::vector<MigrationScheduler::Failure>& failures);
// Invalid UTF-8 (of a file name in an error) is replaced, never thrown.
std::string Dump(const nlohmann::json& json);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_MIGRATION_TEXT_H_
