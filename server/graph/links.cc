#include "server/graph/links.h"

namespace engram::server {
namespace {

Result<std::string_view> MissingOf(plugin::Space& space, std::string_view from,
                                   std::string_view to) {
  for (const std::string_view id : {from, to}) {
    ENGRAM_ASSIGN_OR_RETURN(const bool present, space.Contains(id));
    if (!present) return id;
  }
  return std::string_view();
}

}  // namespace

Result<std::string_view> AddEdgeBetweenStored(plugin::Space& space, std::string_view from,
                                              std::string_view to, float weight) {
  ENGRAM_ASSIGN_OR_RETURN(std::string_view missing, MissingOf(space, from, to));
  if (!missing.empty()) return missing;
  ENGRAM_TRY(space.AddEdge(from, to, weight));
  // A delete behind this takes the edge along; one before it did not know of it.
  ENGRAM_ASSIGN_OR_RETURN(missing, MissingOf(space, from, to));
  if (!missing.empty()) ENGRAM_TRY(space.RemoveEdge(from, to).status());
  return missing;
}

}  // namespace engram::server
