// The way back to a snapshot: the space as it was at the start of the migration. What was written
// since is given up, so it is named before anything happens.
#include <algorithm>

#include "migration/checkpoint.h"
#include "migration/job.h"
#include "migration/migration.h"
#include "migration/snapshot.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {
namespace {

using nlohmann::json;

struct LaterWrites {
  json records = json::array();  // {"id", "change": "added" | "changed" | "deleted"}
  uint64_t ingested = 0;         // brought in from a source since: it still has them
};

Result<std::optional<engine::StoredRecord>> RecordOf(engine::ReadView& view, std::string_view id) {
  ENGRAM_ASSIGN_OR_RETURN(const auto key, view.FindId(id));
  if (!key) return std::optional<engine::StoredRecord>();
  return view.RecordToReplace(*key);
}

std::optional<uint64_t> SeqOf(const std::optional<engine::StoredRecord>& record) {
  if (!record || !record->has_head()) return std::nullopt;
  return record->current().seq.value;
}

// One pass over the ids of each side.
Result<LaterWrites> Compare(engine::ReadView& now, engine::ReadView& then) {
  LaterWrites later;
  const auto list = [&](std::string_view id, const char* change) {
    later.records.push_back({{"id", SafeText(id)}, {"change", change}});
  };
  const Status changed =
      now.ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
        ENGRAM_ASSIGN_OR_RETURN(const auto record, now.RecordToReplace(key));
        if (!record) return true;
        ENGRAM_ASSIGN_OR_RETURN(const auto before, RecordOf(then, id));
        if (before && SeqOf(before) == SeqOf(record)) return true;
        if (record->has_head() && record->current().origin != 0) {
          later.ingested += 1;
        } else {
          list(id, before ? "changed" : "added");
        }
        return true;
      });
  ENGRAM_TRY(changed);
  const Status deleted =
      then.ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
        ENGRAM_ASSIGN_OR_RETURN(const auto before, then.RecordToReplace(key));
        if (!before) return true;
        ENGRAM_ASSIGN_OR_RETURN(const auto record, RecordOf(now, id));
        if (!record) list(id, "deleted");
        return true;
      });
  ENGRAM_TRY(deleted);
  return later;
}

class StateRollback {
 public:
  StateRollback(const JobContext& context, const StateRollbackOptions& options)
      : context_(context), options_(options) {}

  Result<json> Run() {
    const uint64_t begun_ns = context_.environment.clock.MonotonicNs();
    const auto access = options_.dry_run ? engine::Access::kReadOnly : engine::Access::kReadWrite;
    ENGRAM_ASSIGN_OR_RETURN(store_, OpenSpace(context_, options_.space, access));
    if (store_->mode() == engine::Mode::kFinalized) {
      return Status::FailedPrecondition(
          "the space is finalized: there is no way back",
          "the snapshot can be copied to another data root by hand, as <space>/dual");
    }
    ENGRAM_TRY(store_->Drain({.sync = false}));
    ENGRAM_TRY(FindSnapshot());
    ENGRAM_ASSIGN_OR_RETURN(json report, LookAhead());
    if (!options_.dry_run) ENGRAM_TRY(Restore(&report));
    ENGRAM_TRY(store_->Close());
    report["seconds"] =
        static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns) / 1e9;
    return report;
  }

 private:
  Status FindSnapshot() {
    ENGRAM_ASSIGN_OR_RETURN(auto newest, NewestSnapshot(context_, store_->space()));
    if (!newest) {
      return Status::FailedPrecondition(
          "the space has no snapshot to go back to",
          "`engram migrate-dual --snapshot` takes one at its start; `engram migrate-dual rollback` "
          "serves the old records again and keeps every write");
    }
    if (newest->store_uuid != store_->Info().store_uuid) {
      return Status::FailedPrecondition(newest->path + " is a snapshot of another store",
                                        "move it away");
    }
    snapshot_ = std::move(*newest);
    return Status::Ok();
  }

  Result<json> LookAhead() {
    engine::StoreOptions options;
    options.directory = snapshot_.path;
    options.space = store_->space();
    options.access = engine::Access::kReadOnly;
    options.map_size_bytes = context_.map_size_bytes;
    ENGRAM_ASSIGN_OR_RETURN(auto before, engine::Store::Open(context_.environment, options));
    ENGRAM_ASSIGN_OR_RETURN(auto then, before->View());
    ENGRAM_ASSIGN_OR_RETURN(auto now, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, then->Digests());
    ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState current, now->Digests());
    if (ToHex(digests.SpaceDigest()) != snapshot_.digest) {
      return Status::Corruption(snapshot_.path + ": its digest is " + ToHex(digests.SpaceDigest()) +
                                    ", expected " + snapshot_.digest,
                                "the snapshot is damaged; nothing was changed");
    }
    ENGRAM_ASSIGN_OR_RETURN(LaterWrites later, Compare(*now, *then));
    ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, then->Count());
    return json{{"ok", true},
                {"space", store_->space()},
                {"to", "state"},
                {"dry_run", options_.dry_run},
                {"mode", std::string(engine::ModeName(then->mode()))},
                {"snapshot", snapshot_.ToJson()},
                {"digest", snapshot_.digest},
                {"count", counts.records},
                {"later_write_count", later.records.size()},
                {"later_writes", std::move(later.records)},
                {"ingested_given_up", later.ingested},
                {"edges_differ", !(digests.edges == current.edges)},
                {"bindings_differ", !(digests.bindings == current.bindings)},
                {"lossy", json::array()}};
  }

  Status Restore(json* report) {
    const std::string directory = DualDirectory(context_, store_->space());
    ENGRAM_TRY(CheckFreeSpace(context_.environment.fs, directory, store_->Info().used_bytes));
    ENGRAM_ASSIGN_OR_RETURN(const Sha256Digest expected, ParseSha256Hex(snapshot_.digest));
    ENGRAM_TRY(store_->RestoreFrom(snapshot_.path, expected));
    ENGRAM_TRY(RemoveCheckpoint(context_.environment.fs, CheckpointPath(directory)));
    VerifyRun run;
    run.cancel = context_.cancel;
    ENGRAM_ASSIGN_OR_RETURN(const VerifyReport verified, VerifyStore(*store_, run));
    const std::string digest = ToHex(verified.digests.SpaceDigest());
    (*report)["ok"] = verified.ok() && digest == snapshot_.digest;
    (*report)["digest"] = digest;
    (*report)["lsn"] = verified.digests.lsn.value;
    (*report)["verification"] = verified.ToJson(store_->space());
    ENGRAM_ASSIGN_OR_RETURN(auto audit,
                            AuditLog::Open(context_.environment.fs, context_.environment.clock,
                                           AuditLogPath(directory)));
    return audit->Append("rollback", {{"to", "state"},
                                      {"snapshot", snapshot_.name},
                                      {"lsn", verified.digests.lsn.value},
                                      {"digest", digest},
                                      {"later_writes", (*report)["later_write_count"]}});
  }

  const JobContext& context_;
  const StateRollbackOptions& options_;
  std::unique_ptr<engine::Store> store_;
  SnapshotInfo snapshot_;
};

}  // namespace

Result<json> RollbackToState(const JobContext& context, const StateRollbackOptions& options) {
  return StateRollback(context, options).Run();
}

}  // namespace engram::migration
