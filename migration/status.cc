// Reports that change nothing: status, statistics.
#include "base/utf8.h"
#include "migration/checkpoint.h"
#include "migration/job.h"
#include "migration/migration.h"
#include "migration/source_registry.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {

using nlohmann::json;

namespace {

// Directories whose ingest did not end: what they still hold is not in the space.
Result<json> UnfinishedSources(engine::ReadView& view) {
  ENGRAM_ASSIGN_OR_RETURN(const auto known, ReadKnownSources(view));
  json directories = json::array();
  for (const KnownSource& source : known) {
    if (!source.complete) directories.push_back(PathText(source.directory));
  }
  return directories;
}

}  // namespace

Result<json> SpaceStats(const JobContext& context, const std::string& space) {
  ENGRAM_ASSIGN_OR_RETURN(auto store, OpenSpace(context, space, engine::Access::kReadOnly));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store->View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view->Digests());
  const engine::StoreInfo info = store->Info();
  return json{{"ok", true},
              {"space", store->space()},
              {"mode", std::string(engine::ModeName(view->mode()))},
              {"count", counts.records},
              {"old", counts.old},
              {"dual", counts.dual},
              {"episodes", counts.episodes},
              {"concepts", counts.concepts},
              {"edges", counts.edges},
              {"bindings", counts.bindings},
              {"quarantined", counts.quarantined},
              {"bytes", info.bytes},
              {"digest", ToHex(digests.SpaceDigest())},
              {"lsn", digests.lsn.value},
              {"tiers", TiersToJson(digests)}};
}

Result<json> MigrationStatus(const JobContext& context, const std::string& space) {
  ENGRAM_ASSIGN_OR_RETURN(auto store, OpenSpace(context, space, engine::Access::kReadOnly));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store->View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view->Digests());
  ENGRAM_ASSIGN_OR_RETURN(const auto job, ReadJob(*view));
  ENGRAM_ASSIGN_OR_RETURN(const json unfinished, UnfinishedSources(*view));
  const std::string path = CheckpointPath(DualDirectory(context, store->space()));
  const auto checkpoint = ReadCheckpoint(context.environment.fs, path);
  json report = {{"ok", true},
                 {"space", store->space()},
                 {"mode", std::string(engine::ModeName(view->mode()))},
                 {"phase", std::string(JobStateName(job ? job->state : JobState::kOff))},
                 {"remaining_old", counts.old},
                 {"converted", job ? job->counters.converted : 0},
                 {"quarantined", counts.quarantined},
                 {"rate", 0},
                 {"eta_seconds", nullptr},
                 {"lag_lsn", 0},
                 {"throttle", {{"reason", nullptr}, {"since", nullptr}}},
                 {"digest", ToHex(digests.SpaceDigest())},
                 {"lsn", digests.lsn.value},
                 {"unfinished_sources", unfinished},
                 {"checkpoint", nullptr}};
  const Status same =
      checkpoint.ok() ? CheckSameStore(*checkpoint, store->Info().store_uuid, space) : Status::Ok();
  if (!same.ok()) {
    report["checkpoint"] = {{"path", path}, {"error", same.message()}};
  } else if (checkpoint.ok()) {
    report["checkpoint"] = {
        {"path", path}, {"position", checkpoint->position}, {"nodes", checkpoint->nodes}};
  } else if (checkpoint.status().code() != StatusCode::kNotFound) {
    report["checkpoint"] = {{"path", path}, {"error", checkpoint.status().message()}};
  }
  return report;
}

}  // namespace engram::migration
