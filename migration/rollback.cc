// The way back: Memory is served from the old heads again, as long as there are any.
#include <algorithm>

#include "migration/checkpoint.h"
#include "migration/job.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {
namespace {

using engine::Table;
using nlohmann::json;

constexpr uint64_t kKeysPerStep = 65536;
constexpr size_t kSeqOffset = 8;  // in both heads

// What a rollback would do, found out before anything is changed.
struct Prospect {
  std::vector<std::string> lossy;     // ids of Concepts: Memory has no such thing
  std::vector<uint64_t> without_old;  // node keys whose current content no old head has
};

Status CollectConcepts(engine::ReadView& view, Prospect* out) {
  std::vector<NodeKey> concepts;
  const auto visit = [&](Bytes key, Bytes value) -> Result<bool> {
    engine::Extension extension;
    ENGRAM_TRY(engine::DecodeExtension(key, value, &extension));
    if (extension.type == engine::NodeType::kConcept) {
      concepts.push_back(NodeKey{LoadBe64(key.data())});
    }
    return true;
  };
  const Status scanned = view.ScanTable(Table::kExtensions, {}, visit);
  if (!scanned.ok()) return scanned;
  for (NodeKey key : concepts) {
    ENGRAM_ASSIGN_OR_RETURN(std::string id, view.IdOf(key));
    out->lossy.push_back(std::move(id));
  }
  std::sort(out->lossy.begin(), out->lossy.end());
  return Status::Ok();
}

using KeySeq = std::pair<uint64_t, uint64_t>;

// Sequences of up to kKeysPerStep heads from node key `first` on, and the key to go on with.
Status ReadSeqs(engine::ReadView& view, Table table, uint64_t first, uint64_t last,
                std::vector<KeySeq>* out) {
  out->clear();
  return view.ScanTable(
      table, AsBytes(engine::EncodeU64Key(first)), [&](Bytes key, Bytes value) -> Result<bool> {
        if (key.size() != 8 || value.size() < kSeqOffset + 8) {
          return Status::Corruption("a head row of " + std::to_string(value.size()) + " bytes");
        }
        const uint64_t node = LoadBe64(key.data());
        if (node > last) return false;
        out->emplace_back(node, LoadLe<uint64_t>(value.data() + kSeqOffset));
        return true;
      });
}

Status CollectWithoutOld(engine::ReadView& view, Prospect* out) {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t last_key, LastRecordKey(view));
  std::vector<KeySeq> old_heads;
  std::vector<KeySeq> dual_heads;
  for (uint64_t first = 1; first <= last_key; first += kKeysPerStep) {
    const uint64_t last = first + kKeysPerStep - 1;
    ENGRAM_TRY(ReadSeqs(view, Table::kOldHeads, first, last, &old_heads));
    ENGRAM_TRY(ReadSeqs(view, Table::kHeads, first, last, &dual_heads));
    size_t at = 0;
    for (const auto& [key, seq] : dual_heads) {
      while (at < old_heads.size() && old_heads[at].first < key) ++at;
      const bool has_old = at < old_heads.size() && old_heads[at].first == key;
      if (!has_old || old_heads[at].second < seq) out->without_old.push_back(key);
    }
  }
  return Status::Ok();
}

// Concepts are counted in the transaction that makes them, and every mode that can be left
// backwards keeps an old head beside each dual one: as a rule both questions are answered by
// counters. Only what has to be named is looked for.
Result<Prospect> LookAhead(engine::Store& store, engine::ReadView& view) {
  Prospect prospect;
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view.Count());
  if (counts.concepts != 0) ENGRAM_TRY(CollectConcepts(view, &prospect));
  const engine::StoreInfo info = store.Info();
  const bool all_applied = info.applied == view.lsn();
  if (all_applied && info.old_head_rows == counts.records) return prospect;
  ENGRAM_TRY(CollectWithoutOld(view, &prospect));
  return prospect;
}

// OK if the way back is open.
Status Refusal(engine::Mode mode, const Prospect& prospect) {
  if (mode == engine::Mode::kFinalized) {
    return Status::FailedPrecondition(
        "the space is finalized: its old records were dropped by compact --finalize",
        "there is no way back from finalized; restore a backup made before it");
  }
  if (prospect.without_old.empty()) return Status::Ok();
  return Status::FailedPrecondition(
      std::to_string(prospect.without_old.size()) +
          " records have no current old form, the first "
          "has node key " +
          std::to_string(prospect.without_old.front()),
      "run engram verify; a compact --finalize that was interrupted may have dropped the old "
      "records: run it again");
}

