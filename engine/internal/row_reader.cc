#include "engine/internal/row_reader.h"

#include "base/check.h"

namespace engram::engine {
namespace {

std::string StagedKey(Table table, Bytes key) {
  std::string out(1, static_cast<char>(table));
  PutBytes(&out, key);
  return out;
}

}  // namespace

std::string_view TableName(Table table) {
  static constexpr std::string_view kNames[kTableCount + 1] = {
      "",           "meta",         "heads",       "old_heads", "content",
      "extensions", "embeddings",   "ids",         "uuids",     "edges_out",
      "edges_in",   "bindings_out", "bindings_in", "digests",   "tombstones",
      "quarantine"};
  return kNames[static_cast<int>(table)];
}

Status DamagedRow(const lmdb::Environment& environment, Table table, Bytes key,
                  std::string_view what) {
  return Status::Corruption(
      environment.path() + "/data.mdb, table " + std::string(TableName(table)) + ", key " +
          ToHex(key.first(std::min<size_t>(key.size(), 32))) + ": " + std::string(what),
      "`engram verify` lists all that is damaged, `engram space salvage --dry-run` shows what "
      "would "
      "be kept; `engram space salvage --yes` goes on without the rest");
}

void StagedRows::Note(Table table, Bytes key, uint32_t offset) {
  offsets_.insert_or_assign(std::pmr::string(StagedKey(table, key), &arena_), offset);
}

std::optional<OverlayRow> StagedRows::Find(Table table, Bytes key) const {
  if (offsets_.empty()) return std::nullopt;
  auto found = offsets_.find(std::string_view(StagedKey(table, key)));
  if (found == offsets_.end()) return std::nullopt;
  const RowChange row = builder_.RowAt(found->second);
  return OverlayRow{row.key, row.value, row.is_delete};
}

std::vector<OverlayRow> StagedRows::Collect(Table table, Bytes first, Bytes prefix) const {
  std::vector<OverlayRow> rows;
  const std::string prefix_key = StagedKey(table, prefix);
  for (auto at = offsets_.lower_bound(std::string_view(StagedKey(table, first)));
       at != offsets_.end(); ++at) {
    if (!at->first.starts_with(prefix_key)) break;
    const RowChange row = builder_.RowAt(at->second);
    rows.push_back({row.key, row.value, row.is_delete});
  }
  return rows;
}

Result<std::optional<Bytes>> RowReader::Get(Table table, Bytes key) const {
  if (staged_ != nullptr) {
    if (auto row = staged_->Find(table, key)) {
      return row->is_delete ? std::optional<Bytes>() : std::optional<Bytes>(row->value);
    }
  }
  if (state_.IsUnborn(table, key)) return std::optional<Bytes>();
  for (auto memtable = state_.tables.rbegin(); memtable != state_.tables.rend(); ++memtable) {
    if (auto row = (*memtable)->Find(table, key, state_.visible)) {
      return row->is_delete ? std::optional<Bytes>() : std::optional<Bytes>(row->value);
    }
  }
  return state_.txn.Get(table, key);
}

std::vector<OverlayRow> RowReader::CollectOverlay(Table table, Bytes first, Bytes prefix) const {
  std::vector<OverlayRow> overlay =
      CollectMerged(state_.tables, table, first, prefix, state_.visible);
  if (staged_ == nullptr || staged_->empty()) return overlay;
  return MergeRows(overlay, staged_->Collect(table, first, prefix));
}

Status RowReader::Scan(Table table, Bytes first, Bytes prefix,
                       const std::function<Result<bool>(Bytes, Bytes)>& visit) const {
  if (first.empty()) first = prefix;
  const std::vector<OverlayRow> overlay = CollectOverlay(table, first, prefix);
  ENGRAM_ASSIGN_OR_RETURN(auto cursor, lmdb::ReadCursor::Open(state_.txn, table));
  Bytes key, value;
  ENGRAM_ASSIGN_OR_RETURN(bool more, cursor->Seek(first, &key, &value));
  auto row = overlay.begin();
  for (;;) {
    if (more && !AsView(key).starts_with(AsView(prefix))) more = false;
    if (!more && row == overlay.end()) return Status::Ok();
    const bool from_overlay = row != overlay.end() && (!more || AsView(row->key) <= AsView(key));
    const bool replaces = from_overlay && more && AsView(row->key) == AsView(key);
    if (!from_overlay || !row->is_delete) {
      ENGRAM_ASSIGN_OR_RETURN(bool go_on,
                              from_overlay ? visit(row->key, row->value) : visit(key, value));
      if (!go_on) return Status::Ok();
    }
    if (from_overlay) ++row;
    if (more && (!from_overlay || replaces)) {
      ENGRAM_ASSIGN_OR_RETURN(more, cursor->Next(&key, &value));
    }
  }
}

Result<std::optional<std::pair<Bytes, Bytes>>> RowReader::Last(Table table, Bytes prefix) const {
  using Row = std::pair<Bytes, Bytes>;
  const std::vector<OverlayRow> overlay = CollectOverlay(table, prefix, prefix);
  ENGRAM_ASSIGN_OR_RETURN(auto cursor, lmdb::ReadCursor::Open(state_.txn, table));
  Bytes key, value;
  ENGRAM_ASSIGN_OR_RETURN(bool more, cursor->SeekLast(prefix, &key, &value));
  auto row = overlay.rbegin();
  for (;;) {
    if (more && !AsView(key).starts_with(AsView(prefix))) more = false;
    if (!more && row == overlay.rend()) return std::optional<Row>();
    const bool from_overlay = row != overlay.rend() && (!more || AsView(row->key) >= AsView(key));
    if (!from_overlay) return std::optional<Row>(Row(key, value));
    if (!row->is_delete) return std::optional<Row>(Row(row->key, row->value));
    if (more && AsView(row->key) == AsView(key)) {
      ENGRAM_ASSIGN_OR_RETURN(more, cursor->Previous(&key, &value));
    }
    ++row;
  }
}

Status RowReader::Damaged(Table table, Bytes key, std::string_view what) const {
  return DamagedRow(*state_.environment, table, key, what);
}

Result<std::optional<Bytes>> RowReader::GetChecked(Table table, Bytes key) const {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> value, Get(table, key));
  if (!value) return std::optional<Bytes>();
  auto body = DecodeChecked(key, *value);
  if (!body.ok()) return Damaged(table, key, body.status().message());
  return std::optional<Bytes>(*body);
}

}  // namespace engram::engine
