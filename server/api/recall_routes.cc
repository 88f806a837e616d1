// GET /api/v1/memories/recall and /api/v1/query/probabilistic: memories by what they are like.
#include <algorithm>
#include <memory>

#include "base/json_text.h"
#include "server/api/handling.h"
#include "server/api/kept_fields.h"
#include "server/api/query_params.h"
#include "server/api/recall.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr uint64_t kDefaultResults = 10;
constexpr uint64_t kResultsMax = 1000;
constexpr uint32_t kFilteredHitsMax = 10'000;  // looked at when a filter is given
constexpr float kDefaultThreshold = 0.5f;
constexpr float kVividAbove = 0.7f;
constexpr uint64_t kMediumLoadAbove = 20;

struct RecallQuery {
  Cue cue;
  RecallFilter filter;
  uint64_t max_results = kDefaultResults;
  float threshold = kDefaultThreshold;
  bool include_metadata = false, trace_activation = false;

  bool by_text() const { return cue.text.has_value(); }
};

Refused ReadMode(const Request& request) {
  const auto mode = request.Query("mode");
  if (!mode || *mode == "similarity") return std::nullopt;
  if (*mode == "spreading" || *mode == "hybrid") {
    return InvalidInput("Recall mode '" + std::string(*mode) +
                            "' is not available: no spreading engine is attached.",
                        "Use mode=similarity; GET /api/v1/memories/{id}/traverse follows edges.");
  }
  return InvalidInput(
      "Recall mode is '" + Shown(*mode) + "', expected similarity, spreading or hybrid.",
      "Use mode=similarity, or leave 'mode' out.");
}

Refused ReadQuery(const Request& request, RecallQuery* out) {
  if (auto refused = ReadCue(request, &out->cue)) return refused;
  if (auto refused = QueryUnsigned(request, "max_results", &out->max_results)) return refused;
  out->max_results = std::min(out->max_results, kResultsMax);
  if (auto refused = QueryFloat(request, "threshold", &out->threshold)) return refused;
  return ReadFilter(request, &out->filter);
}

// "Episodic": the word of the typed replies.
std::string TypeWord(const engram_se_memory& memory) {
  std::string word(MemoryType(memory));
  word[0] = static_cast<char>(word[0] - 'a' + 'A');
  return word;
}

std::string Explanation(bool by_text, float score) {
  if (!by_text) return "Cosine similarity of its embedding to the query";
  if (score >= 1.0f) return "Its content contains the query";
  return score >= 0.8f ? "The query contains its content" : "It shares words with the query";
}

void AppendMemoryResult(const Hit& hit, const engram_se_memory& memory, bool by_text,
                        std::string* out) {
  ObjectText object(out);
  object.String("id", plugin::ToView(memory.id));
  AppendText(memory.content, (memory.present & ENGRAM_SE_HAS_CONTENT) != 0, object.Key("content"));
  AppendConfidence(std::clamp(hit.score, 0.0f, 1.0f),
                   by_text ? "Match of the text" : "Similarity of the embeddings",
                   object.Key("confidence"));
  AppendFloat(hit.score, object.Key("activation_level"));
  AppendFloat(hit.score, object.Key("similarity_score"));
  object.String("retrieval_path", "Memory store recall");
  AppendTime(ObservedAt(memory), object.Key("observed_at"));
  AppendText(memory.last_access, (memory.present & ENGRAM_SE_HAS_LAST_ACCESS) != 0,
             object.Key("last_access"));
  *object.Key("tags") += TagsJson(memory);
  object.String("memory_type", TypeWord(memory));
  object.String("relevance_explanation", Explanation(by_text, hit.score));
  object.Close();
}

// What a recall found, rendered.
struct Recalled {
  std::string vivid, associated;  // items separated by commas
  std::vector<float> scores;      // best first

  std::string All() const {
    return vivid + (vivid.empty() || associated.empty() ? "" : ",") + associated;
  }
  float best() const { return scores.empty() ? 0 : std::clamp(scores.front(), 0.0f, 1.0f); }
};

