#include "migration/job.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace engram::migration {
namespace {

using nlohmann::json;

constexpr int kJobRowVersion = 1;

Status BadRow(const std::string& what) {
  return Status::Corruption("the meta row migration.job is damaged: " + what,
                            "run engram verify on this space");
}

json StartToJson(const StartDigests& start) {
  json tiers = json::array();
  for (const StartDigests::Tier& tier : start.tiers) {
    tiers.push_back({{"count", tier.count}, {"digest", ToHex(tier.digest)}});
  }
  return {{"lsn", start.lsn}, {"space", ToHex(start.space)}, {"tiers", tiers}};
}

Result<StartDigests> StartFromJson(const json& row) {
  StartDigests start;
  start.lsn = row.value("lsn", uint64_t{0});
  ENGRAM_ASSIGN_OR_RETURN(start.space, ParseSha256Hex(row.value("space", std::string())));
  const json tiers = row.value("tiers", json::array());
  if (tiers.size() != std::size(start.tiers)) return BadRow("tiers");
  for (size_t i = 0; i < tiers.size(); ++i) {
    start.tiers[i].count = tiers[i].value("count", uint64_t{0});
    ENGRAM_ASSIGN_OR_RETURN(start.tiers[i].digest,
                            ParseSha256Hex(tiers[i].value("digest", std::string())));
  }
  return start;
}

Result<Job> FromJson(const json& row) {
  if (row.value("version", 0) != kJobRowVersion) {
    return Status::Unsupported("the meta row migration.job has version " +
                                   std::to_string(row.value("version", 0)) +
                                   ", this build knows version 1",
                               "use the version of engram that wrote it");
  }
  Job job;
  ENGRAM_ASSIGN_OR_RETURN(job.id, Uuid::Parse(row.value("job", std::string())));
  ENGRAM_ASSIGN_OR_RETURN(job.state, ParseJobState(row.value("state", std::string())));
  job.conversion_function_id = row.value("conversion_function", 0u);
  job.max_key = row.value("max_key", uint64_t{0});
  job.counters.found = row.value("found", uint64_t{0});
  job.counters.converted = row.value("converted", uint64_t{0});
  job.counters.already_dual = row.value("already_dual", uint64_t{0});
  job.counters.quarantined = row.value("quarantined", uint64_t{0});
  ENGRAM_ASSIGN_OR_RETURN(job.start, StartFromJson(row.value("start", json::object())));
  return job;
}

}  // namespace

std::string Job::EncodeRow() const {
  return json{{"version", kJobRowVersion},
              {"job", id.ToString()},
              {"state", std::string(JobStateName(state))},
              {"conversion_function", conversion_function_id},
              {"max_key", max_key},
              {"found", counters.found},
              {"converted", counters.converted},
              {"already_dual", counters.already_dual},
              {"quarantined", counters.quarantined},
              {"start", StartToJson(start)}}
      .dump();
}

Result<Job> Job::DecodeRow(std::string_view row) {
  const json parsed = json::parse(row, nullptr, false);
  if (parsed.is_discarded() || !parsed.is_object()) return BadRow("it is not a JSON object");
  try {
    return FromJson(parsed);
  } catch (const json::exception& error) {
    return BadRow(error.what());
  }
}

StartDigests SnapshotDigests(const engine::DigestState& digests) {
  StartDigests start;
  start.lsn = digests.lsn.value;
  start.space = digests.SpaceDigest();
  for (int i = 0; i < engine::kTierCount; ++i) {
    start.tiers[i] = {digests.tiers[i].count, digests.tiers[i].lanes.Publish()};
  }
  return start;
}

Result<std::optional<Job>> ReadJob(engine::ReadView& view) {
  ENGRAM_ASSIGN_OR_RETURN(const auto row, view.Meta(kJobRow));
  if (!row.has_value()) return std::optional<Job>();
  ENGRAM_ASSIGN_OR_RETURN(Job job, Job::DecodeRow(*row));
  return std::optional<Job>(std::move(job));
}

Result<CoverageLedger> ReadReceipts(engine::ReadView& view) {
  ENGRAM_ASSIGN_OR_RETURN(const auto row, view.Meta(kReceiptsRow));
  if (!row.has_value()) return CoverageLedger();
  return CoverageLedger::Decode(AsBytes(*row));
}

Status WriteJob(engine::Store& store, const Job& job, Receipts receipts) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store.Begin());
  if (receipts == Receipts::kForget) {
    ENGRAM_TRY(txn->SetMeta(kReceiptsRow, CoverageLedger().Encode()));
  }
  ENGRAM_TRY(txn->SetMeta(kJobRow, job.EncodeRow()));
  ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn, txn->Stage());
  txn.reset();
  return store.WaitDurable(lsn);
}

Status SetMode(engine::Store& store, engine::Mode mode) {
  if (store.mode() == mode) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store.Begin());
  ENGRAM_TRY(txn->SetMode(mode));
  ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn, txn->Stage());
  txn.reset();
  return store.WaitDurable(lsn);
}

// Probes with growing, then halving steps.
Result<uint64_t> LastKeyOf(engine::ReadView& view, engine::Table table) {
  uint64_t least = 1;          // there may be a key at or above this
  uint64_t past = UINT64_MAX;  // there is none at or above this
  uint64_t found = 0;
  uint64_t step = 1;
  while (least < past) {
    const uint64_t probe = step < past - least ? least + step - 1 : least + (past - least) / 2;
    uint64_t next = 0;
    ENGRAM_TRY(view.ScanTable(table, AsBytes(engine::EncodeU64Key(probe)),
                              [&](Bytes key, Bytes) -> Result<bool> {
                                if (key.size() == 8) next = LoadBe64(key.data());
                                return false;
                              }));
    if (next == 0) {
      past = probe;
      step = std::max<uint64_t>(1, (past - least) / 2);
    } else {
      found = next;
      least = next + 1;
      step *= 2;
    }
  }
  return found;
}

Result<uint64_t> LastRecordKey(engine::ReadView& view) {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t old_last, LastKeyOf(view, engine::Table::kOldHeads));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t dual_last, LastKeyOf(view, engine::Table::kHeads));
  return std::max(old_last, dual_last);
}

}  // namespace engram::migration
