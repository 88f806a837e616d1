// What the slots of jobs share: context, progress, report, options.
#ifndef ENGRAM_PLUGIN_JOBS_H_
#define ENGRAM_PLUGIN_JOBS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "plugin/boundary.h"
#include "plugin/handles.h"

namespace engram::plugin {

void DeliverProgress(const engram_se_job& job, const migration::Progress& progress);

// Runs `body`, which takes a JobContext and returns Result<json>, and delivers its report.
template <typename Body>
engram_se_status RunJob(engram_se_engine* engine, const engram_se_job* job, engram_se_error* error,
                        Body&& body) noexcept {
  return Guarded(error, [&]() -> Status {
    const engram_se_job given = Taken(job);
    migration::JobContext context = engine->Context();
    if (given.progress != nullptr) {
      context.progress = [&given](const migration::Progress& p) { DeliverProgress(given, p); };
    }
    context.cancel =
        reinterpret_cast<const std::atomic<bool>*>(const_cast<const uint8_t*>(given.cancel));
    ENGRAM_ASSIGN_OR_RETURN(const nlohmann::json report, body(context));
    if (given.report == nullptr) return Status::Ok();
    // A file name in a damage list may be any bytes.
    const std::string text = report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    given.report(given.ctx, ToBytes(text));
    return Status::Ok();
  });
}

Result<std::string> SpaceName(const char* space);
Result<migration::MigrateOptions> MigrateOptionsOf(const engram_se_migrate_options* options);
// But for the space.
migration::VerifyOptions VerifyOptionsOf(const engram_se_verify_options* options);

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_JOBS_H_
