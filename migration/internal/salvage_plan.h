// What salvage does to the tables of a space, found out at one view before anything is changed:
// which records are set aside, which rows are made again, and what every sum is then.
#ifndef ENGRAM_MIGRATION_INTERNAL_SALVAGE_PLAN_H_
#define ENGRAM_MIGRATION_INTERNAL_SALVAGE_PLAN_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/store.h"

namespace engram::migration::internal {

struct SalvageFinding {
  std::string id;         // empty if it could not be found out
  uint64_t node_key = 0;  // 0: a row that belongs to no record
  std::string reason;
};

struct SalvagePlan {
  // What each row will be, by table and key; nothing: it goes. One entry per row, so that the order
  // does not matter.
  using RowKey = std::pair<engine::Table, std::string>;
  std::map<RowKey, std::optional<std::string>> rows;
  // Rows that go, as they were: kept under Table::kQuarantine.
  uint64_t rows_set_aside = 0;
  std::vector<SalvageFinding> quarantined;  // records that are no longer served
  std::vector<SalvageFinding> repaired;     // nothing was lost: made again from what passes
  std::vector<SalvageFinding> mixed;        // kept, but of several writes of which one is lost
  uint64_t intact = 0;                      // records that stay as they are
  engine::BulkTxn::Totals totals;
  bool sums_differ = false;  // the stored sums and counts are not `totals`, or are dirty
  bool keys_differ = false;  // rows lie above the counters of keys: a commit writes those anew

  bool empty() const { return rows.empty() && !sums_differ && !keys_differ; }
};

struct SalvageScope {
  std::string space;
  // Writes are missing from the log: rows that pass their checks may belong to different writes.
  bool writes_lost = false;
};

// Reads every table. An error only if the view cannot be read at all.
Result<SalvagePlan> PlanSalvage(engine::ReadView& view, const SalvageScope& scope);

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_SALVAGE_PLAN_H_
