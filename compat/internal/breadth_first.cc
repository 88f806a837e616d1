#include "compat/internal/breadth_first.h"

#include <unordered_set>

namespace engram::compat::internal {

Result<std::vector<NodeKey>> BreadthFirst(NodeKey start, uint32_t depth,
                                          const OutNeighbours& out_neighbours) {
  std::vector<NodeKey> order = {start};
  std::unordered_set<uint64_t> seen = {start.value};
  uint64_t level_begin = 0;
  for (uint32_t level = 0; level < depth && level_begin < order.size(); ++level) {
    uint64_t level_end = order.size();
    for (uint64_t i = level_begin; i < level_end; ++i) {
      ENGRAM_ASSIGN_OR_RETURN(auto targets, out_neighbours(order[i]));
      for (NodeKey target : targets) {
        if (seen.insert(target.value).second) order.push_back(target);
      }
    }
    level_begin = level_end;
  }
  return order;
}

}  // namespace engram::compat::internal
