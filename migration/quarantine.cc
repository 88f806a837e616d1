#include "migration/quarantine.h"

#include "base/coding.h"
#include "engine/rows.h"
#include "migration/audit_rows.h"

namespace engram::migration {
namespace {

constexpr std::string_view kPrefix = "convert|";
constexpr size_t kReasonSizeBytes = 4;

std::string KeyOf(NodeKey node) { return std::string(kPrefix) + engine::EncodeU64Key(node.value); }

}  // namespace

Result<bool> QuarantineRecord(engine::BulkTxn& txn, const ConvertedRange::Poison& poison) {
  const std::string head_key = engine::EncodeU64Key(poison.key.value);
  ENGRAM_ASSIGN_OR_RETURN(const auto present,
                          txn.GetRow(engine::Table::kOldHeads, AsBytes(head_key)));
  if (!present || *present != poison.old_head) return false;
  const std::string key = KeyOf(poison.key);
  ENGRAM_ASSIGN_OR_RETURN(const auto known, txn.GetRow(engine::Table::kQuarantine, AsBytes(key)));
  std::string body;
  PutLe(&body, static_cast<uint32_t>(poison.reason.size()));
  body += poison.reason + poison.old_head;
  std::string row;
  engine::EncodeChecked(AsBytes(key), AsBytes(body), &row);
  if (known == row) return false;
  if (!known) ENGRAM_TRY(txn.CountQuarantined(1));
  ENGRAM_TRY(txn.PutRow(engine::Table::kQuarantine, AsBytes(key), AsBytes(row)));
  return !known;
}

Result<bool> ReleaseRecord(engine::BulkTxn& txn, NodeKey node) {
  const std::string key = KeyOf(node);
  ENGRAM_ASSIGN_OR_RETURN(const auto row, txn.GetRow(engine::Table::kQuarantine, AsBytes(key)));
  if (!row) return false;
  ENGRAM_TRY(txn.CountQuarantined(-1));
  ENGRAM_TRY(txn.DeleteRow(engine::Table::kQuarantine, AsBytes(key)));
  return true;
}

Result<uint64_t> ReleaseChanged(engine::Store& store) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  ENGRAM_ASSIGN_OR_RETURN(const auto records, QuarantinedRecords(*view));
  view.reset();
  if (records.empty()) return uint64_t{0};
  uint64_t left = records.size();
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store.BeginBulk());
  for (const auto& [node, as_found] : records) {
    const std::string head_key = engine::EncodeU64Key(node);
    ENGRAM_ASSIGN_OR_RETURN(const auto present,
                            txn->GetRow(engine::Table::kOldHeads, AsBytes(head_key)));
    if (present == as_found) continue;
    ENGRAM_ASSIGN_OR_RETURN(const bool released, ReleaseRecord(*txn, NodeKey{node}));
    left -= released ? 1 : 0;
  }
  ENGRAM_TRY(txn->Commit({}));
  return left;
}

Result<std::map<uint64_t, std::string>> QuarantinedRecords(engine::ReadView& view) {
  std::map<uint64_t, std::string> records;
  ENGRAM_TRY(view.ScanTable(
      engine::Table::kQuarantine, AsBytes(kPrefix), [&](Bytes key, Bytes value) -> Result<bool> {
        if (!AsView(key).starts_with(kPrefix)) return false;
        if (key.size() != kPrefix.size() + 8) return true;
        const uint64_t node = LoadBe64(key.data() + kPrefix.size());
        Bytes body;
        std::string damage = ReadSmall(key, value, &body);
        if (damage.empty() && (body.size() < kReasonSizeBytes ||
                               body.size() - kReasonSizeBytes < LoadLe<uint32_t>(body.data()))) {
          damage = "it is too short";
        }
        if (!damage.empty()) {
          return Status::Corruption(
              "the quarantine row of node key " + std::to_string(node) + " is damaged: " + damage,
              "run engram space salvage on this space");
        }
        records[node] = AsView(body.subspan(kReasonSizeBytes + LoadLe<uint32_t>(body.data())));
        return true;
      }));
  return records;
}

}  // namespace engram::migration
