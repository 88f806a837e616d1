// Whole records in the exact form of the command line: what `engram memory`, `engram space` and
// `engram verify` use beside a running server. One line is one JSON object.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/coding.h"
#include "base/crypto.h"
#include "base/rfc3339.h"
#include "plugin/loader/memory_input.h"
#include "plugin/loader/memory_json.h"
#include "server/api/context.h"
#include "server/api/control_body.h"
#include "server/api/migration_text.h"
#include "server/api/query_params.h"
#include "server/api/space_choice.h"
#include "server/http/error_response.h"

namespace engram::server {
namespace {

using nlohmann::json;

constexpr uint64_t kPageRecordsMax = 1000;
constexpr char kLines[] = "application/x-ndjson";

struct Page {
  plugin::MemoryStyle style;
  plugin::ScanOptions scan;
};

Refused ReadStyle(const Request& request, plugin::MemoryStyle* out) {
  bool exact = false;
  if (auto refused = QueryBool(request, "exact", &exact)) return refused;
  if (exact) out->floats = FloatStyle::kExact;
  if (auto refused = QueryBool(request, "embeddings", &out->embeddings)) return refused;
  return QueryView(request, &out->dual_view);
}

Refused ReadPage(const Request& request, Page* out) {
  if (auto refused = ReadStyle(request, &out->style)) return refused;
  out->scan.embeddings = out->style.embeddings;
  out->scan.limit = kPageRecordsMax;
  if (const auto after = request.Query("after")) out->scan.after = std::string(*after);
  if (auto refused = QueryUnsigned(request, "limit", &out->scan.limit)) return refused;
  if (out->scan.limit == 0) {
    return BadRequest("Query parameter 'limit' is '0', expected a whole number of at least 1.",
                      "Leave 'limit' out for " + std::to_string(kPageRecordsMax) + " at once.");
  }
  out->scan.limit = std::min(out->scan.limit, kPageRecordsMax);
  return std::nullopt;
}

// The space that header or query name, or why there is none to work on.
tl::expected<SpaceHandle, Response> Existing(const ApiContext& context, const Request& request) {
  const auto name = ChooseSpace(request, {}, context.config.config().memory_spaces.default_space);
  if (!name) return tl::unexpected(ToResponse(name.error()));
  auto space = context.spaces.Find(*name);
  if (!space.ok()) return tl::unexpected(StatusResponse(space.status()));
  if (*space == nullptr) {
    return tl::unexpected(StatusResponse(Status::NotFound("there is no space " + *name)));
  }
  return std::move(*space);
}

Response Lines(std::string body) {
  Response response = Response::Json(200, std::move(body));
  response.content_type = kLines;
  return response;
}

Response ListRecords(const ApiContext& context, const Request& request) {
  const auto space = Existing(context, request);
  if (!space) return space.error();
  Page page;
  if (auto refused = ReadPage(request, &page)) return ToResponse(*refused);
  std::string body;
  const Status scanned = (*space)->space->Scan(page.scan, [&](const engram_se_memory& memory) {
    plugin::AppendMemoryJson(memory, page.style, &body);
    body += '\n';
    return true;
  });
  return scanned.ok() ? Lines(std::move(body)) : StatusResponse(scanned);
}

Response GetRecord(const ApiContext& context, const Request& request) {
  const auto space = Existing(context, request);
  if (!space) return space.error();
  plugin::MemoryStyle style{.floats = FloatStyle::kDecimal};
  if (auto refused = ReadStyle(request, &style)) return ToResponse(*refused);
  const bool arriving = (*space)->arriving;
  std::string body;
  const Status found = (*space)->space->Retrieve(request.PathParam("id"), style.embeddings,
                                                 [&](const engram_se_memory& memory) {
                                                   plugin::AppendMemoryJson(memory, style, &body);
                                                   return true;
                                                 });
  if (arriving && found.code() == StatusCode::kNotFound) return NotHereYet(request.PathParam("id"));
  return found.ok() ? Response::Json(200, std::move(body)) : StatusResponse(found);
}

// Applies `take` to each line that is not empty; its error names the line.
template <typename Take>
Status ForEachLine(std::string_view body, const Take& take) {
  uint64_t number = 0;
  while (!body.empty()) {
    const size_t end = body.find('\n');
    const std::string_view line = body.substr(0, end);
    body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Status taken = take(line);
    if (!taken.ok()) return taken.WithContext("line " + std::to_string(number));
  }
  return Status::Ok();
}

// One {"id", "lsn"} a line; LSN 0 is null. A failure in between ends them: the error is its own
// line.
template <typename IdAt>
Response Acknowledged(const std::vector<uint64_t>& lsns, const Status& status, const IdAt& id_at) {
  if (lsns.empty() && !status.ok()) return StatusResponse(status);
  std::string body;
  for (size_t i = 0; i < lsns.size(); ++i) {
    ObjectText object(&body);
    object.String("id", id_at(i));
    lsns[i] == 0 ? object.Null("lsn") : object.Integer("lsn", lsns[i]);
    object.Close();
    body += '\n';
  }
  if (!status.ok()) {
    ObjectText object(&body);
    ObjectText error(object.Key("error"));
    error.String("code", StatusCodeName(status.code()));
    error.String("message", status.message());
    error.String("hint", status.hint());
    error.Close();
    object.Close();
    body += '\n';
  }
  return Lines(std::move(body));
}

// All lines are good before the first one is stored.
Response PutRecords(const ApiContext& context, const Request& request) {
  const std::string now = FormatTime(context.clock.WallSeconds(), context.clock.WallNanos());
  std::vector<plugin::MemoryInput> inputs;
  const Status parsed = ForEachLine(request.body, [&](std::string_view line) -> Status {
    ENGRAM_ASSIGN_OR_RETURN(plugin::MemoryInput input, plugin::ParseMemoryLine(line, now));
    inputs.push_back(std::move(input));
    return Status::Ok();
  });
  if (!parsed.ok()) return StatusResponse(parsed);
  const auto name = ChooseSpace(request, {}, context.config.config().memory_spaces.default_space);
  if (!name) return ToResponse(name.error());
  const auto space = context.spaces.FindOrCreate(*name);
  if (!space.ok()) return StatusResponse(space.status());
  std::vector<plugin::MemoryInputView> views;
  views.reserve(inputs.size());
  std::vector<const engram_se_memory*> memories;
  for (const auto& input : inputs) memories.push_back(&views.emplace_back(input).memory());
  std::vector<uint64_t> lsns;
  const WriteScope scope(context.spaces, *space);
  const Status stored = (*space)->space->StoreBatch(memories, &lsns);
  return Acknowledged(lsns, stored, [&](size_t i) { return std::string_view(inputs[i].id); });
}

// Why not all of `ids` can be deleted now: one of them may come in later. Nothing is deleted then,
// so that the same request can be sent again.
std::optional<Response> NotAllHereYet(ServedSpace& space, const std::vector<std::string>& ids) {
  if (!space.arriving) return std::nullopt;
  for (const std::string& id : ids) {
    const auto here = space.space->Contains(id);
    if (!here.ok()) return StatusResponse(here.status());
    if (!*here) return NotHereYet(id);
  }
  return std::nullopt;
}

Response DeleteRecords(const ApiContext& context, const Request& request) {
  std::vector<std::string> ids;
  const Status parsed = ForEachLine(request.body, [&](std::string_view line) -> Status {
    ENGRAM_ASSIGN_OR_RETURN(std::string id, plugin::ParseIdLine(line));
    ids.push_back(std::move(id));
    return Status::Ok();
  });
  if (!parsed.ok()) return StatusResponse(parsed);
  const auto space = Existing(context, request);
  if (!space) return space.error();
  if (auto refused = NotAllHereYet(**space, ids)) return std::move(*refused);
  std::vector<uint64_t> lsns;
  const WriteScope scope(context.spaces, *space);
  const Status removed = (*space)->space->RemoveBatch(ids, &lsns);
  return Acknowledged(lsns, removed, [&](size_t i) { return std::string_view(ids[i]); });
}

json StatsOf(const std::string& name, const engram_se_figures& figures) {
  json tiers = json::object();
  for (const uint32_t tier : {ENGRAM_SE_TIER_HOT, ENGRAM_SE_TIER_WARM, ENGRAM_SE_TIER_COLD}) {
    const size_t at = tier - ENGRAM_SE_TIER_HOT;
    tiers[std::string(plugin::TierText(tier))] = {
        {"count", figures.tier_count[at]},
        {"digest", ToHex(Bytes(figures.tier_digest[at], sizeof figures.tier_digest[at]))}};
  }
  return {{"ok", true},
          {"space", name},
          {"mode", plugin::ModeText(figures.mode)},
          {"count", figures.count},
          {"old", figures.old_count},
          {"dual", figures.dual_count},
          {"episodes", figures.episode_count},
          {"concepts", figures.concept_count},
          {"edges", figures.edge_count},
          {"bindings", figures.binding_count},
          {"quarantined", figures.quarantined_count},
          {"bytes", figures.size_bytes},
          {"digest", ToHex(Bytes(figures.digest, sizeof figures.digest))},
          {"lsn", figures.lsn},
          {"tiers", std::move(tiers)}};
}

Response SpaceStatistics(const ApiContext& context, const Request& request) {
  const auto space = Existing(context, request);
  if (!space) return space.error();
  const auto figures = (*space)->space->Figures();
  if (!figures.ok()) return StatusResponse(figures.status());
  return Response::Json(200, Dump(StatsOf((*space)->name, *figures)));
}

// The way out for a latched space: closed and opened again, as a restart does for all.
Response ReopenSpace(const ApiContext& context, const Request& request) {
  const auto name = ChooseSpace(request, {}, context.config.config().memory_spaces.default_space);
  if (!name) return ToResponse(name.error());
  const Status opened = context.spaces.Reopen(*name);
  if (!opened.ok()) return StatusResponse(opened);
  return SpaceStatistics(context, request);
}

// The source of a verification is a path of the machine: that is not for HTTP.
Response VerifySpace(const ApiContext& context, const Request& request) {
  const auto body = ControlBody(request);
  if (!body) return body.error();
  const auto space = Existing(context, request);
  if (!space) return space.error();
  plugin::VerifyOptions options{.space = (*space)->name, .source = std::nullopt};
  for (const auto& [name, value] : body->items()) {
    if (name == "sample" && value.is_number_unsigned()) {
      options.sample = value.get<uint64_t>();
    } else if (name == "full" && value.is_boolean()) {
      options.full = value.get<bool>();
    } else {
      return ErrorResponse(400, "BAD_REQUEST", "\"" + name + "\" is not known here or not its kind",
                           "send {\"sample\": <whole number>, \"full\": true or false}");
    }
  }
  plugin::Job job;
  job.cancel = request.cancelled;
  const auto report = (*space)->space->Verify(options, job);
  return report.ok() ? Response::Json(200, *report) : StatusResponse(report.status());
}

}  // namespace

void AddRecordRoutes(const ApiContext& context, Router* router) {
  const auto add = [&](Method method, const char* pattern,
                       Response (*handler)(const ApiContext&, const Request&),
                       bool takes_json = false) {
    router->Add({method, pattern, Execution::kBlocking, Guard::kControl,
                 [context, handler](const Request& request) { return handler(context, request); },
                 takes_json});
  };
  add(Method::kGet, "/api/v1/admin/memories", ListRecords);
  add(Method::kPost, "/api/v1/admin/memories", PutRecords);
  add(Method::kPost, "/api/v1/admin/memories/delete", DeleteRecords);
  add(Method::kGet, "/api/v1/admin/memories/{id}", GetRecord);
  add(Method::kGet, "/api/v1/admin/space", SpaceStatistics);
  add(Method::kPost, "/api/v1/admin/space/reopen", ReopenSpace);
  add(Method::kPost, "/api/v1/admin/verify", VerifySpace, /*takes_json=*/true);
}

}  // namespace engram::server