Result<Recalled> Recall(plugin::Space& space, const RecallQuery& query) {
  const auto k = static_cast<uint32_t>(query.max_results);
  ENGRAM_ASSIGN_OR_RETURN(
      const std::vector<Hit> hits,
      FindHits(space, query.cue, query.threshold, query.filter.empty() ? k : kFilteredHitsMax));
  Recalled recalled;
  ENGRAM_TRY(VisitHits(space, hits, [&](const Hit& hit, const engram_se_memory& memory) {
    if (recalled.scores.size() == k) return false;
    if (!query.filter.empty() && !query.filter.Accepts(memory)) return true;
    std::string& list = hit.score > kVividAbove ? recalled.vivid : recalled.associated;
    if (!list.empty()) list += ',';
    AppendMemoryResult(hit, memory, query.by_text(), &list);
    recalled.scores.push_back(hit.score);
    return true;
  }));
  return recalled;
}

void AppendAnalysis(const RecallQuery& query, std::string* out) {
  ObjectText object(out);
  object.String("understood_intent",
                query.by_text() ? *query.cue.text : "Embedding-based recall request");
  object.String("search_strategy", query.by_text() ? "Text containment and shared words"
                                                   : "Exact cosine over all embeddings");
  object.String("cognitive_load", query.max_results > kMediumLoadAbove ? "Medium" : "Low");
  *object.Key("suggestions") +=
      query.trace_activation ? R"(["GET /api/v1/memories/{id}/traverse shows what is linked"])"
                             : R"(["Lower the threshold to see weaker matches"])";
  object.Close();
}

class RecallRoutes {
 public:
  explicit RecallRoutes(const ApiContext& context) : api_(context) {}

  Response Handle(const Request& request) const {
    RecallQuery query;
    if (const auto refused = ReadMode(request)) return ToResponse(*refused);
    if (const auto refused = ReadQuery(request, &query)) return ToResponse(*refused);
    if (const auto refused = QueryBool(request, "include_metadata", &query.include_metadata)) {
      return ToResponse(*refused);
    }
    if (const auto refused = QueryBool(request, "trace_activation", &query.trace_activation)) {
      return ToResponse(*refused);
    }
    const uint64_t start_ns = api_.context.clock.MonotonicNs();
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    Recalled recalled;
    uint64_t searched = 0;
    if (read->space != nullptr) {
      auto found = Recall(*read->space->space, query);
      if (!found.ok()) return SearchFailed(found.status());
      recalled = std::move(*found);
      const auto count = read->space->space->Count();
      if (!count.ok()) return StatusResponse(count.status());
      searched = *count;
    }
    const uint64_t elapsed_ms = (api_.context.clock.MonotonicNs() - start_ns) / 1'000'000;
    return Response::Json(200, RecallBody(query, recalled, searched, elapsed_ms));
  }

  Response Probabilistic(const Request& request) const {
    RecallQuery query;
    bool evidence = false, uncertainty = false;
    if (const auto refused = ReadQuery(request, &query)) return ToResponse(*refused);
    if (const auto refused = QueryBool(request, "include_evidence", &evidence)) {
      return ToResponse(*refused);
    }
    if (const auto refused = QueryBool(request, "include_uncertainty", &uncertainty)) {
      return ToResponse(*refused);
    }
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    Recalled recalled;
    if (read->space != nullptr) {
      auto found = Recall(*read->space->space, query);
      if (!found.ok()) return SearchFailed(found.status());
      recalled = std::move(*found);
    }
    return Response::Json(200, ProbabilisticBody(query, recalled, evidence, uncertainty));
  }

