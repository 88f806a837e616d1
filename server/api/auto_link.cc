#include "server/api/auto_link.h"

#include "base/json_text.h"
#include "server/api/record_text.h"
#include "server/graph/links.h"

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
  for (auto link = out->begin(); link != out->end();) {
    const auto present = space.EdgeWeight(memory.id, link->target);
    if (!present.ok() && present.status().code() != StatusCode::kNotFound) return present.status();
    std::optional<std::string_view> missing;
    if (!present.ok()) {
      ENGRAM_ASSIGN_OR_RETURN(
          missing, AddEdgeBetweenStored(space, memory.id, link->target, link->similarity));
    }
    link = missing ? out->erase(link) : link + 1;  // deleted meanwhile
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
