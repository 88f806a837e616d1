#include "server/api/recall.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/utf8.h"
#include "server/api/kept_fields.h"
#include "server/api/query_params.h"
#include "server/api/record_text.h"

namespace engram::server {
namespace {

using plugin::ToView;

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = TrimWhitespace(text.substr(0, comma));
    if (!part.empty()) parts.emplace_back(part);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return parts;
}

Refused ReadTime(const Request& request, std::string_view name, std::optional<TimePoint>* out) {
  const auto text = request.Query(name);
  if (!text) return std::nullopt;
  *out = ParseTime(*text);
  if (*out) return std::nullopt;
  return BadRequest("Query parameter '" + std::string(name) + "' is '" + Shown(*text) +
                        "', expected an RFC 3339 time.",
                    "Send it like 2025-10-21T18:29:18Z.");
}

bool InTime(const engram_se_memory& memory, const RecallFilter& filter) {
  if (!filter.from && !filter.to) return true;
  const auto observed = ParseTime(ObservedAt(memory));
  if (!observed) return false;
  return (!filter.from || *observed >= *filter.from) && (!filter.to || *observed <= *filter.to);
}

bool AtLocation(const engram_se_memory& memory, const RecallFilter& filter) {
  if (!filter.location) return true;
  if ((memory.present & ENGRAM_SE_HAS_WHERE) == 0) return false;
  return LowerAscii(ToView(memory.where)).find(LowerAscii(*filter.location)) != std::string::npos;
}

}  // namespace

Refused ReadCue(const Request& request, Cue* out) {
  const auto text = request.Query("query");
  if (text && !IsValidUtf8(*text)) {
    return InvalidInput("Query parameter 'query' is not valid UTF-8.",
                        "Percent-encode the UTF-8 bytes of the text.");
  }
  if (text && !TrimWhitespace(*text).empty()) {
    out->text = std::string(*text);
    return std::nullopt;
  }
  if (auto refused = QueryEmbedding(request, &out->embedding)) return refused;
  if (out->embedding) return std::nullopt;
  return InvalidInput("Recall requires either a text query or embedding vector.",
                      "Add ?query=<text>, or ?embedding=<JSON array of 768 numbers>.");
}

Refused ReadFilter(const Request& request, RecallFilter* out) {
  if (const auto tags = request.Query("required_tags")) out->required_tags = SplitAtCommas(*tags);
  if (const auto tags = request.Query("excluded_tags")) out->excluded_tags = SplitAtCommas(*tags);
  if (const auto location = request.Query("location")) out->location = std::string(*location);
  if (auto refused = ReadTime(request, "from_time", &out->from)) return refused;
  return ReadTime(request, "to_time", &out->to);
}

bool RecallFilter::Accepts(const engram_se_memory& memory) const {
  const auto has = [&](const std::string& tag) { return HasTag(memory, tag); };
  return std::all_of(required_tags.begin(), required_tags.end(), has) &&
         std::none_of(excluded_tags.begin(), excluded_tags.end(), has) && InTime(memory, *this) &&
         AtLocation(memory, *this);
}

Result<std::vector<Hit>> FindHits(plugin::Space& space, const Cue& cue, float threshold,
                                  uint32_t k) {
  std::vector<Hit> hits;
  const plugin::ScoredVisitor visit = [&](std::string_view id, float score) {
    if (!(score >= threshold)) return false;
    hits.push_back({std::string(id), score});
    return true;
  };
  if (k == 0) return hits;
  ENGRAM_TRY(cue.text ? space.SearchText(*cue.text, threshold, k, visit)
                      : space.Search(cue.embedding->data(), k, visit));
  return hits;
}

Status VisitHits(plugin::Space& space, const std::vector<Hit>& hits,
                 const std::function<bool(const Hit&, const engram_se_memory&)>& visit) {
  for (const Hit& hit : hits) {
    bool go_on = true;
    const Status status = space.Retrieve(hit.id, false, [&](const engram_se_memory& memory) {
      go_on = visit(hit, memory);
      return false;
    });
    if (!go_on) break;
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
  }
  return Status::Ok();
}

Response SearchFailed(const Status& status) {
  if (status.code() != StatusCode::kUnsupported) return StatusResponse(status);
  return ErrorResponse(501, "NOT_IMPLEMENTED", "The storage engine has no such search.",
                       "Use an engine that has this search: storage.engine = \"dual\".");
}

}  // namespace engram::server
