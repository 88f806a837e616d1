// engram memory list|get|put|delete
#ifndef ENGRAM_CLI_MEMORY_COMMANDS_H_
#define ENGRAM_CLI_MEMORY_COMMANDS_H_

#include <optional>
#include <string>
#include <vector>

#include "cli/session.h"

namespace engram::cli {

struct MemoryReadFlags {
  std::string view = "memory";  // "memory" or "dual"
  bool exact = false;
  bool embeddings = false;
  bool jsonl = false;
  std::optional<std::string> after;
  std::optional<uint64_t> limit;
};

struct MemoryWriteFlags {
  std::string jsonl;  // a file or "-"; empty: none
  std::vector<std::string> ids;
};

// Each returns the exit code.
int MemoryList(Session& session, const MemoryReadFlags& flags);
int MemoryGet(Session& session, const std::string& id, const MemoryReadFlags& flags);
int MemoryPut(Session& session, const MemoryWriteFlags& flags);
int MemoryDelete(Session& session, const MemoryWriteFlags& flags);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_MEMORY_COMMANDS_H_
