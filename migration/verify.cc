#include "migration/verify.h"

#include <algorithm>
#include <thread>

#include "migration/internal/ordered_pool.h"
#include "migration/internal/verify_range.h"
#include "migration/internal/verify_tables.h"
#include "migration/job.h"

namespace engram::migration {
namespace {

using internal::RecordMarks;
using internal::VerifiedRange;
using nlohmann::json;

constexpr const char* kTierNames[] = {"hot", "warm", "cold"};

// What the store says of itself, read once at the LSN that everything is checked at.
struct Claims {
  Lsn lsn;
  bool has_digests = false;
  engine::DigestState digests;
  bool has_counts = false;
  engine::Counts counts;
  uint64_t last_key = 0;
};

Result<Claims> ReadClaims(engine::ReadView& view, VerifyReport* report) {
  Claims claims;
  claims.lsn = view.lsn();
  auto digests = view.Digests();
  claims.has_digests = digests.ok();
  if (digests.ok()) {
    claims.digests = std::move(*digests);
  } else {
    report->Corrupt("digests: " + digests.status().message());
  }
  auto counts = view.Count();
  claims.has_counts = counts.ok();
  if (counts.ok()) {
    claims.counts = *counts;
  } else {
    report->Corrupt("counts: " + counts.status().message());
  }
  ENGRAM_ASSIGN_OR_RETURN(claims.last_key, LastRecordKey(view));
  return claims;
}

class Verifier {
 public:
  Verifier(engine::Store& store, const VerifyRun& run) : store_(store), run_(run) {}

  Result<VerifyReport> Run() {
    ENGRAM_TRY(OpenViews());
    ENGRAM_ASSIGN_OR_RETURN(claims_, ReadClaims(*views_.front(), &report_));
    if (run_.sample > 0 && claims_.counts.records > run_.sample) {
      stride_ = claims_.counts.records / run_.sample;
      report_.sampled = stride_ > 1;
    }
    if (run_.meter != nullptr) run_.meter->Begin("verify", claims_.counts.records);
    ENGRAM_TRY(CheckRecords());
    // Of keys that all lie beside the stride the sample would be empty, and say that all is well.
    while (report_.sampled && report_.checked == 0) {
      stride_ = std::max<uint64_t>(1, stride_ / 2);
      ENGRAM_TRY(CheckRecords());
      if (stride_ == 1) break;
    }
    if (report_.sampled) report_.digests = claims_.digests;
    report_.digests.lsn = claims_.lsn;
    if (!report_.sampled) {
      ENGRAM_TRY(CheckTables());
      ENGRAM_TRY(internal::CheckKeyCounters(*views_.front(), &report_));
      CompareSums();
      CompareCounts();
    }
    if (run_.meter != nullptr) run_.meter->End();
    return std::move(report_);
  }

 private:
  uint32_t workers() const { return static_cast<uint32_t>(views_.size()); }

  // One view for each worker, all at one LSN; fewer workers where writers are too quick for that.
  Status OpenViews() {
    constexpr int kTries = 16;
    const uint32_t wanted =
        run_.workers != 0 ? run_.workers : std::max(1u, std::thread::hardware_concurrency());
    for (int attempt = 0; attempt < kTries && views_.size() < wanted; ++attempt) {
      views_.clear();
      while (views_.size() < wanted) {
        ENGRAM_ASSIGN_OR_RETURN(auto view, store_.Snapshot());
        if (!views_.empty() && view->lsn() != views_.front()->lsn()) break;
        views_.push_back(std::move(view));
      }
    }
    return Status::Ok();
  }

