#include "server/api/auto_link.h"

#include "base/json_text.h"
#include "server/api/record_text.h"

namespace engram::server {
namespace {

constexpr uint32_t kLinksMax = 5;

}  // namespace

Status LinkToSimilar(plugin::Space& space, const NewMemory& memory, float threshold,
                     std::vector<AutoLink>* out) {
  const std::string_view reason = memory.is_text_vector ? "similar words" : "similar embeddings";
  ENGRAM_TRY(
      space.Search(memory.embedding.data(), kLinksMax + 1, [&](std::string_view id, float score) {
        if (id != memory.id && score >= threshold && out->size() < kLinksMax) {
          out->push_back({std::string(id), score, reason});
        }
        return true;
      }));
  for (const AutoLink& link : *out) {
    const auto present = space.EdgeWeight(memory.id, link.target);
    if (present.ok()) continue;
    if (present.status().code() != StatusCode::kNotFound) return present.status();
    ENGRAM_TRY(space.AddEdge(memory.id, link.target, link.similarity));
  }
  return Status::Ok();
}

void AppendAutoLinks(const std::vector<AutoLink>& links, std::string* out) {
  *out += '[';
  for (size_t i = 0; i < links.size(); ++i) {
    if (i > 0) *out += ',';
    ObjectText object(out);
    object.String("target_memory_id", links[i].target);
    AppendFloat(links[i].similarity, object.Key("similarity_score"));
    object.String("link_reason", links[i].reason);
    object.Close();
  }
  *out += ']';
}

}  // namespace engram::server
