// The flag, the migration's knobs and the configuration, changed while the server runs.
#include <memory>
#include <set>

#include "server/api/context.h"
#include "server/api/control_body.h"
#include "server/api/migration_text.h"
#include "server/api/space_choice.h"
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

using Failures = std::vector<MigrationScheduler::Failure>;

// Changes come one at a time (ApiContext::changing): what is persisted and what is in effect never
// part.
struct Admin {
  explicit Admin(const ApiContext& given) : context(given) {}
  ApiContext context;

  // Why the key cannot be set at run time; OK if it can.
  Status CheckSettable(const std::string& key) const {
    ENGRAM_ASSIGN_OR_RETURN(const Source source, context.config.SourceOf(key));
    if (source <= Source::kRuntime) return Status::Ok();
    ENGRAM_ASSIGN_OR_RETURN(const std::string origin, context.config.OriginOf(key));
    return Status::FailedPrecondition(key + " is fixed by " + origin,
                                      "change it there and restart the server");
  }

  // In effect in every space and persisted, or neither. The spaces that take it when they can be
  // opened again.
  Result<Failures> SetFlag(bool on) {
    MigrationScheduler& scheduler = context.scheduler;
    const bool before = scheduler.dual_memory_types();
    if (before != on) ENGRAM_TRY(CheckSettable(kFlagKey));
    ENGRAM_ASSIGN_OR_RETURN(Failures failures, scheduler.SetDualMemoryTypes(on));
    const Status kept = Keep(on);
    if (!kept.ok()) {
      IgnoreError(scheduler.SetDualMemoryTypes(before).status(),
                  "the failure to keep it is reported");
      return kept;
    }
    return failures;
  }

  // A value that only the file or nobody asked for is kept too: the file may change. One that a
  // stronger level fixes is what was asked for already.
  Status Keep(bool on) {
    ENGRAM_ASSIGN_OR_RETURN(const Source source, context.config.SourceOf(kFlagKey));
    const bool same = context.config.config().features.dual_memory_types == on;
    if (same && source >= Source::kRuntime) return Status::Ok();
    return context.config.SetRuntime(kFlagKey, on ? "true" : "false");
  }

  // All or none, in effect and persisted.
  Status SetKnobs(const ConfigSet::Changes& changes) {
    for (const auto& [key, value] : changes) ENGRAM_TRY(CheckSettable(key));
    ENGRAM_TRY(context.config.SetRuntime(changes));
    return context.scheduler.SetKnobs(KnobsOf(context.config.config()));
  }
};

Response Features(MigrationScheduler& scheduler, const Failures& failures = {}) {
  json answer = {{kFlag, scheduler.dual_memory_types()}};
  // They keep the mode that they reached until the flag is turned.
  const std::set<std::string> guided = scheduler.guided_spaces();
  if (!guided.empty()) answer["guided_spaces"] = guided;
  if (const size_t pending = scheduler.pending_spaces()) answer["pending_spaces"] = pending;
  if (!failures.empty()) answer["failed_spaces"] = ToJson(failures);
  return Response::Json(200, Dump(answer));
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
  if (!body->contains(kFlag)) return Features(admin.context.scheduler);
  MutexLock lock(admin.context.changing);
  const auto failures = admin.SetFlag((*body)[kFlag].get<bool>());
  if (!failures.ok()) return StatusResponse(failures.status());
  return Features(admin.context.scheduler, *failures);
}

