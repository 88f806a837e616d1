// GET /api/v1/memories/search by text, and POST /api/v1/memories/recognize: is it known already?
#include <algorithm>
#include <memory>

#include "base/json_text.h"
#include "base/utf8.h"
#include "server/api/handling.h"
#include "server/api/json_body.h"
#include "server/api/query_params.h"
#include "server/api/recall.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr uint64_t kDefaultLimit = 10;
constexpr uint64_t kLimitMax = 1000;
constexpr float kSearchThreshold = 0.7f;
constexpr float kRecognitionThreshold = 0.8f;
constexpr uint32_t kPatternsMax = 5;

struct RecognizeBody {
  BodySpace space;
  std::optional<std::string> input;
  std::optional<std::vector<float>> embedding;
  std::optional<float> threshold;
};

Refused ReadRecognizeBody(const Request& request, RecognizeBody* body, Cue* cue) {
  auto refused = ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
    if (key == "input") return ReadText(key, value, &body->input);
    if (key == "embedding") return ReadFloats(key, value, &body->embedding);
    if (key == "threshold") return ReadFloat(key, value, &body->threshold);
    if (key == "memory_space_id") return ReadText(key, value, &body->space.memory_space_id);
    if (key == "memory_space") return ReadText(key, value, &body->space.memory_space);
    *known = false;
    return Refused();
  });
  if (refused) return refused;
  if (body->embedding) return ToVector(*body->embedding, &cue->embedding.emplace());
  if (!body->input || TrimWhitespace(*body->input).empty()) {
    return InvalidInput("Recognition requires an 'input' text or an 'embedding'.",
                        "Send {\"input\": \"<text>\"}.");
  }
  cue->text = body->input;
  return std::nullopt;
}

class SearchRoutes {
 public:
  explicit SearchRoutes(const ApiContext& context) : api_(context) {}

  Response Search(const Request& request) const {
    uint64_t limit = kDefaultLimit;
    const auto text = request.Query("query");
    if (!text || text->empty() || !IsValidUtf8(*text)) {
      return ToResponse(InvalidInput("Missing 'query' parameter: the text to look for, in UTF-8.",
                                     "Use GET /api/v1/memories/search?query=<text>."));
    }
    if (const auto refused = QueryUnsigned(request, "limit", &limit)) return ToResponse(*refused);
    limit = std::min(limit, kLimitMax);
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    std::string body = R"({"memories":[)";
    uint64_t total = 0;
    if (read->space != nullptr) {
      plugin::Space& space = *read->space->space;
      const Cue cue{std::string(*text), std::nullopt};
      const auto hits = FindHits(space, cue, kSearchThreshold, static_cast<uint32_t>(limit));
      if (!hits.ok()) return SearchFailed(hits.status());
      const Status status =
          VisitHits(space, *hits, [&](const Hit& hit, const engram_se_memory& memory) {
            if (total++ > 0) body += ',';
            AppendRecord(memory, {}, &body);
            body.pop_back();
            body += R"(,"score":)";
            AppendFloat(hit.score, &body);
            body += '}';
            return true;
          });
      if (!status.ok()) return StatusResponse(status);
    }
    body += R"(],"total":)" + std::to_string(total) + "}";
    return Response::Json(200, std::move(body));
  }

  Response Recognize(const Request& request) const {
    RecognizeBody body;
    Cue cue;
    if (const auto refused = ReadRecognizeBody(request, &body, &cue)) return ToResponse(*refused);
    const auto read = SpaceToRead(api_, request, body.space);
    if (!read) return read.error();
    std::vector<Hit> hits;
    if (read->space != nullptr) {
      auto found = FindHits(*read->space->space, cue, 0.0f, kPatternsMax);
      if (!found.ok()) return SearchFailed(found.status());
      hits = std::move(*found);
    }
    return Response::Json(200, Recognized(hits, body.threshold.value_or(kRecognitionThreshold)));
  }

 private:
  static std::string Recognized(const std::vector<Hit>& hits, float threshold) {
    const float best = hits.empty() ? 0.0f : std::clamp(hits.front().score, 0.0f, 1.0f);
    const bool recognized = !hits.empty() && best >= threshold;
    std::string out;
    ObjectText object(&out);
    object.Bool("recognized", recognized);
    AppendConfidence(best, "Score of the most similar memory",
                     object.Key("recognition_confidence"));
    AppendFloat(best, object.Key("familiarity_score"));
    std::string* patterns = object.Key("similar_patterns");
    *patterns += '[';
    for (size_t i = 0; i < hits.size(); ++i) {
      if (i > 0) *patterns += ',';
      ObjectText pattern(patterns);
      pattern.String("memory_id", hits[i].id);
      AppendFloat(hits[i].score, pattern.Key("similarity_score"));
      pattern.Close();
    }
    *patterns += ']';
    object.String("system_message", recognized ? "A stored memory is as similar as asked for."
                                               : "No stored memory is as similar as asked for.");
    object.Close();
    return out;
  }

  const ApiGroup api_;
};

}  // namespace

void AddSearchRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const SearchRoutes>(context);
  AddMeasured(context, router, "search",
              {Method::kGet, "/api/v1/memories/search", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Search(request); }});
  AddMeasured(context, router, "recognize",
              {Method::kPost, "/api/v1/memories/recognize", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Recognize(request); },
               /*takes_json=*/true});
}

}  // namespace engram::server
