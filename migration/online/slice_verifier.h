// Verification of the records of a space in slices, all at one snapshot: the independent verifier
// of migration/verify.h without the cross tables. Records in quarantine count as they stand: old,
// with the digest that their head claims; what they hold is not judged.
#ifndef ENGRAM_MIGRATION_ONLINE_SLICE_VERIFIER_H_
#define ENGRAM_MIGRATION_ONLINE_SLICE_VERIFIER_H_

#include <map>
#include <memory>
#include <string>

#include "engine/store.h"
#include "migration/internal/verify_range.h"
#include "migration/verify.h"

namespace engram::migration::online {

// Pins its snapshot while it lives. One thread at a time.
class SliceVerifier {
 public:
  static Result<std::unique_ptr<SliceVerifier>> Begin(engine::Store& store);

  // Looks at up to `records_max` more records; returns how many. 0: all have been looked at.
  Result<uint64_t> Step(uint64_t records_max);
  // Compares sums and counts of the snapshot with what was recomputed. REQUIRES: Step returned 0
  VerifyReport& Finish();

  Lsn lsn() const { return claims_.lsn; }
  // Log bytes when the snapshot was taken: what was written since is about what it pins.
  uint64_t log_bytes_at_begin() const { return log_bytes_at_begin_; }

 private:
  struct Claims {
    Lsn lsn;
    engine::DigestState digests;
    engine::Counts counts;
    uint64_t last_key = 0;
    std::map<uint64_t, std::string> quarantined;
  };
  SliceVerifier(engine::Store& store, std::unique_ptr<engine::ReadView> view, Claims claims);
  Status VerifySlice(uint64_t first, uint64_t last);
  void Compare(const std::string& name, const std::string& field, uint64_t stored, uint64_t actual);

  const std::unique_ptr<engine::ReadView> view_;
  const Claims claims_;
  const uint64_t log_bytes_at_begin_;
  internal::RangeVerifier verifier_;
  internal::VerifiedRange slice_;
  engine::RangeSum range_sum_;  // of the range that next_key_ is in, so far
  uint64_t next_key_ = 0;
  VerifyReport report_;
};

}  // namespace engram::migration::online

#endif  // ENGRAM_MIGRATION_ONLINE_SLICE_VERIFIER_H_
