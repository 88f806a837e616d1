#include "migration/online/slice_verifier.h"

#include <algorithm>

#include "migration/job.h"
#include "migration/quarantine.h"

namespace engram::migration::online {
namespace {

constexpr const char* kTierNames[] = {"tier hot", "tier warm", "tier cold"};
// Empty stretches of the key space are passed over so many keys at a time at least.
constexpr uint64_t kKeysPerSliceMin = 64;

internal::RangeVerifier::Options OptionsOf(engine::Store& store, engine::ReadView* view,
                                           const std::map<uint64_t, std::string>& quarantined) {
  internal::RangeVerifier::Options options;
  options.space = store.space();
  options.lsn = view->lsn();
  options.view = view;
  options.partial = true;
  options.quarantined = &quarantined;
  return options;
}

void AddTo(const engine::RangeSum& more, engine::RangeSum* sum) {
  const uint64_t count = sum->count + more.count;
  sum->Add(more.sum);
  sum->count = count;
}

}  // namespace

SliceVerifier::SliceVerifier(engine::Store& store, std::unique_ptr<engine::ReadView> view,
                             Claims claims)
    : view_(std::move(view)),
      claims_(std::move(claims)),
      log_bytes_at_begin_(store.Info().log.appended_bytes),
      verifier_(store, OptionsOf(store, view_.get(), claims_.quarantined), nullptr) {}

Result<std::unique_ptr<SliceVerifier>> SliceVerifier::Begin(engine::Store& store) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.Snapshot());
  Claims claims;
  claims.lsn = view->lsn();
  ENGRAM_ASSIGN_OR_RETURN(claims.digests, view->Digests());
  ENGRAM_ASSIGN_OR_RETURN(claims.counts, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(claims.last_key, LastRecordKey(*view));
  ENGRAM_ASSIGN_OR_RETURN(claims.quarantined, QuarantinedRecords(*view));
  return std::unique_ptr<SliceVerifier>(
      new SliceVerifier(store, std::move(view), std::move(claims)));
}

Result<uint64_t> SliceVerifier::Step(uint64_t records_max) {
  const uint64_t before = report_.checked;
  while (next_key_ <= claims_.last_key && report_.checked - before < records_max) {
    const uint64_t left = records_max - (report_.checked - before);
    // A slice never leaves its range: the range's sum is compared at its end.
    const uint64_t range_last = next_key_ | (engine::kRangeKeyCount - 1);
    const uint64_t last = std::min(range_last, next_key_ + std::max(left, kKeysPerSliceMin) - 1);
    ENGRAM_TRY(VerifySlice(next_key_, last));
    next_key_ = last + 1;
    if (last != range_last && last < claims_.last_key) continue;
    internal::RangeVerifier::CheckRangeSum(*view_, last / engine::kRangeKeyCount, range_sum_,
                                           &report_);
    range_sum_ = {};
  }
  return report_.checked - before;
}

Status SliceVerifier::VerifySlice(uint64_t first, uint64_t last) {
  ENGRAM_TRY(verifier_.Verify({first, last}, &slice_));
  for (int i = 0; i < engine::kTierCount; ++i) {
    report_.digests.tiers[i].count += slice_.tiers[i].count;
    report_.digests.tiers[i].lanes.Add(slice_.tiers[i].lanes);
  }
  AddTo(slice_.sum, &range_sum_);
  report_.MergeFindings(std::move(slice_.report));
  return Status::Ok();
}

void SliceVerifier::Compare(const std::string& name, const std::string& field, uint64_t stored,
                            uint64_t actual) {
  if (stored == actual) return;
  report_.Mismatch({name, field, std::to_string(stored), std::to_string(actual)});
}

VerifyReport& SliceVerifier::Finish() {
  for (int i = 0; i < engine::kTierCount; ++i) {
    const engine::TierDigest& stored = claims_.digests.tiers[i];
    const engine::TierDigest& actual = report_.digests.tiers[i];
    Compare(kTierNames[i], "count", stored.count, actual.count);
    if (stored.dirty) report_.Corrupt(std::string(kTierNames[i]) + " is dirty");
    if (stored.lanes == actual.lanes) continue;
    report_.Mismatch(
        {kTierNames[i], "digest", ToHex(stored.lanes.Publish()), ToHex(actual.lanes.Publish())});
  }
  const engine::Counts& counts = claims_.counts;
  Compare("counts", "records", counts.records, report_.checked);
  Compare("counts", "old", counts.old, report_.old_records);
  Compare("counts", "dual", counts.dual, report_.dual_records);
  Compare("counts", "concepts", counts.concepts, report_.concepts);
  report_.digests.lsn = claims_.lsn;
  return report_;
}

}  // namespace engram::migration::online
