// GET /api/v1/consolidations: the Concepts of a space with the episodes they were distilled from.
#include <algorithm>
#include <memory>

#include "base/json_text.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/handling.h"
#include "server/api/query_params.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr uint64_t kDefaultPatterns = 100;
constexpr uint64_t kDefaultEpisodes = 10;
constexpr uint64_t kMax = 1000;
constexpr size_t kPreviewSizeBytesMax = 160;

struct Concept {
  std::string id, formed_at;
  float strength = 0, coherence = 0;
  uint32_t instances = 0;
};

Concept ToConcept(const engram_se_memory& memory) {
  const bool has_strength = (memory.present & ENGRAM_SE_HAS_STRENGTH) != 0;
  return {
      std::string(plugin::ToView(memory.id)), std::string(plugin::ToView(memory.formation_time)),
      has_strength ? memory.strength : memory.coherence, memory.coherence, memory.instance_count};
}

// The episodes of one Concept, rendered.
struct Citations {
  std::string items;
  uint64_t count = 0;
  double confidence_sum = 0;
  std::optional<TimePoint> newest;
};

std::string Preview(std::string_view content) {
  if (content.size() <= kPreviewSizeBytesMax) return std::string(content);
  size_t end = kPreviewSizeBytesMax;
  while (end > 0 && (static_cast<uint8_t>(content[end]) & 0xC0) == 0x80) --end;
  return std::string(content.substr(0, end)) + "...";
}

void AppendCitation(const engram_se_memory& memory, Citations* out) {
  if (out->count++ > 0) out->items += ',';
  const auto time = [&](engram_se_bytes text, uint64_t bit) {
    return (memory.present & bit) != 0 ? plugin::ToView(text) : std::string_view();
  };
  ObjectText object(&out->items);
  object.String("episode_id", plugin::ToView(memory.id));
  AppendTime(ObservedAt(memory), object.Key("observed_at"));
  AppendTime(time(memory.created_at, ENGRAM_SE_HAS_CREATED_AT), object.Key("stored_at"));
  AppendTime(time(memory.last_access, ENGRAM_SE_HAS_LAST_ACCESS), object.Key("last_access"));
  AppendFloat(memory.confidence_encoding, object.Key("encoding_confidence"));
  object.Integer("reinforcement_count", memory.recall_count);
  object.String("content_preview", Preview(plugin::ToView(memory.content)));
  object.Close();
  out->confidence_sum += memory.confidence_encoding;
  const auto observed = ParseTime(ObservedAt(memory));
  if (observed && (!out->newest || *observed > *out->newest)) out->newest = observed;
}

Result<Citations> ReadCitations(plugin::Space& space, const std::string& concept_id, uint64_t max) {
  std::vector<std::string> episodes;
  ENGRAM_TRY(space.EpisodesOf(concept_id, [&](std::string_view id, float, float) {
    if (episodes.size() < max) episodes.emplace_back(id);
    return episodes.size() < max;
  }));
  Citations citations;
  for (const std::string& id : episodes) {
    const Status status = space.Retrieve(id, false, [&](const engram_se_memory& memory) {
      AppendCitation(memory, &citations);
      return false;
    });
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
  }
  return citations;
}

// Hours between the newest cited observation and the formation; 0 if either is unknown.
double FreshnessHours(const Concept& formed, const Citations& citations) {
  const auto formation = ParseTime(formed.formed_at);
  if (!formation || !citations.newest) return 0;
  constexpr double kSecondsPerHour = 3600;
  return static_cast<double>(formation->unix_seconds - citations.newest->unix_seconds) /
         kSecondsPerHour;
}

void AppendBelief(const Concept& formed, const Citations& citations, std::string* out) {
  ObjectText object(out);
  object.String("id", formed.id);
  AppendFloat(formed.strength, object.Key("strength"));
  AppendConfidence(formed.coherence, "Coherence of the concept", object.Key("schema_confidence"));
  AppendTime(formed.formed_at, object.Key("last_consolidated"));
  *object.Key("citations") += '[' + citations.items + ']';
  ObjectText stats(object.Key("stats"));
  stats.Integer("episode_count", formed.instances);
  const double average =
      citations.count == 0 ? 0 : citations.confidence_sum / static_cast<double>(citations.count);
  AppendFloat(static_cast<float>(average), stats.Key("average_source_confidence"));
  AppendFloat(static_cast<float>(FreshnessHours(formed, citations)), stats.Key("freshness_hours"));
  stats.Close();
  object.Close();
}

