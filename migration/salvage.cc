// Goes on with a damaged space. Order: what will be given up is copied aside and durable before the
// log is applied past its damage; the tables are made whole in one transaction; only then are the
// damaged segments released. A crash in between leaves the log corrupt, and salvage begins again.
#include <algorithm>

#include "migration/checkpoint.h"
#include "migration/internal/salvage_plan.h"
#include "migration/internal/verify_tables.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {
namespace {

using internal::SalvageFinding;
using internal::SalvagePlan;
using nlohmann::json;

constexpr uint64_t kMemoryBudgetBytes = 512u << 20;
constexpr uint64_t kCopyBytes = 1u << 20;
constexpr uint64_t kSalvageMarginBytes = 16u << 20;

json FindingsToJson(const std::vector<SalvageFinding>& findings) {
  json list = json::array();
  for (const SalvageFinding& f : findings) {
    list.push_back({{"id", f.id.empty() && f.node_key == 0 ? json() : json(SafeText(f.id))},
                    {"node_key", f.node_key},
                    {"reason", SafeText(f.reason)}});
  }
  return list;
}

// Writes of a stretch that no table has: what was applied before the damage is not lost.
uint64_t LostWrites(const wal::LostStretch& stretch, Lsn applied) {
  if (stretch.last <= applied) return 0;
  return stretch.last.value - std::max(stretch.first.value, applied.value + 1) + 1;
}

class SalvageJob {
 public:
  SalvageJob(const JobContext& context, const SalvageOptions& options)
      : context_(context),
        fs_(context.environment.fs),
        options_(options),
        budget_(fs_, kMemoryBudgetBytes),
        meter_(context.environment.clock, context.progress, &budget_, options.space) {}

  Result<json> Run() {
    const uint64_t begun_ns = context_.environment.clock.MonotonicNs();
    const auto access = options_.dry_run ? engine::Access::kReadOnly : engine::Access::kReadWrite;
    ENGRAM_ASSIGN_OR_RETURN(store_, OpenSpaceWithSalvage(context_, options_.space, access));
    directory_ = DualDirectory(context_, store_->space());
    for (const auto& stretch : lost()) lost_writes_ += LostWrites(stretch, applied());
    if (!options_.dry_run && !lost().empty()) {
      ENGRAM_TRY(KeepLogAside());
    }
    ENGRAM_TRY(store_->Drain({.sync = true}));
    ENGRAM_ASSIGN_OR_RETURN(const SalvagePlan plan, Plan());
    needed_ = !lost().empty() || !plan.empty();
    json report = ToJson(plan);
    if (needed_ && !options_.dry_run) ENGRAM_TRY(Apply(plan, &report));
    ENGRAM_TRY(store_->Close());
    report["seconds"] =
        static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns) / 1e9;
    return report;
  }

 private:
  const std::vector<wal::LostStretch>& lost() const { return store_->recovery().lost; }
  Lsn applied() const { return store_->recovery().applied; }