 private:
  static std::string RecallBody(const RecallQuery& query, const Recalled& recalled,
                                uint64_t searched, uint64_t elapsed_ms) {
    std::string body;
    body.reserve(recalled.vivid.size() + recalled.associated.size() + 1024);
    body += R"({"memories":{"vivid":[)" + recalled.vivid + R"(],"associated":[)" +
            recalled.associated + R"(],"reconstructed":[]},"recall_confidence":)";
    AppendConfidence(recalled.best(), "Score of the best match", &body);
    body += R"(,"query_analysis":)";
    AppendAnalysis(query, &body);
    body += R"(,"metadata":)";
    if (query.include_metadata) {
      ObjectText metadata(&body);
      metadata.Integer("total_memories_searched", searched);
      metadata.Integer("activation_spread_hops", 0);
      metadata.Integer("processing_time_ms", elapsed_ms);
      metadata.String("memory_system_load", "Normal");
      metadata.Close();
    } else {
      body += "null";
    }
    body += R"(,"system_message":)";
    AppendJsonString("Recall completed in " + std::to_string(elapsed_ms) + "ms. Found " +
                         std::to_string(recalled.scores.size()) + " memories.",
                     &body);
    return body + "}";
  }

  static void AppendInterval(const std::vector<float>& scores, std::string* out) {
    float lower = 0, upper = 0, point = 0;
    if (!scores.empty()) {
      double sum = 0;
      for (const float score : scores) sum += std::clamp(score, 0.0f, 1.0f);
      point = static_cast<float>(sum / static_cast<double>(scores.size()));
      upper = std::clamp(scores.front(), 0.0f, 1.0f);
      lower = std::clamp(scores.back(), 0.0f, 1.0f);
      point = std::clamp(point, lower, upper);
    }
    ObjectText object(out);
    AppendFloat(lower, object.Key("lower"));
    AppendFloat(upper, object.Key("upper"));
    AppendFloat(point, object.Key("point"));
    AppendFloat(upper - lower, object.Key("width"));
    object.Close();
  }

  static void AppendEvidence(const RecallQuery& query, const Recalled& recalled, std::string* out) {
    *out += '[';
    for (size_t i = 0; i < recalled.scores.size(); ++i) {
      if (i > 0) *out += ',';
      ObjectText object(out);
      object.String("source_type", query.by_text() ? "direct_match" : "vector_similarity");
      AppendFloat(recalled.scores[i], object.Key("strength"));
      object.String("description", Explanation(query.by_text(), recalled.scores[i]));
      object.Close();
    }
    *out += ']';
  }

  static void AppendUncertainty(const Recalled& recalled, std::string* out) {
    const float spread =
        recalled.scores.empty() ? 1.0f : recalled.scores.front() - recalled.scores.back();
    *out += '[';
    ObjectText object(out);
    object.String("source_type", "measurement_error");
    AppendFloat(spread, object.Key("impact"));
    object.String("explanation", recalled.scores.empty()
                                     ? "Nothing stored matches the query"
                                     : "The scores of what was found lie this far apart");
    object.Close();
    *out += ']';
  }

  static std::string ProbabilisticBody(const RecallQuery& query, const Recalled& recalled,
                                       bool evidence, bool uncertainty) {
    const std::string items = recalled.All();
    std::string body =
        R"({"memories":[)" + items + R"(],"results":[)" + items + R"(],"confidence_interval":)";
    AppendInterval(recalled.scores, &body);
    body += R"(,"evidence_chain":)";
    evidence ? AppendEvidence(query, recalled, &body) : void(body += "null");
    body += R"(,"uncertainty_sources":)";
    uncertainty ? AppendUncertainty(recalled, &body) : void(body += "null");
    body += R"(,"system_message":)";
    AppendJsonString(
        "Probabilistic query found " + std::to_string(recalled.scores.size()) + " memories.",
        &body);
    return body + "}";
  }

  const ApiGroup api_;
};

}  // namespace

void AddRecallRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const RecallRoutes>(context);
  AddMeasured(context, router, "recall",
              {Method::kGet, "/api/v1/memories/recall", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Handle(request); }});
  AddMeasured(context, router, "query",
              {Method::kGet, "/api/v1/query/probabilistic", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Probabilistic(request); }});
  AddSearchRoutes(context, router);
  AddQueryRoutes(context, router);
  AddConsolidationRoutes(context, router);
}

}  // namespace engram::server
