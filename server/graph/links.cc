#include "server/graph/links.h"

namespace engram::server {
namespace {

Result<std::optional<std::string_view>> MissingOf(plugin::Space& space, std::string_view from,
                                                  std::string_view to) {
  for (const std::string_view id : {from, to}) {
    ENGRAM_ASSIGN_OR_RETURN(const bool present, space.Contains(id));
    if (!present) return std::optional<std::string_view>(id);
  }
  return std::optional<std::string_view>();
}

}  // namespace

Result<std::optional<std::string_view>> AddEdgeBetweenStored(plugin::Space& space,
                                                             std::string_view from,
                                                             std::string_view to, float weight) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<std::string_view> missing, MissingOf(space, from, to));
  if (missing) return missing;
  ENGRAM_TRY(space.AddEdge(from, to, weight));
  // A delete behind this takes the edge along; one before it did not know of it.
  ENGRAM_ASSIGN_OR_RETURN(missing, MissingOf(space, from, to));
  if (missing) ENGRAM_TRY(space.RemoveEdge(from, to).status());
  return missing;
}

}  // namespace engram::server
