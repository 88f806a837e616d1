// Independent verification of one store: own row reader, own canonical writer, own iteration. Every
// record's digest is recomputed from its decoded fields and its embedding bytes; tier, space,
// range, edge and binding sums are rebuilt and compared with the stored ones; both heads of a
// record must say the same; ids, uuids, embeddings, edges and bindings are checked against each
// other.
#ifndef ENGRAM_MIGRATION_VERIFY_H_
#define ENGRAM_MIGRATION_VERIFY_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/store.h"
#include "migration/progress.h"

namespace engram::migration {

struct VerifyFinding {
  std::string id;  // of a record, or what else does not match: "tier hot", "range 3", "edges"
  std::string field;
  std::string expected;
  std::string actual;
};

struct VerifyReport {
  uint64_t checked = 0;
  uint64_t matched = 0;
  uint64_t old_records = 0;  // without a current dual head
  uint64_t dual_records = 0;
  uint64_t concepts = 0;
  // Named in the report; the first kFindingsMax of each.
  std::vector<std::string> missing;
  std::vector<std::string> orphans;
  std::vector<VerifyFinding> mismatched;
  std::vector<std::string> corrupt;
  uint64_t finding_count = 0;  // all, named or not
  double max_l2 = 0;
  bool sampled = false;  // only some records were looked at: no sums, no cross tables
  // True at digests.lsn: recomputed from all records; as stored if only a sample was looked at.
  engine::DigestState digests;
  static constexpr size_t kFindingsMax = 1000;

  bool ok() const { return finding_count == 0; }
  void Missing(std::string what);
  void Orphan(std::string what);
  void Mismatch(VerifyFinding finding);
  void Corrupt(std::string what);
  void MergeFindings(VerifyReport&& other);
  // The object of cli.md.
  nlohmann::json ToJson(const std::string& space) const;
};

struct VerifyRun {
  uint32_t workers = 0;  // 0: all cores
  uint64_t sample = 0;   // records to look at, spread evenly; 0: all
  ProgressMeter* meter = nullptr;
  const std::atomic<bool>* cancel = nullptr;
};
// Everything at one snapshot, which stays pinned until the end: writers go on meanwhile. An error
// only if it could not look at all (cancelled, I/O); what it finds is in the report.
Result<VerifyReport> VerifyStore(engine::Store& store, const VerifyRun& run);

// {"hot": {"count", "digest"}, "warm", "cold"}
nlohmann::json TiersToJson(const engine::DigestState& digests);
// Text that JSON can hold: invalid UTF-8 is replaced.
std::string SafeText(std::string_view text);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_VERIFY_H_
