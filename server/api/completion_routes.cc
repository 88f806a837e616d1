// POST /api/v1/complete: fills what a partial episode lacks from the stored memories most like it.
#include <algorithm>
#include <map>
#include <memory>

#include "base/json_text.h"
#include "server/api/handling.h"
#include "server/api/json_body.h"
#include "server/api/recall.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr float kDefaultCueStrength = 0.7f;
constexpr uint64_t kDefaultHypotheses = 3;
constexpr uint64_t kHypothesesMax = 100;

using Fields = std::map<std::string, std::string, std::less<>>;

struct CompleteBody {
  BodySpace space;
  bool has_episode = false, has_fields = false;
  Fields known;
  std::optional<std::vector<std::optional<float>>> embedding;
  std::optional<float> cue_strength, ca1_threshold;
  std::optional<uint64_t> num_hypotheses, max_iterations;
  std::optional<std::vector<std::string>> temporal_context;
};

Refused ReadFields(std::string_view key, JsonValue& value, CompleteBody* body) {
  body->has_fields = true;
  return ReadObject(key, value, [&](std::string_view name, JsonValue& item, bool*) {
    const std::string field(name);
    std::optional<std::string> text;
    auto refused = ReadText("known_fields." + field, item, &text);
    if (text) body->known[field] = std::move(*text);
    return refused;
  });
}

Refused ReadEpisode(std::string_view key, JsonValue& value, CompleteBody* body) {
  body->has_episode = true;
  return ReadObject(key, value, [&](std::string_view name, JsonValue& item, bool* known) {
    if (name == "known_fields") return ReadFields(name, item, body);
    if (name == "partial_embedding") return ReadSparseFloats(name, item, &body->embedding);
    if (name == "cue_strength") return ReadFloat(name, item, &body->cue_strength);
    if (name == "temporal_context") return ReadTexts(name, item, &body->temporal_context);
    *known = false;
    return Refused();
  });
}

Refused ReadConfig(std::string_view key, JsonValue& value, CompleteBody* body) {
  return ReadObject(key, value, [&](std::string_view name, JsonValue& item, bool* known) {
    if (name == "ca1_threshold") return ReadFloat(name, item, &body->ca1_threshold);
    if (name == "num_hypotheses") return ReadUnsigned(name, item, &body->num_hypotheses);
    if (name == "max_iterations") return ReadUnsigned(name, item, &body->max_iterations);
    *known = false;
    return Refused();
  });
}

size_t KnownDimensions(const CompleteBody& body) {
  if (!body.embedding) return 0;
  return static_cast<size_t>(std::count_if(body.embedding->begin(), body.embedding->end(),
                                           [](const auto& v) { return v.has_value(); }));
}

Refused CheckBody(const CompleteBody& body) {
  if (!body.has_episode || !body.has_fields) {
    return WrongShape("Missing 'partial_episode' with its 'known_fields'.",
                      "Provide {\"partial_episode\": {\"known_fields\": {\"what\": \"...\"}}}.");
  }
  const size_t dimensions = body.embedding ? body.embedding->size() : 0;
  if (dimensions != 0 && dimensions != std::tuple_size_v<Vector>) {
    return WrongShape("Partial embedding must have exactly 768 dimensions, got " +
                          std::to_string(dimensions) + ".",
                      "Provide 768 numbers, null where a dimension is unknown.");
  }
  if (body.known.empty() && KnownDimensions(body) == 0) {
    return WrongShape("Pattern completion needs something to start from.",
                      "Provide known_fields or numbers in partial_embedding.");
  }
  const float cue = body.cue_strength.value_or(kDefaultCueStrength);
  if (!(cue >= 0.0f && cue <= 1.0f)) {
    return WrongShape("Field 'cue_strength' must lie between 0 and 1.",
                      "Provide a cue_strength from 0 to 1.");
  }
  return std::nullopt;
}

