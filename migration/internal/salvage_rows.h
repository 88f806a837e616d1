// The row changes of a salvage plan. A row that goes is kept under Table::kQuarantine, as it was.
#ifndef ENGRAM_MIGRATION_INTERNAL_SALVAGE_ROWS_H_
#define ENGRAM_MIGRATION_INTERNAL_SALVAGE_ROWS_H_

#include <string>

#include "migration/internal/salvage_plan.h"

namespace engram::migration::internal {

class SalvageRows {
 public:
  explicit SalvageRows(SalvagePlan* plan) : plan_(*plan) {}
  SalvagePlan& plan() { return plan_; }

  void Put(engine::Table table, Bytes key, std::string value);
  // Removes the row unless something was Put in its place; its bytes are kept.
  void SetAside(engine::Table table, Bytes key, Bytes value);

 private:
  SalvagePlan& plan_;
};

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_SALVAGE_ROWS_H_
