// Verification against the source: every memory that the source amounts to, folded by the audit
// decoder from the source's bytes, against what is stored under its id.
#ifndef ENGRAM_MIGRATION_INTERNAL_VERIFY_SOURCE_H_
#define ENGRAM_MIGRATION_INTERNAL_VERIFY_SOURCE_H_

#include <string>

#include "migration/migration.h"
#include "migration/progress.h"
#include "migration/verify.h"

namespace engram::migration::internal {

struct SourceCheck {
  std::string source;            // directory
  uint64_t sample = 0;           // ids to look at; 0: all
  uint32_t origin = UINT32_MAX;  // of its records; set by VerifyAgainstSource where it is known
  bool full = false;             // also map order and the re-encoded bytes
  uint32_t workers = 1;
  ProgressMeter* meter = nullptr;
  const std::atomic<bool>* cancel = nullptr;
};
// Adds findings to `report` (not to its counts) and sets max_l2. Records written or deleted here
// since the ingest, or brought in by a later one, are not compared.
Status VerifyAgainstSource(const engine::Environment& environment, engine::Store& store,
                           const SourceCheck& check, VerifyReport* report);

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_VERIFY_SOURCE_H_
