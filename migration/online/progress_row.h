// How far the online migration of a space has come: the meta row that every step leaves behind.
// Format: docs/online-migration.md.
#ifndef ENGRAM_MIGRATION_ONLINE_PROGRESS_ROW_H_
#define ENGRAM_MIGRATION_ONLINE_PROGRESS_ROW_H_

#include <optional>
#include <string>

#include "engine/store.h"
#include "migration/coverage.h"
#include "wal/log.h"

namespace engram::migration::online {

inline constexpr std::string_view kProgressRow = "migration.online";
inline constexpr std::string_view kOnlineReceiptsRow = "migration.online.receipts";

struct Progress {
  wal::TailPosition position;
  uint64_t max_key = 0;        // the present pass covers node keys 1..max_key
  Lsn seq_min;                 // and converts records with this sequence and above
  uint64_t converted = 0;      // since the row was made
  uint64_t quarantined = 0;    // still there
  Lsn verified;                // of the last verification that held; 0: none since the pass began
  bool whole_history = false;  // the history scan is wanted
  bool one_more_pass = false;  // something may be old that neither log nor pass has shown
  CoverageLedger receipts;     // its own row

  std::string EncodeRow() const;
  // kUnsupported for another version or conversion function.
  static Result<Progress> DecodeRow(std::string_view row);
};

// Empty if no online migration ever ran here.
Result<std::optional<Progress>> ReadProgress(engine::ReadView& view);

}  // namespace engram::migration::online

#endif  // ENGRAM_MIGRATION_ONLINE_PROGRESS_ROW_H_