  Status CheckRecords() {
    const uint64_t ranges = claims_.last_key / engine::kRangeKeyCount + 1;
    marks_.id_hash.assign(ranges * engine::kRangeKeyCount, 0);
    marks_.uuid_hash.assign(ranges * engine::kRangeKeyCount, 0);
    internal::RangeVerifier::Options options;
    options.space = store_.space();
    options.stride = stride_;
    options.lsn = claims_.lsn;
    std::vector<std::unique_ptr<internal::RangeVerifier>> verifiers;
    for (uint32_t i = 0; i < workers(); ++i) {
      options.view = views_[i].get();
      verifiers.push_back(std::make_unique<internal::RangeVerifier>(store_, options, &marks_));
    }
    internal::OrderedPool<VerifiedRange> pool(
        workers(), ranges, [&](uint32_t worker, uint64_t unit, VerifiedRange* out) {
          const uint64_t first = unit * engine::kRangeKeyCount;
          return verifiers[worker]->Verify({first, first + engine::kRangeKeyCount - 1}, out);
        });
    for (uint64_t unit = 0; unit < ranges; ++unit) {
      if (run_.cancel != nullptr && *run_.cancel) {
        return Status::Cancelled("the verification was interrupted", "run it again");
      }
      ENGRAM_ASSIGN_OR_RETURN(const VerifiedRange* range, pool.Next());
      Merge(*range);
    }
    return pool.Finish();
  }

  void Merge(const VerifiedRange& range) {
    for (int i = 0; i < engine::kTierCount; ++i) {
      report_.digests.tiers[i].count += range.tiers[i].count;
      report_.digests.tiers[i].lanes.Add(range.tiers[i].lanes);
    }
    vectors_.insert(vectors_.end(), range.vector_keys.begin(), range.vector_keys.end());
    report_.MergeFindings(VerifyReport(range.report));
    if (run_.meter == nullptr) return;
    run_.meter->Advance(range.report.checked);
    run_.meter->Poll();
  }

  Status CheckTables() {
    std::sort(vectors_.begin(), vectors_.end());
    internal::LinkSums links;
    internal::OrderedPool<VerifyReport> pool(
        workers(), 4, [&](uint32_t worker, uint64_t unit, VerifyReport* out) -> Status {
          *out = VerifyReport();
          engine::ReadView& view = *views_[worker];
          switch (unit) {
            case 0:
              return internal::CheckIdTable(view, marks_, out);
            case 1:
              return internal::CheckUuidTable(view, marks_, out);
            case 2:
              return internal::CheckEmbeddingTable(view, vectors_, out);
            default:
              return internal::CheckLinks(view, &links, out);
          }
        });
    for (int unit = 0; unit < 4; ++unit) {
      ENGRAM_ASSIGN_OR_RETURN(const VerifyReport* part, pool.Next());
      report_.MergeFindings(VerifyReport(*part));
    }
    ENGRAM_TRY(pool.Finish());
    report_.digests.edges = links.edges;
    report_.digests.bindings = links.bindings;
    edge_count_ = links.edge_count;
    binding_count_ = links.binding_count;
    return Status::Ok();
  }

  void CompareSum(const std::string& name, const engine::LtHash& stored,
                  const engine::LtHash& actual) {
    if (stored == actual) return;
    report_.Mismatch({name, "digest", ToHex(stored.Publish()), ToHex(actual.Publish())});
  }

  void CompareSums() {
    if (!claims_.has_digests) return;
    for (int i = 0; i < engine::kTierCount; ++i) {
      const std::string name = std::string("tier ") + kTierNames[i];
      const engine::TierDigest& stored = claims_.digests.tiers[i];
      const engine::TierDigest& actual = report_.digests.tiers[i];
      CompareSum(name, stored.lanes, actual.lanes);
      CompareCount(name, "count", stored.count, actual.count);
      if (stored.dirty)
        report_.Corrupt(
            name + ": dirty: a damaged record is still in a sum; engram space salvage counts anew");
    }
    CompareSum("edges", claims_.digests.edges, report_.digests.edges);
    CompareSum("bindings", claims_.digests.bindings, report_.digests.bindings);
  }

  void CompareCount(const std::string& name, const std::string& field, uint64_t stored,
                    uint64_t actual) {
    if (stored == actual) return;
    report_.Mismatch({name, field, std::to_string(stored), std::to_string(actual)});
  }

  void CompareCounts() {
    if (!claims_.has_counts) return;
    const engine::Counts& counts = claims_.counts;
    CompareCount("counts", "records", counts.records, report_.checked);
    CompareCount("counts", "old", counts.old, report_.old_records);
    CompareCount("counts", "dual", counts.dual, report_.dual_records);
    CompareCount("counts", "concepts", counts.concepts, report_.concepts);
    CompareCount("counts", "edges", counts.edges, edge_count_);
    CompareCount("counts", "bindings", counts.bindings, binding_count_);
  }

