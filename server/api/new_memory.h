// What a client sends to be remembered, and the record that is made of it.
#ifndef ENGRAM_SERVER_API_NEW_MEMORY_H_
#define ENGRAM_SERVER_API_NEW_MEMORY_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rfc3339.h"
#include "server/api/refusal.h"
#include "server/api/space_choice.h"
#include "server/graph/text_vector.h"
#include "server/http/message.h"

namespace engram::server {

// The three routes that take one. They share their keys.
enum class MemoryForm {
  kPlain,    // POST /api/v1/memories: what is wrong is always 400
  kMemory,   // POST /api/v1/memories/remember
  kEpisode,  // POST /api/v1/episodes/remember: `what` and `when`
};

struct MemoryBody {
  BodySpace space;
  std::optional<std::string> content;  // `what` of an episode
  std::optional<std::string> time;     // `timestamp`, or `when` of an episode
  std::optional<std::string> id, confidence_reasoning, memory_type;
  std::optional<std::string> where_location, where, why, how;  // of an episode
  std::optional<std::vector<std::string>> tags, who;
  std::optional<std::vector<float>> embedding;
  std::optional<float> confidence, importance, emotional_valence, link_threshold;
  std::optional<bool> auto_link;
};

Refused ReadMemoryBody(const Request& request, MemoryForm form, MemoryBody* out);

// A record that owns its parts.
struct NewMemory {
  std::string id, content;
  std::string when;  // observed
  std::string now;   // stored
  std::optional<std::string> where;
  std::optional<std::vector<std::string>> who;
  std::vector<std::pair<std::string, std::string>> metadata;
  Vector embedding;
  bool is_text_vector = false;  // no embedding was sent
  float confidence = 0;
};

// Checks the values; what is absent takes its default (docs/http-api.md). `now`: the server's time.
OrRefusal<NewMemory> MakeMemory(MemoryBody body, MemoryForm form, const TimePoint& now);

// The borrowed C form of a NewMemory, which must outlive it and stay unchanged.
class NewMemoryView {
 public:
  explicit NewMemoryView(const NewMemory& memory);
  const engram_se_memory& record() const { return record_; }

 private:
  std::vector<engram_se_bytes> who_;
  std::vector<engram_se_pair> metadata_;
  engram_se_memory record_{};
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_NEW_MEMORY_H_