class ConsolidationRoutes {
 public:
  explicit ConsolidationRoutes(const ApiContext& context)
      : api_(context), serving_(context.spaces.engine().plugin().Has(ENGRAM_SE_CAP_SERVING)) {}

  Response All(const Request& request) const {
    uint64_t max_episodes = kDefaultEpisodes, max_patterns = kDefaultPatterns;
    if (const auto refused = QueryUnsigned(request, "max_episodes", &max_episodes)) {
      return ToResponse(*refused);
    }
    if (const auto refused = QueryUnsigned(request, "max_patterns", &max_patterns)) {
      return ToResponse(*refused);
    }
    max_episodes = std::min(max_episodes, kMax);
    max_patterns = std::min(max_patterns, kMax);
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    std::vector<Concept> concepts;
    if (read->space != nullptr) {
      const Status status = FindConcepts(*read->space->space, max_patterns, &concepts);
      if (!status.ok()) return StatusResponse(status);
    }
    return Summary(read->space, concepts, max_episodes);
  }

  Response One(const Request& request) const {
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    const std::string_view id = request.PathParam("id");
    std::vector<Concept> concepts;
    if (read->space != nullptr) {
      const Status status =
          read->space->space->Retrieve(id, false, [&](const engram_se_memory& memory) {
            if (memory.node_type == ENGRAM_SE_NODE_CONCEPT) concepts.push_back(ToConcept(memory));
            return false;
          });
      if (!status.ok() && status.code() != StatusCode::kNotFound) return StatusResponse(status);
    }
    if (concepts.empty()) {
      return ErrorResponse(404, "CONSOLIDATION_NOT_FOUND",
                           "Consolidation '" + Shown(id) + "' not found.",
                           "GET /api/v1/consolidations lists the ids.");
    }
    return Summary(read->space, concepts, kMax);
  }

 private:
  Status FindConcepts(plugin::Space& space, uint64_t max, std::vector<Concept>* out) const {
    if (serving_) {  // most spaces have none: spares the scan
      ENGRAM_ASSIGN_OR_RETURN(const engram_se_figures figures, space.Figures());
      max = std::min<uint64_t>(max, figures.concept_count);
    }
    if (max == 0) return Status::Ok();
    return space.Scan({}, [&](const engram_se_memory& memory) {
      if (memory.node_type == ENGRAM_SE_NODE_CONCEPT) out->push_back(ToConcept(memory));
      return out->size() < max;
    });
  }

  Response Summary(const SpaceHandle& space, const std::vector<Concept>& concepts,
                   uint64_t max_episodes) const {
    const TimePoint now = Now(api_.context.clock);
    std::string body;
    ObjectText object(&body);
    object.String("generated_at", FormatTime(now.unix_seconds, now.nanos));
    std::string* beliefs = object.Key("beliefs");
    *beliefs += '[';
    for (size_t i = 0; i < concepts.size(); ++i) {
      if (i > 0) *beliefs += ',';
      const auto citations = ReadCitations(*space->space, concepts[i].id, max_episodes);
      if (!citations.ok()) return StatusResponse(citations.status());
      AppendBelief(concepts[i], *citations, beliefs);
    }
    *beliefs += ']';
    // This engine replays nothing: patterns come from typed writes.
    *object.Key("stats") +=
        R"({"total_replays":0,"successful_consolidations":0,"failed_consolidations":0,)"
        R"("average_replay_speed":0.0,"total_patterns_extracted":)" +
        std::to_string(concepts.size()) +
        R"(,"avg_ripple_frequency":0.0,"avg_ripple_duration":0.0,"last_replay_timestamp":null})";
    object.Close();
    return Response::Json(200, std::move(body));
  }

  const ApiGroup api_;
  const bool serving_;
};

}  // namespace

void AddConsolidationRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const ConsolidationRoutes>(context);
  AddMeasured(context, router, "consolidations",
              {Method::kGet, "/api/v1/consolidations", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->All(request); }});
  AddMeasured(context, router, "consolidations",
              {Method::kGet, "/api/v1/consolidations/{id}", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->One(request); }});
}

}  // namespace engram::server