  engine::Store& store_;
  const VerifyRun& run_;
  std::vector<std::unique_ptr<engine::ReadView>> views_;  // by worker
  VerifyReport report_;
  Claims claims_;
  uint64_t stride_ = 1;
  RecordMarks marks_;
  std::vector<uint64_t> vectors_;
  uint64_t edge_count_ = 0;
  uint64_t binding_count_ = 0;
};

template <typename T>
void Keep(std::vector<T>* list, T what, uint64_t* count) {
  *count += 1;
  if (list->size() < VerifyReport::kFindingsMax) list->push_back(std::move(what));
}

template <typename T>
void Splice(std::vector<T>* list, std::vector<T>&& more) {
  for (T& what : more) {
    if (list->size() == VerifyReport::kFindingsMax) return;
    list->push_back(std::move(what));
  }
}

json SafeList(const std::vector<std::string>& list) {
  json out = json::array();
  for (const std::string& what : list) out.push_back(SafeText(what));
  return out;
}

}  // namespace

void VerifyReport::Missing(std::string what) { Keep(&missing, std::move(what), &finding_count); }
void VerifyReport::Orphan(std::string what) { Keep(&orphans, std::move(what), &finding_count); }
void VerifyReport::Mismatch(VerifyFinding finding) {
  Keep(&mismatched, std::move(finding), &finding_count);
}
void VerifyReport::Corrupt(std::string what) { Keep(&corrupt, std::move(what), &finding_count); }

void VerifyReport::MergeFindings(VerifyReport&& other) {
  checked += other.checked;
  matched += other.matched;
  old_records += other.old_records;
  dual_records += other.dual_records;
  concepts += other.concepts;
  finding_count += other.finding_count;
  max_l2 = std::max(max_l2, other.max_l2);
  Splice(&missing, std::move(other.missing));
  Splice(&orphans, std::move(other.orphans));
  Splice(&mismatched, std::move(other.mismatched));
  Splice(&corrupt, std::move(other.corrupt));
}

json VerifyReport::ToJson(const std::string& space) const {
  json differences = json::array();
  for (const VerifyFinding& finding : mismatched) {
    differences.push_back({{"id", SafeText(finding.id)},
                           {"field", finding.field},
                           {"expected", SafeText(finding.expected)},
                           {"actual", SafeText(finding.actual)}});
  }
  json digest = {{"lsn", digests.lsn.value},
                 {"recomputed", !sampled},
                 {"space", ToHex(digests.SpaceDigest())},
                 {"edges", ToHex(digests.edges.Publish())},
                 {"bindings", ToHex(digests.bindings.Publish())},
                 {"tiers", TiersToJson(digests)}};
  const uint64_t expected = checked + missing.size();
  const double rate =
      expected == 0 ? 1.0 : static_cast<double>(matched) / static_cast<double>(expected);
  return {{"ok", ok()},
          {"space", space},
          {"checked", checked},
          {"matched", matched},
          {"missing", SafeList(missing)},
          {"orphans", SafeList(orphans)},
          {"mismatched", std::move(differences)},
          {"corrupt", SafeList(corrupt)},
          {"findings", finding_count},
          {"max_l2", max_l2},
          {"success_rate", rate},
          {"digest", std::move(digest)}};
}

json TiersToJson(const engine::DigestState& digests) {
  json tiers;
  for (int i = 0; i < engine::kTierCount; ++i) {
    tiers[kTierNames[i]] = {{"count", digests.tiers[i].count},
                            {"digest", ToHex(digests.tiers[i].lanes.Publish())}};
    if (digests.tiers[i].dirty) tiers[kTierNames[i]]["dirty"] = true;
  }
  return tiers;
}

std::string SafeText(std::string_view text) {
  const std::string quoted =
      json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(quoted).get<std::string>();
}

Result<VerifyReport> VerifyStore(engine::Store& store, const VerifyRun& run) {
  ENGRAM_ASSIGN_OR_RETURN(VerifyReport report, Verifier(store, run).Run());
  for (std::string& what : report.corrupt) what = store.data_path() + ": " + what;
  return report;
}

}  // namespace engram::migration
