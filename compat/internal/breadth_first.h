// Breadth-first traversal over node keys: each node once, by depth, then by the order of edges.
#ifndef ENGRAM_COMPAT_INTERNAL_BREADTH_FIRST_H_
#define ENGRAM_COMPAT_INTERNAL_BREADTH_FIRST_H_

#include <functional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace engram::compat::internal {

using OutNeighbours = std::function<Result<std::vector<NodeKey>>(NodeKey)>;

// `start` and nodes at depth `depth` are included; the edges of the latter are not read.
Result<std::vector<NodeKey>> BreadthFirst(NodeKey start, uint32_t depth,
                                          const OutNeighbours& out_neighbours);

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_BREADTH_FIRST_H_