Refused ReadCompleteBody(const Request& request, CompleteBody* body) {
  auto refused = ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
    if (key == "partial_episode") return ReadEpisode(key, value, body);
    if (key == "config" && value.type().value_unsafe() == simdjson::ondemand::json_type::object) {
      return ReadConfig(key, value, body);
    }
    if (key == "memory_space_id") return ReadText(key, value, &body->space.memory_space_id);
    if (key == "memory_space") return ReadText(key, value, &body->space.memory_space);
    *known = false;
    return Refused();
  });
  return refused ? refused : CheckBody(*body);
}

// The cue: what is known of the embedding, unknown dimensions as 0; without any the words of the
// known fields.
Cue CueOf(const CompleteBody& body) {
  Cue cue;
  if (KnownDimensions(body) > 0) {
    Vector& vector = cue.embedding.emplace();
    for (size_t i = 0; i < vector.size(); ++i) vector[i] = (*body.embedding)[i].value_or(0.0f);
    return cue;
  }
  const auto what = body.known.find("what");
  if (what != body.known.end()) {
    cue.text = what->second;
    return cue;
  }
  std::string text;
  for (const auto& [name, value] : body.known) text += (text.empty() ? "" : " ") + value;
  cue.text = std::move(text);
  return cue;
}

// An episode as the reply shows it, with the origin of each field.
struct Completed {
  std::string id, when, what;
  std::optional<std::string> where;
  std::optional<std::string> who_json;
  float confidence = 0;
  std::vector<std::pair<std::string, bool>> origin;  // field, true: given by the caller
};

std::optional<std::string> Known(const CompleteBody& body,
                                 std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const auto found = body.known.find(name);
    if (found != body.known.end()) return found->second;
  }
  return std::nullopt;
}

std::string OneText(const std::string& text) {
  std::string json = "[";
  AppendJsonString(text, &json);
  return json + "]";
}

// `memory` fills what is not known; null: nothing stored is like the cue.
Completed Complete(const CompleteBody& body, const Hit* hit, const engram_se_memory* memory) {
  Completed out;
  out.id = hit != nullptr ? hit->id : "completed";
  out.confidence = hit != nullptr ? std::clamp(hit->score, 0.0f, 1.0f) : 0.0f;
  const auto has = [&](uint64_t bit) { return memory != nullptr && (memory->present & bit) != 0; };
  const auto note = [&](const char* field, bool given) { out.origin.emplace_back(field, given); };
  if (auto what = Known(body, {"what", "content"})) {
    out.what = *what;
    note("what", true);
  } else if (has(ENGRAM_SE_HAS_CONTENT)) {
    out.what = plugin::ToView(memory->content);
    note("what", false);
  }
  if (auto when = Known(body, {"when"})) {
    out.when = *when;
    note("when", true);
  } else if (memory != nullptr && !ObservedAt(*memory).empty()) {
    out.when = ObservedAt(*memory);
    note("when", false);
  }
  if (auto where = Known(body, {"where", "where_location"})) {
    out.where = *where;
    note("where", true);
  } else if (has(ENGRAM_SE_HAS_WHERE)) {
    out.where = std::string(plugin::ToView(memory->where));
    note("where", false);
  }
  if (auto who = Known(body, {"who"})) {
    out.who_json = OneText(*who);
    note("who", true);
  } else if (has(ENGRAM_SE_HAS_WHO)) {
    AppendWho(*memory, &out.who_json.emplace());
    note("who", false);
  }
  return out;
}

void AppendEpisode(const Completed& episode, std::string* out) {
  ObjectText object(out);
  object.String("id", episode.id);
  object.String("when", episode.when);
  object.String("what", episode.what);
  episode.where ? object.String("where_location", *episode.where) : object.Null("where_location");
  episode.who_json ? void(*object.Key("who") += *episode.who_json) : object.Null("who");
  AppendFloat(episode.confidence, object.Key("encoding_confidence"));
  object.Close();
}

