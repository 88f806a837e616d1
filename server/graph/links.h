// Edges between memories. The engine itself takes an edge to an id that nothing is stored under.
#ifndef ENGRAM_SERVER_GRAPH_LINKS_H_
#define ENGRAM_SERVER_GRAPH_LINKS_H_

#include <optional>
#include <string_view>

#include "plugin/loader/plugin_loader.h"

namespace engram::server {

// Adds an edge between two memories that are there. Returns the id that is not, or was deleted
// meanwhile: no edge stays then. nullopt: it is added.
Result<std::optional<std::string_view>> AddEdgeBetweenStored(plugin::Space& space,
                                                             std::string_view from,
                                                             std::string_view to, float weight);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_GRAPH_LINKS_H_
