#include "migration/internal/salvage_plan.h"

#include <algorithm>

#include "migration/internal/salvage_links.h"
#include "migration/internal/salvage_records.h"

namespace engram::migration::internal {
namespace {

using engine::Table;

bool SameSums(const engine::BulkTxn::Totals& totals, const engine::DigestState& stored,
              const engine::Counts& counts) {
  for (int i = 0; i < engine::kTierCount; ++i) {
    const engine::TierDigest& tier = stored.tiers[i];
    if (tier.dirty || tier.count != totals.tiers[i].count) return false;
    if (!(tier.lanes == totals.tiers[i].lanes)) return false;
  }
  const engine::Counts& c = totals.counts;
  return stored.edges == totals.edges && stored.bindings == totals.bindings &&
         counts.records == c.records && counts.old == c.old && counts.dual == c.dual &&
         counts.episodes == c.episodes && counts.concepts == c.concepts &&
         counts.edges == c.edges && counts.bindings == c.bindings;
}

// Whether everything stored, the sums of the ranges included, is what was counted.
bool StoredSumsAre(engine::ReadView& view, SalvagePlan* plan) {
  const auto digests = view.Digests();
  const auto counts = view.Count();
  if (!digests.ok() || !counts.ok()) return false;
  plan->totals.counts.quarantined = counts->quarantined + plan->quarantined.size();
  if (!SameSums(plan->totals, *digests, *counts)) return false;
  return std::all_of(plan->totals.ranges.begin(), plan->totals.ranges.end(), [&](const auto& r) {
    const auto stored = view.Range(r.first);
    return stored.ok() && stored->value_or(engine::RangeSum{}) == r.second;
  });
}

// Small tables whose rows stand for themselves: a damaged one goes.
Status CheckSmallTable(engine::ReadView& view, Table table, std::string_view name,
                       SalvageRows* rows) {
  return view.ScanTable(table, {}, [&](Bytes key, Bytes value) -> Result<bool> {
    if (engine::DecodeChecked(key, value).ok()) return true;
    rows->SetAside(table, key, value);
    rows->plan().quarantined.push_back(
        {"", 0, std::string(name) + " row " + ToHex(key) + " fails its check"});
    return true;
  });
}

}  // namespace

Result<SalvagePlan> PlanSalvage(engine::ReadView& view, const SalvageScope& scope) {
  SalvagePlan plan;
  SalvageRows rows(&plan);
  SalvageRecords records(view, scope, &rows);
  ENGRAM_TRY(records.Run());
  ENGRAM_TRY(CheckSmallTable(view, Table::kTombstones, "tombstone", &rows));
  ENGRAM_TRY(CheckSmallTable(view, Table::kMeta, "meta", &rows));
  ENGRAM_TRY(SalvageLinkTables(view, records, &rows));
  plan.sums_differ = !StoredSumsAre(view, &plan);
  return plan;
}

}  // namespace engram::migration::internal
