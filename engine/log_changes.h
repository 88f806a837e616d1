// What a log record of a store changed, for those who follow the log (wal::Tailer).
#ifndef ENGRAM_ENGINE_LOG_CHANGES_H_
#define ENGRAM_ENGINE_LOG_CHANGES_H_

#include <vector>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::engine {

struct LoggedChanges {
  std::vector<NodeKey> written_old;  // got an old head and no dual head with it
  std::vector<NodeKey> touched;      // got or lost a head
  // Nothing at all: the mark of a bulk batch, whose records the log does not have.
  bool is_bulk_mark = false;
};

// `type` and `payload` of a wal::LogRecord. kUnsupported or kCorruption as in recovery.
Status DecodeLoggedChanges(uint8_t type, Bytes payload, LoggedChanges* out);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_LOG_CHANGES_H_
