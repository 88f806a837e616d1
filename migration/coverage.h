// Which node keys a job has covered (INV-13): a set of disjoint ranges. "Complete" is a statement
// of this ledger and of nothing else.
#ifndef ENGRAM_MIGRATION_COVERAGE_H_
#define ENGRAM_MIGRATION_COVERAGE_H_

#include <map>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/result.h"
#include "migration/checkpoint.h"

namespace engram::migration {

// Not thread-safe: the writer owns it.
class CoverageLedger {
 public:
  // kFatal if the receipt overlaps an earlier one: two workers had the same range.
  Status Add(const KeyRange& receipt);
  bool Covers(const KeyRange& range) const;
  // The parts of `whole` that no receipt covers, in order.
  std::vector<KeyRange> Missing(const KeyRange& whole) const;
  // The last key of the range that holds `first`, or first - 1.
  uint64_t ContiguousFrom(uint64_t first) const;
  std::vector<KeyRange> ranges() const;  // sorted, merged

  // The meta row `migration.receipts`: u32 count, then u64 first and u64 last of each range.
  std::string Encode() const;
  static Result<CoverageLedger> Decode(Bytes bytes);

 private:
  std::map<uint64_t, uint64_t> ranges_;  // first -> last
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_COVERAGE_H_