Response Migration(const ApiContext& context, const OrRefusal<std::optional<std::string>>& named) {
  if (!named) return ToResponse(named.error());
  const std::optional<std::string>& space = *named;
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

// Whether the knob can take a value of this type; its range is the configuration's business.
// nullopt, or why not.
std::optional<Response> CheckKnob(const std::string& name, const json& value) {
  if (name == "paused" || name == "history_scan") {
    if (!value.is_boolean()) return WrongType(name, "true or false", value);
  } else if (name == "rate_limit" || name == "batch_size" || name == "memory_budget_mb") {
    if (!value.is_number_unsigned()) return WrongType(name, "a whole number", value);
  } else if (name == "p99_budget_percent") {
    if (!value.is_number()) return WrongType(name, "a number", value);
  } else {
    return ErrorResponse(400, "BAD_REQUEST", "there is no knob \"" + name + "\"",
                         "send any of: paused, rate_limit, history_scan, p99_budget_percent, "
                         "batch_size, memory_budget_mb; or "
                         "{\"action\": \"online\", \"space\": ...}");
  }
  return std::nullopt;
}

Response StartOnline(Admin& admin, const json& body, std::optional<std::string> space) {
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
  if (body.contains("space")) {
    const std::string in_body = body["space"].get<std::string>();
    if (space && *space != in_body) {
      return ErrorResponse(400, "BAD_REQUEST",
                           "two spaces are named: " + *space + " and " + in_body,
                           "name the space once, in a header, in the query or in the body");
    }
    space = in_body;
  }
  const Status status = admin.context.scheduler.MigrateOnline(space);
  if (!status.ok()) return StatusResponse(status);
  return Migration(admin.context, space);
}

Response PostMigration(Admin& admin, const Request& request) {
  const auto body = ControlBody(request);
  if (!body) return body.error();
  const auto space = NamedSpace(request);
  if (!space) return ToResponse(space.error());
  MutexLock lock(admin.context.changing);
  if (body->contains("action")) return StartOnline(admin, *body, *space);
  ConfigSet::Changes changes;
  for (const auto& [name, value] : body->items()) {
    if (auto refusal = CheckKnob(name, value)) return *refusal;
    changes.emplace_back("migration." + name, ConfigText(value));
  }
  const Status status = admin.SetKnobs(changes);
  if (!status.ok()) return StatusResponse(status);
  return Migration(admin.context, space);
}

json Setting(const ConfigSet& config, const std::string& key, const std::string& shown) {
  const auto source = config.SourceOf(key);
  const auto origin = config.OriginOf(key);
  return {{"key", key},
          {"value", shown},
          {"source", source.ok() ? json(SourceName(*source)) : json(nullptr)},
          {"origin", origin.ok() && !origin->empty() ? json(*origin) : json(nullptr)}};
}

// Secrets as the listing shows them.
Response ConfigValue(const ConfigSet& config, const std::string& key,
                     const Failures& failures = {}) {
  const auto known = config.Get(key);
  if (!known.ok()) return StatusResponse(known.status());
  std::string shown = *known;
  for (const auto& [name, value] : config.All()) {
    if (name == key) shown = value;
  }
  json answer = Setting(config, key, shown);
  if (!failures.empty()) answer["failed_spaces"] = ToJson(failures);
  return Response::Json(200, Dump(answer));
}

Response ConfigList(const ConfigSet& config) {
  json values = json::object();
  json settings = json::array();
  for (const auto& [key, value] : config.All()) {
    values[key] = value;
    settings.push_back(Setting(config, key, value));
  }
  return Response::Json(200, Dump({{"config", values}, {"settings", settings}}));
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
  MutexLock lock(admin.context.changing);
  if (key == kFlagKey) {
    if (text != "true" && text != "false") {
      return ErrorResponse(400, "INVALID_MEMORY_INPUT", key + " is no truth value",
                           "send true or false");
    }
    const auto failures = admin.SetFlag(text == "true");
    if (!failures.ok()) return StatusResponse(failures.status());
    return ConfigValue(admin.context.config, key, *failures);
  }
  const Status status = key.starts_with("migration.") ? admin.SetKnobs({{key, text}})
                                                      : admin.context.config.SetRuntime(key, text);
  if (!status.ok()) return StatusResponse(status);
  return ConfigValue(admin.context.config, key);
}

}  // namespace

void AddAdminRoutes(const ApiContext& context, Router* router) {
  const auto admin = std::make_shared<Admin>(context);
  const auto add = [&](Method method, const char* pattern, Execution execution, Handler handler) {
    router->Add({method, pattern, execution, Guard::kControl, std::move(handler),
                 /*takes_json=*/method == Method::kPost});
  };
  add(Method::kGet, "/api/v1/admin/features", Execution::kInline,
      [admin](const Request&) { return Features(admin->context.scheduler); });
  add(Method::kPost, "/api/v1/admin/features", Execution::kBlocking,
      [admin](const Request& request) { return PostFeatures(*admin, request); });
  add(Method::kGet, "/api/v1/admin/migration", Execution::kBlocking,
      [admin](const Request& request) { return Migration(admin->context, NamedSpace(request)); });
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
