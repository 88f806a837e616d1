// POST /api/v1/query: the query language.
#include <algorithm>
#include <memory>

#include "base/json_text.h"
#include "server/api/handling.h"
#include "server/api/json_body.h"
#include "server/api/query_language.h"
#include "server/api/recall.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr float kTextThreshold = 0.5f;

struct QueryBody {
  BodySpace space;
  std::optional<std::string> text;
};

Refused ReadQueryBody(const Request& request, QueryBody* out) {
  auto refused = ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
    if (key == "query_text") return ReadText(key, value, &out->text);
    if (key == "memory_space_id") return ReadText(key, value, &out->space.memory_space_id);
    if (key == "memory_space") return ReadText(key, value, &out->space.memory_space);
    *known = false;
    return Refused();
  });
  if (refused || out->text) return refused;
  return WrongShape("Missing 'query_text' field.",
                    "Send {\"query_text\": \"RECALL episode_123\"}.");
}

std::string_view Category(float value) {
  return !(value > 0)   ? "None"
         : value < 0.3f ? "Low"
         : value < 0.7f ? "Medium"
         : value < 1.0f ? "High"
                        : "Certain";
}

void AppendEpisode(const engram_se_memory& memory, float confidence, std::string* out) {
  ObjectText object(out);
  object.String("id", plugin::ToView(memory.id));
  object.String("when", ObservedAt(memory));
  AppendText(memory.content, (memory.present & ENGRAM_SE_HAS_CONTENT) != 0, object.Key("what"));
  if ((memory.present & ENGRAM_SE_HAS_WHERE) != 0) {
    object.String("where_location", plugin::ToView(memory.where));
  }
  if ((memory.present & ENGRAM_SE_HAS_WHO) != 0) AppendWho(memory, object.Key("who"));
  AppendFloat(confidence, object.Key("confidence"));
  object.String("confidence_category", Category(confidence));
  object.Close();
}

// The candidates with their confidences: of a text match its score, else the memory's own (NaN
// until it is read).
Result<std::vector<Hit>> Candidates(plugin::Space& space, const ParsedQuery& query) {
  switch (query.verb) {
    case ParsedQuery::Verb::kRecallText:
      return FindHits(space, {query.subject, std::nullopt}, kTextThreshold,
                      static_cast<uint32_t>(query.limit));
    case ParsedQuery::Verb::kRecallId:
      return std::vector<Hit>{{query.subject, -1.0f}};
    default:
      break;
  }
  std::vector<Hit> reached;
  ENGRAM_TRY(
      space.Traverse(query.subject, static_cast<uint32_t>(query.hops), [&](std::string_view id) {
        reached.push_back({std::string(id), -1.0f});
        return reached.size() < query.limit;
      }));
  return reached;
}

struct Found {
  std::string episodes;  // items separated by commas
  std::vector<float> confidences;
};

Result<Found> Run(plugin::Space& space, const ParsedQuery& query) {
  ENGRAM_ASSIGN_OR_RETURN(const std::vector<Hit> hits, Candidates(space, query));
  Found found;
  ENGRAM_TRY(VisitHits(space, hits, [&](const Hit& hit, const engram_se_memory& memory) {
    const float confidence = hit.score >= 0 ? hit.score : memory.confidence_encoding;
    const bool wanted = !query.confidence_above || confidence > *query.confidence_above;
    if (!wanted || found.confidences.size() == query.limit) return true;
    if (!found.episodes.empty()) found.episodes += ',';
    AppendEpisode(memory, confidence, &found.episodes);
    found.confidences.push_back(confidence);
    return true;
  }));
  return found;
}

// True if the query is about one id that is not there and may still come in.
Result<bool> WaitsForItsSubject(ServedSpace& space, const ParsedQuery& query) {
  if (query.verb == ParsedQuery::Verb::kRecallText || !space.arriving) return false;
  ENGRAM_ASSIGN_OR_RETURN(const bool here, space.space->Contains(query.subject));
  return !here;
}

std::string QueryResult(const Found& found, uint64_t elapsed_ms) {
  float lower = 0, mean = 0, upper = 0;
  if (!found.confidences.empty()) {
    const auto [low, high] =
        std::minmax_element(found.confidences.begin(), found.confidences.end());
    lower = *low;
    upper = *high;
    double sum = 0;
    for (const float confidence : found.confidences) sum += confidence;
    mean = std::clamp(static_cast<float>(sum / static_cast<double>(found.confidences.size())),
                      lower, upper);
  }
  std::string body = R"({"episodes":[)" + found.episodes + R"(],"aggregate_confidence":)";
  ObjectText interval(&body);
  AppendFloat(lower, interval.Key("lower_bound"));
  AppendFloat(mean, interval.Key("mean"));
  AppendFloat(upper, interval.Key("upper_bound"));
  AppendFloat(upper - lower, interval.Key("width"));
  interval.Close();
  body += R"(,"total_count":)" + std::to_string(found.confidences.size());
  body += R"(,"execution_time_ms":)" + std::to_string(elapsed_ms) + "}";
  return body;
}

class QueryRoutes {
 public:
  explicit QueryRoutes(const ApiContext& context) : api_(context) {}

  Response Handle(const Request& request) const {
    QueryBody body;
    if (const auto refused = ReadQueryBody(request, &body)) return ToResponse(*refused);
    const auto query = ParseQueryText(*body.text);
    if (!query) return ToResponse(query.error());
    const uint64_t start_ns = api_.context.clock.MonotonicNs();
    const auto read = SpaceToRead(api_, request, body.space, SpaceOrder::kBodyFirst);
    if (!read) return read.error();
    Found found;
    if (read->space != nullptr) {
      const auto waits = WaitsForItsSubject(*read->space, *query);
      if (!waits.ok()) return StatusResponse(waits.status());
      if (*waits) return NotHereYet(query->subject);
      auto run = Run(*read->space->space, *query);
      if (!run.ok()) return SearchFailed(run.status());
      found = std::move(*run);
    }
    const uint64_t elapsed_ms = (api_.context.clock.MonotonicNs() - start_ns) / 1'000'000;
    return Response::Json(200, QueryResult(found, elapsed_ms));
  }

 private:
  const ApiGroup api_;
};

}  // namespace

void AddQueryRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const QueryRoutes>(context);
  AddMeasured(context, router, "query",
              {Method::kPost, "/api/v1/query", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Handle(request); },
               /*takes_json=*/true});
}

}  // namespace engram::server