json LossyToJson(const Prospect& prospect) {
  json lossy = json::array();
  for (const std::string& id : prospect.lossy) lossy.push_back(SafeText(id));
  return lossy;
}

// The job of the store is over: a later migration begins anew.
Status EndJob(engine::Store& store) {
  std::optional<Job> job;
  {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
    ENGRAM_ASSIGN_OR_RETURN(job, ReadJob(*view));
  }
  if (!job.has_value()) return Status::Ok();
  job->state = JobState::kOff;
  return WriteJob(store, *job, Receipts::kForget);
}

Result<engine::DigestState> Digests(engine::Store& store) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  return view->Digests();
}

Result<json> GoBack(const JobContext& context, engine::Store& store,
                    const std::function<Status()>& set_legacy) {
  FileSystem& fs = context.environment.fs;
  const std::string directory = DualDirectory(context, store.space());
  ENGRAM_TRY(store.Drain({.sync = false}));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  ENGRAM_ASSIGN_OR_RETURN(const Prospect prospect, LookAhead(store, *view));
  ENGRAM_TRY(Refusal(store.mode(), prospect));
  view.reset();
  const std::string from(engine::ModeName(store.mode()));
  ENGRAM_TRY(EndJob(store));
  ENGRAM_TRY(set_legacy());
  ENGRAM_TRY(RemoveCheckpoint(fs, CheckpointPath(directory)));
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState after, Digests(store));
  ENGRAM_ASSIGN_OR_RETURN(auto audit,
                          AuditLog::Open(fs, context.environment.clock, AuditLogPath(directory)));
  const std::string digest = ToHex(after.SpaceDigest());
  ENGRAM_TRY(audit->Append("rollback", {{"from", from},
                                        {"lsn", after.lsn.value},
                                        {"digest", digest},
                                        {"concepts", prospect.lossy.size()}}));
  return json{{"ok", true},
              {"space", store.space()},
              {"mode", "legacy"},
              {"digest", digest},
              {"lossy", LossyToJson(prospect)}};
}

}  // namespace

Result<json> Rollback(const JobContext& context, const std::string& space) {
  const uint64_t begun_ns = context.environment.clock.MonotonicNs();
  ENGRAM_ASSIGN_OR_RETURN(auto store, OpenSpace(context, space, engine::Access::kReadWrite));
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState before, Digests(*store));
  ENGRAM_ASSIGN_OR_RETURN(
      json report, GoBack(context, *store, [&] { return SetMode(*store, engine::Mode::kLegacy); }));
  ENGRAM_TRY(store->Close());
  report["ok"] = report["digest"] == ToHex(before.SpaceDigest());
  report["seconds"] = static_cast<double>(context.environment.clock.MonotonicNs() - begun_ns) / 1e9;
  return report;
}

// Others write meanwhile, so that there is no digest to compare with: a change of the mode changes
// no record.
Result<json> RollbackOpen(const JobContext& context, compat::MemoryBackend& backend) {
  const uint64_t begun_ns = context.environment.clock.MonotonicNs();
  ENGRAM_ASSIGN_OR_RETURN(json report, GoBack(context, backend.store(), [&] {
                            return backend.SetMode(engine::Mode::kLegacy);
                          }));
  report["seconds"] = static_cast<double>(context.environment.clock.MonotonicNs() - begun_ns) / 1e9;
  return report;
}

Result<json> CanRollback(const JobContext& context, const std::string& space) {
  ENGRAM_ASSIGN_OR_RETURN(auto store, OpenSpace(context, space, engine::Access::kReadOnly));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store->View());
  ENGRAM_ASSIGN_OR_RETURN(const Prospect prospect, LookAhead(*store, *view));
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view->Digests());
  const Status refusal = Refusal(view->mode(), prospect);
  return json{{"ok", true},
              {"space", store->space()},
              {"mode", std::string(engine::ModeName(view->mode()))},
              {"can_rollback", refusal.ok()},
              {"reason", refusal.ok() ? json() : json(refusal.message())},
              {"digest", ToHex(digests.SpaceDigest())},
              {"lsn", digests.lsn.value},
              {"lossy", LossyToJson(prospect)}};
}

}  // namespace engram::migration