  Result<SalvagePlan> Plan() {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->Snapshot());
    lsn_ = view->lsn();
    const auto digests = view->Digests();
    if (digests.ok()) digest_before_ = ToHex(digests->SpaceDigest());
    ENGRAM_ASSIGN_OR_RETURN(
        SalvagePlan plan,
        internal::PlanSalvage(*view, {.space = store_->space(), .writes_lost = lost_writes_ > 0}));
    if (store_->Info().overlay_size_bytes == 0) {
      VerifyReport counters;
      ENGRAM_TRY(internal::CheckKeyCounters(*view, &counters));
      plan.keys_differ = !counters.ok();
    }
    return plan;
  }

  json ToJson(const SalvagePlan& plan) const {
    json stretches = json::array();
    for (const wal::LostStretch& s : lost()) {
      stretches.push_back({{"file", SafeText(s.file)},
                           {"offset", s.offset_bytes},
                           {"length", s.length_bytes},
                           {"first_lsn", s.first.value},
                           {"last_lsn", s.last.value},
                           {"lost_writes", LostWrites(s, applied())},
                           {"reason", SafeText(s.reason)}});
    }
    engine::DigestState after;
    std::copy(std::begin(plan.totals.tiers), std::end(plan.totals.tiers), std::begin(after.tiers));
    return {{"ok", true},
            {"command", "space salvage"},
            {"space", store_->space()},
            {"dry_run", options_.dry_run},
            {"needed", needed_},
            {"applied_lsn", applied().value},
            {"lost", std::move(stretches)},
            {"lost_writes", lost_writes_},
            {"quarantined", FindingsToJson(plan.quarantined)},
            {"mixed", FindingsToJson(plan.mixed)},
            {"repaired", FindingsToJson(plan.repaired)},
            {"intact", plan.intact},
            {"rows_set_aside", plan.rows_set_aside},
            {"sums_counted_anew", plan.sums_differ},
            {"keys_counted_anew", plan.keys_differ},
            {"kept_aside", kept_aside_.empty() ? json() : json(kept_aside_)},
            {"digest",
             {{"before", digest_before_.empty() ? json() : json(digest_before_)},
              {"after", ToHex(after.SpaceDigest())},
              {"lsn", lsn_.value},
              {"tiers", TiersToJson(after)}}}};
  }

  // `snapshots/salvage-<n>/`: every segment of the log as it is. It has its name only once it is
  // whole and durable.
  Status KeepLogAside() {
    const std::string log = JoinPath(directory_, "log");
    ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs_.List(log));
    uint64_t bytes = kSalvageMarginBytes;
    for (const DirectoryEntry& entry : entries) {
      ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, fs_.Stat(JoinPath(log, entry.name)));
      if (entry.name.ends_with(".seg")) bytes += info.size_bytes;
    }
    ENGRAM_TRY(CheckFreeSpace(fs_, directory_, bytes));
    const std::string snapshots = JoinPath(directory_, "snapshots");
    ENGRAM_TRY(CreateDirectories(fs_, snapshots));
    uint64_t number = 1;
    const auto path = [&] { return JoinPath(snapshots, "salvage-" + std::to_string(number)); };
    while (Exists(fs_, path())) ++number;
    const std::string temporary = path() + ".tmp";
    ENGRAM_TRY(fs_.CreateDirectory(temporary));
    for (const DirectoryEntry& entry : entries) {
      if (!entry.name.ends_with(".seg")) continue;
      ENGRAM_TRY(CopyDurably(JoinPath(log, entry.name), JoinPath(temporary, entry.name)));
    }
    ENGRAM_TRY(fs_.SyncDirectory(temporary));
    ENGRAM_TRY(fs_.Rename(temporary, path()));
    kept_aside_ = path();
    return fs_.SyncDirectory(snapshots);
  }

  Status CopyDurably(const std::string& from, const std::string& to) {
    ENGRAM_ASSIGN_OR_RETURN(auto in, fs_.Open(from, OpenMode::kReadOnly));
    ENGRAM_ASSIGN_OR_RETURN(auto out, fs_.Open(to, OpenMode::kCreate));
    ENGRAM_TRY(out->Truncate(0));  // of an interrupted salvage
    std::vector<uint8_t> buffer(kCopyBytes);
    for (uint64_t offset = 0;;) {
      ENGRAM_ASSIGN_OR_RETURN(const uint64_t got, in->ReadAt(offset, std::span(buffer)));
      if (got == 0) break;
      ENGRAM_TRY(out->WriteAt(offset, Bytes(buffer.data(), got)));
      offset += got;
    }
    return out->Sync();
  }

  Status Apply(const SalvagePlan& plan, json* report) {
    if (!kept_aside_.empty()) {
      ENGRAM_TRY(ReplaceFileDurably(fs_, JoinPath(kept_aside_, "report.json"),
                                    AsBytes(report->dump(1) + "\n")));
    }
    ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->BeginBulk());
    for (const auto& [at, value] : plan.rows) {
      const Bytes key = AsBytes(at.second);
      ENGRAM_TRY(value ? txn->PutRow(at.first, key, AsBytes(*value))
                       : txn->DeleteRow(at.first, key));
    }
    ENGRAM_TRY(txn->ReplaceDigests(plan.totals));
    ENGRAM_TRY(txn->Commit({.sync = true}));
    txn.reset();
    ENGRAM_TRY(store_->RecycleLog());
    VerifyRun run;
    run.meter = &meter_;
    run.cancel = context_.cancel;
    ENGRAM_ASSIGN_OR_RETURN(const VerifyReport verified, VerifyStore(*store_, run));
    (*report)["verification"] = verified.ToJson(store_->space());
    (*report)["ok"] = verified.ok();
    (*report)["digest"]["lsn"] = verified.digests.lsn.value;
    return WriteAudit(plan);
  }

  Status WriteAudit(const SalvagePlan& plan) {
    ENGRAM_ASSIGN_OR_RETURN(
        auto audit, AuditLog::Open(fs_, context_.environment.clock, AuditLogPath(directory_)));
    return audit->Append("salvage", {{"lost_writes", lost_writes_},
                                     {"quarantined", plan.quarantined.size()},
                                     {"mixed", plan.mixed.size()},
                                     {"repaired", plan.repaired.size()},
                                     {"kept_aside", kept_aside_}});
  }

  const JobContext& context_;
  FileSystem& fs_;
  const SalvageOptions& options_;
  MemoryBudget budget_;
  ProgressMeter meter_;
  std::unique_ptr<engine::Store> store_;
  std::string directory_;
  std::string kept_aside_;
  std::string digest_before_;
  Lsn lsn_;
  uint64_t lost_writes_ = 0;
  bool needed_ = false;
};

}  // namespace

Result<json> Salvage(const JobContext& context, const SalvageOptions& options) {
  return SalvageJob(context, options).Run();
}

}  // namespace engram::migration