void AppendAttribution(const Completed& episode, float cue_strength, std::string* out) {
  ObjectText object(out);
  for (const auto& [field, given] : episode.origin) {
    ObjectText source(object.Key(field));
    source.String("source", given ? "Recalled" : "Reconstructed");
    AppendFloat(given ? cue_strength : episode.confidence, source.Key("confidence"));
    source.Close();
  }
  object.Close();
}

void AppendAlternatives(const std::vector<Completed>& episodes, std::string* out) {
  *out += '[';
  for (size_t i = 1; i < episodes.size(); ++i) {
    if (i > 1) *out += ',';
    ObjectText object(out);
    AppendEpisode(episodes[i], object.Key("episode"));
    AppendFloat(episodes[i].confidence, object.Key("confidence"));
    object.Close();
  }
  *out += ']';
}

// `episodes`: the best first, at least one.
std::string CompletionBody(const std::vector<Completed>& episodes, const std::vector<Hit>& sources,
                           float cue_strength) {
  const Completed& best = episodes.front();
  std::string body;
  ObjectText object(&body);
  AppendEpisode(best, object.Key("completed_episode"));
  AppendConfidence(best.confidence,
                   sources.empty() ? "Nothing stored is like the cue: only what was given"
                                   : "Similarity of the most similar memory to the cue",
                   object.Key("completion_confidence"));
  AppendAttribution(best, cue_strength, object.Key("source_attribution"));
  AppendAlternatives(episodes, object.Key("alternative_hypotheses"));
  AppendConfidence(best.confidence * cue_strength, "Completion confidence times cue strength",
                   object.Key("metacognitive_confidence"));
  ObjectText stats(object.Key("reconstruction_stats"));
  stats.Integer("ca3_iterations", 1);
  stats.Bool("convergence_achieved", true);
  std::string* list = stats.Key("pattern_sources");
  *list += '[';
  for (size_t i = 0; i < sources.size(); ++i) {
    if (i > 0) *list += ',';
    AppendJsonString(sources[i].id, list);
  }
  *list += ']';
  AppendFloat(best.confidence, stats.Key("plausibility_score"));
  stats.Close();
  object.Close();
  return body;
}

class CompletionRoutes {
 public:
  explicit CompletionRoutes(const ApiContext& context) : api_(context) {}

  Response Handle(const Request& request) const {
    CompleteBody body;
    if (const auto refused = ReadCompleteBody(request, &body)) return ToResponse(*refused);
    const auto read = SpaceToRead(api_, request, body.space);
    if (!read) return read.error();
    std::vector<Hit> hits;
    std::vector<Completed> episodes;
    if (read->space != nullptr) {
      plugin::Space& space = *read->space->space;
      const uint64_t wanted =
          std::min(body.num_hypotheses.value_or(kDefaultHypotheses), kHypothesesMax);
      auto found = FindHits(space, CueOf(body), 0.0f, static_cast<uint32_t>(wanted) + 1);
      if (!found.ok()) return SearchFailed(found.status());
      hits = std::move(*found);
      const Status status =
          VisitHits(space, hits, [&](const Hit& hit, const engram_se_memory& memory) {
            episodes.push_back(Complete(body, &hit, &memory));
            return true;
          });
      if (!status.ok()) return StatusResponse(status);
    }
    if (episodes.empty()) episodes.push_back(Complete(body, nullptr, nullptr));
    return Response::Json(
        200, CompletionBody(episodes, hits, body.cue_strength.value_or(kDefaultCueStrength)));
  }

 private:
  const ApiGroup api_;
};

}  // namespace

void AddCompletionRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const CompletionRoutes>(context);
  AddMeasured(context, router, "complete",
              {Method::kPost, "/api/v1/complete", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->Handle(request); },
               /*takes_json=*/true});
}

}  // namespace engram::server
