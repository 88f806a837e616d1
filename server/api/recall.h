// Finding memories by a cue: shared by recall, search, the query language and completion.
#ifndef ENGRAM_SERVER_API_RECALL_H_
#define ENGRAM_SERVER_API_RECALL_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/rfc3339.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/refusal.h"
#include "server/graph/text_vector.h"
#include "server/http/message.h"

namespace engram::server {

// A text wins over a vector, as upstream has it.
struct Cue {
  std::optional<std::string> text;
  std::optional<Vector> embedding;
};

// From `query` and `embedding`. 400 without either, for a text that is not UTF-8 and for an
// embedding that is none.
Refused ReadCue(const Request& request, Cue* out);

struct Hit {
  std::string id;
  float score = 0;  // of a text upstream's rule (1.0, 0.8, Jaccard index), of a vector the cosine
};

// What a found memory must be besides near. Every part may be absent.
struct RecallFilter {
  std::vector<std::string> required_tags, excluded_tags;
  std::optional<TimePoint> from, to;    // of the observation, both included
  std::optional<std::string> location;  // contained in `where`, without regard to ASCII case

  bool empty() const {
    return required_tags.empty() && excluded_tags.empty() && !from && !to && !location;
  }
  bool Accepts(const engram_se_memory& memory) const;
};
// From required_tags, excluded_tags (separated by commas), from_time, to_time, location.
Refused ReadFilter(const Request& request, RecallFilter* out);

// The best `k` whose score is at least `threshold`, best first.
Result<std::vector<Hit>> FindHits(plugin::Space& space, const Cue& cue, float threshold,
                                  uint32_t k);

// Calls `visit` with the record of each hit that is still there, in order, until it returns false.
Status VisitHits(plugin::Space& space, const std::vector<Hit>& hits,
                 const std::function<bool(const Hit&, const engram_se_memory&)>& visit);

// The response to a failed search: 501 if the engine has no such search, else StatusResponse.
Response SearchFailed(const Status& status);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_RECALL_H_
