// `auto_link`: edges from a new memory to the ones that are most like it.
#ifndef ENGRAM_SERVER_API_AUTO_LINK_H_
#define ENGRAM_SERVER_API_AUTO_LINK_H_

#include <string>
#include <vector>

#include "plugin/loader/plugin_loader.h"
#include "server/api/new_memory.h"

namespace engram::server {

struct AutoLink {
  std::string target;
  float similarity = 0;  // cosine
  std::string_view reason;
};

// Adds an edge, weighted with the cosine, to each of the few nearest memories whose cosine is at
// least `threshold`, unless there is one already. `memory` is stored.
Status LinkToSimilar(plugin::Space& space, const NewMemory& memory, float threshold,
                     std::vector<AutoLink>* out);

// [{"target_memory_id", "similarity_score", "link_reason"}]
void AppendAutoLinks(const std::vector<AutoLink>& links, std::string* out);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_AUTO_LINK_H_
