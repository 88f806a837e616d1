// The flag, the migration's knobs and the configuration, changed while the server runs.
#include <memory>
#include <set>

#include "base/mutex.h"
#include "server/api/context.h"
#include "server/api/control_body.h"
#include "server/api/migration_text.h"
#include "server/http/error_response.h"
#include "server/migration/knobs_of.h"

namespace engram::server {
namespace {

using nlohmann::json;

constexpr char kFlag[] = "dual_memory_types";
constexpr char kFlagKey[] = "features.dual_memory_types";

Response WrongType(const std::string& key, const char* expected, const json& value) {
  return ErrorResponse(422, "MEMORY_VALIDATION_ERROR",
                       "\"" + key + "\" is a JSON " + value.type_name() + ", expected " + expected,
                       "send it as " + std::string(expected));
}

std::string ConfigText(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Changes come one at a time: what is persisted and what is in effect never part.
struct Admin {
  explicit Admin(const ApiContext& given) : context(given) {}
  ApiContext context;
  Mutex mutex;

  // Why the key cannot be set at run time; OK if it can.
  Status CheckSettable(const std::string& key) const {
    ENGRAM_ASSIGN_OR_RETURN(const Source source, context.config.SourceOf(key));
    if (source <= Source::kRuntime) return Status::Ok();
    ENGRAM_ASSIGN_OR_RETURN(const std::string origin, context.config.OriginOf(key));
    return Status::FailedPrecondition(
        key + " is fixed by " + origin + " (" + std::string(SourceName(source)) + ")",
        "change it there and restart the server");
  }

  // In effect in every space and persisted, or neither.
  Status SetFlag(bool on) {
    MigrationScheduler& scheduler = context.scheduler;
    const bool before = scheduler.dual_memory_types();
    if (before != on) ENGRAM_TRY(CheckSettable(kFlagKey));
    ENGRAM_TRY(scheduler.SetDualMemoryTypes(on));
    if (before == on && context.config.config().features.dual_memory_types == on) {
      return Status::Ok();
    }
    const Status kept = context.config.SetRuntime(kFlagKey, on ? "true" : "false");
    if (!kept.ok()) {
      IgnoreError(scheduler.SetDualMemoryTypes(before), "the failure to keep it is reported");
    }
    return kept;
  }

  Status SetKnobs(const SchedulerKnobs& knobs, const json& changes) {
    const SchedulerKnobs before = context.scheduler.knobs();
    for (const auto& [name, value] : changes.items()) {
      ENGRAM_TRY(CheckSettable("migration." + name));
    }
    ENGRAM_TRY(context.scheduler.SetKnobs(knobs));
    for (const auto& [name, value] : changes.items()) {
      const Status kept = context.config.SetRuntime("migration." + name, ConfigText(value));
      if (!kept.ok()) {
        IgnoreError(context.scheduler.SetKnobs(before), "the failure to keep it is reported");
        return kept;
      }
    }
    return Status::Ok();
  }
};

Response Features(const MigrationScheduler& scheduler) {
  return Response::Json(200, Dump({{kFlag, scheduler.dual_memory_types()}}));
}

Response PostFeatures(Admin& admin, const Request& request) {
  const auto body = ControlBody(request);
  if (!body) return body.error();
  for (const auto& [name, value] : body->items()) {
    if (name == "cohort") continue;  // there is one cohort: everybody
    if (name != kFlag) {
      return ErrorResponse(400, "BAD_REQUEST", "there is no flag \"" + name + "\"",
                           "the flags are: dual_memory_types");
    }
    if (!value.is_boolean()) return WrongType(name, "true or false", value);
  }
  if (body->contains(kFlag)) {
    MutexLock lock(admin.mutex);
    const Status status = admin.SetFlag((*body)[kFlag].get<bool>());
    if (!status.ok()) return StatusResponse(status);
  }
  return Features(admin.context.scheduler);
}

Response Migration(const ApiContext& context, const std::optional<std::string>& space) {
  const auto names = context.spaces.Names();
  if (!names.ok()) return StatusResponse(names.status());
  if (space && std::find(names->begin(), names->end(), *space) == names->end()) {
    return ErrorResponse(404, "RESOURCE_NOT_FOUND", "there is no space " + *space,
                         "list them with GET /api/v1/spaces");
  }
  // Of a space that is not open only the control block could be shown, which may lag behind.
  if (space) {
    const auto open = context.spaces.Find(*space);
    if (!open.ok()) context.logger.Debug("space " + *space + ": " + open.status().message());
  }
  json spaces = json::array();
  const SchedulerKnobs knobs = context.scheduler.knobs();
  for (const SpaceMigration& status : context.scheduler.Spaces(space)) {
    spaces.push_back(ToJson(status, knobs));
  }
  return Response::Json(200, Dump({{"ok", true},
                                   {"spaces", std::move(spaces)},
                                   {"knobs", ToJson(knobs)},
                                   {kFlag, context.scheduler.dual_memory_types()}}));
}

std::optional<std::string> SpaceOf(const Request& request) {
  const auto space = request.Query("space");
  if (!space) return std::nullopt;
  return std::string(*space);
}

// Takes one knob; nullopt, or why not.
std::optional<Response> TakeKnob(const std::string& name, const json& value,
                                 SchedulerKnobs* knobs) {
  if (name == "paused" || name == "history_scan") {
    if (!value.is_boolean()) return WrongType(name, "true or false", value);
    (name == "paused" ? knobs->paused : knobs->history_scan) = value.get<bool>();
  } else if (name == "rate_limit") {
    if (!value.is_number_unsigned()) return WrongType(name, "a whole number, 0 for none", value);
    knobs->rate_limit = value.get<uint64_t>();
  } else if (name == "p99_budget_percent") {
    if (!value.is_number()) return WrongType(name, "a number", value);
    knobs->p99_budget_percent = value.get<double>();
  } else {
    return ErrorResponse(400, "BAD_REQUEST", "there is no knob \"" + name + "\"",
                         "send any of: paused, rate_limit, history_scan, p99_budget_percent; or "
                         "{\"action\": \"online\", \"space\": ...}");
  }
  return std::nullopt;
}

Response StartOnline(Admin& admin, const json& body) {
  for (const auto& [name, value] : body.items()) {
    if (name != "action" && name != "space") {
      return ErrorResponse(400, "BAD_REQUEST", "an action takes no \"" + name + "\"",
                           "send {\"action\": \"online\"} with or without \"space\"");
    }
    if (!value.is_string()) return WrongType(name, "text", value);
  }
  if (body["action"] != "online") {
    return ErrorResponse(400, "BAD_REQUEST",
                         "there is no action \"" + body["action"].get<std::string>() + "\"",
                         "the actions are: online");
  }
  std::optional<std::string> space;
  if (body.contains("space")) space = body["space"].get<std::string>();
  const Status status = admin.context.scheduler.MigrateOnline(space);
  if (!status.ok()) return StatusResponse(status);
  return Migration(admin.context, space);
}

Response PostMigration(Admin& admin, const Request& request) {
  const auto body = ControlBody(request);
  if (!body) return body.error();
  MutexLock lock(admin.mutex);
  if (body->contains("action")) return StartOnline(admin, *body);
  SchedulerKnobs knobs = admin.context.scheduler.knobs();
  for (const auto& [name, value] : body->items()) {
    if (auto refusal = TakeKnob(name, value, &knobs)) return *refusal;
  }
  const Status status = admin.SetKnobs(knobs, *body);
  if (!status.ok()) return StatusResponse(status);
  return Migration(admin.context, SpaceOf(request));
}

// Secrets as the listing shows them.
Response ConfigValue(const ConfigSet& config, const std::string& key) {
  const auto known = config.Get(key);
  if (!known.ok()) return StatusResponse(known.status());
  std::string shown = *known;
  for (const auto& [name, value] : config.All()) {
    if (name == key) shown = value;
  }
  const auto source = config.SourceOf(key);
  const auto origin = config.OriginOf(key);
  return Response::Json(
      200, Dump({{"key", key},
                 {"value", shown},
                 {"source", source.ok() ? json(SourceName(*source)) : json(nullptr)},
                 {"origin", origin.ok() && !origin->empty() ? json(*origin) : json(nullptr)}}));
}

Response ConfigList(const ConfigSet& config) {
  json values = json::object();
  for (const auto& [key, value] : config.All()) values[key] = value;
  return Response::Json(200, Dump({{"config", values}}));
}

Response PostConfig(Admin& admin, const Request& request) {
  const std::string key(request.PathParam("key"));
  const auto body = ControlBody(request);
  if (!body) return body.error();
  if (!body->contains("value") || body->size() != 1 || (*body)["value"].is_structured() ||
      (*body)["value"].is_null()) {
    return ErrorResponse(422, "MEMORY_VALIDATION_ERROR",
                         "the body has no \"value\", or more than that",
                         "send {\"value\": <text, number, true or false>}");
  }
  const std::string text = ConfigText((*body)["value"]);
  MutexLock lock(admin.mutex);
  if (key == kFlagKey) {
    if (text != "true" && text != "false") {
      return ErrorResponse(400, "INVALID_MEMORY_INPUT", key + " is no truth value",
                           "send true or false");
    }
    const Status status = admin.SetFlag(text == "true");
    if (!status.ok()) return StatusResponse(status);
    return ConfigValue(admin.context.config, key);
  }
  const Status status = admin.context.config.SetRuntime(key, text);
  if (!status.ok()) return StatusResponse(status);
  if (key.starts_with("migration.")) {
    const Status taken = admin.context.scheduler.SetKnobs(KnobsOf(admin.context.config.config()));
    if (!taken.ok()) return StatusResponse(taken);
  }
  return ConfigValue(admin.context.config, key);
}

}  // namespace

void AddAdminRoutes(const ApiContext& context, Router* router) {
  const auto admin = std::make_shared<Admin>(context);
  const auto add = [&](Method method, const char* pattern, Execution execution, Handler handler) {
    const Guard guard = method == Method::kGet ? Guard::kRead : Guard::kControl;
    router->Add({method, pattern, execution, guard, std::move(handler)});
  };
  add(Method::kGet, "/api/v1/admin/features", Execution::kInline,
      [admin](const Request&) { return Features(admin->context.scheduler); });
  add(Method::kPost, "/api/v1/admin/features", Execution::kBlocking,
      [admin](const Request& request) { return PostFeatures(*admin, request); });
  add(Method::kGet, "/api/v1/admin/migration", Execution::kBlocking,
      [admin](const Request& request) { return Migration(admin->context, SpaceOf(request)); });
  add(Method::kPost, "/api/v1/admin/migration", Execution::kBlocking,
      [admin](const Request& request) { return PostMigration(*admin, request); });
  add(Method::kGet, "/api/v1/admin/config", Execution::kBlocking,
      [admin](const Request&) { return ConfigList(admin->context.config); });
  add(Method::kGet, "/api/v1/admin/config/{key}", Execution::kBlocking,
      [admin](const Request& request) {
        return ConfigValue(admin->context.config, std::string(request.PathParam("key")));
      });
  add(Method::kPost, "/api/v1/admin/config/{key}", Execution::kBlocking,
      [admin](const Request& request) { return PostConfig(*admin, request); });
}

}  // namespace engram::server
