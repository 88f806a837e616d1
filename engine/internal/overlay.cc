#include "engine/internal/overlay.h"

#include <mutex>
#include <new>

#include "base/check.h"

namespace engram::engine {
namespace {

// What a row costs beside its bytes: map node, version, and its share of the lists.
constexpr uint64_t kRowOverheadBytes = 112;

}  // namespace

void Memtable::Insert(Lsn lsn, std::string payload, const ChangeSet& changes) {
  std::unique_lock lock(mutex_);
  ENGRAM_CHECK(lsn > last());
  size_bytes_.fetch_add(payload.size() + changes.rows.size() * kRowOverheadBytes,
                        std::memory_order_relaxed);
  // Moving a long string keeps its bytes where they are, so the rows of `changes` stay valid.
  ENGRAM_CHECK(payload.size() > sizeof(std::string));
  payloads_.push_back(std::make_unique<const std::string>(std::move(payload)));
  for (const RowChange& row : changes.rows) {
    auto& table = tables_[static_cast<int>(row.table)];
    if (!table) table.emplace(&arena_);
    auto [at, inserted] = table->try_emplace(AsView(row.key), nullptr);
    void* place = arena_.allocate(sizeof(Version), alignof(Version));
    at->second =
        new (place) Version{lsn.value, reinterpret_cast<const char*>(row.value.data()),
                            static_cast<uint32_t>(row.value.size()), row.is_delete, at->second};
  }
  writes_.push_back({lsn.value, changes.counts, changes.digests});
  next_node_key_ = changes.next_node_key;
  next_vector_key_ = changes.next_vector_key;
  last_.store(lsn.value, std::memory_order_release);
}

Status Memtable::InsertCopy(Lsn lsn, Bytes payload) {
  std::string copy(AsView(payload));
  ChangeSet changes;
  ENGRAM_TRY(DecodeChangeSet(AsBytes(copy), &changes));
  Insert(lsn, std::move(copy), changes);
  return Status::Ok();
}

const Memtable::Version* Memtable::At(const Version* version, uint64_t visible) {
  while (version != nullptr && version->lsn > visible) version = version->older;
  return version;
}

std::optional<OverlayRow> Memtable::Find(Table table, Bytes key, Lsn visible) const {
  std::shared_lock lock(mutex_);
  const auto& rows = tables_[static_cast<int>(table)];
  if (!rows) return std::nullopt;
  auto found = rows->find(AsView(key));
  if (found == rows->end()) return std::nullopt;
  const Version* version = At(found->second, visible.value);
  if (version == nullptr) return std::nullopt;
  return OverlayRow{AsBytes(found->first), AsBytes({version->value, version->value_size}),
                    version->is_delete};
}

void Memtable::Collect(Table table, Bytes first, Bytes prefix, Lsn visible,
                       std::vector<OverlayRow>* out) const {
  std::shared_lock lock(mutex_);
  const auto& rows = tables_[static_cast<int>(table)];
  if (!rows) return;
  for (auto row = rows->lower_bound(AsView(first)); row != rows->end(); ++row) {
    if (!row->first.starts_with(AsView(prefix))) break;
    const Version* version = At(row->second, visible.value);
    if (version == nullptr) continue;
    out->push_back(
        {AsBytes(row->first), AsBytes({version->value, version->value_size}), version->is_delete});
  }
}

void Memtable::CollectChanges(Lsn after, Lsn visible, std::vector<DigestChange>* digests,
                              CountDeltas* counts) const {
  std::shared_lock lock(mutex_);
  for (const Write& write : writes_) {
    if (write.lsn <= after.value || write.lsn > visible.value) continue;
    counts->Add(write.counts);
    digests->insert(digests->end(), write.digests.begin(), write.digests.end());
  }
}

std::vector<OverlayRow> MergeRows(const std::vector<OverlayRow>& older,
                                  const std::vector<OverlayRow>& newer) {
  std::vector<OverlayRow> merged;
  merged.reserve(older.size() + newer.size());
  auto old = older.begin();
  for (const OverlayRow& row : newer) {
    while (old != older.end() && AsView(old->key) < AsView(row.key)) merged.push_back(*old++);
    if (old != older.end() && AsView(old->key) == AsView(row.key)) ++old;
    merged.push_back(row);
  }
  merged.insert(merged.end(), old, older.end());
  return merged;
}

std::vector<OverlayRow> CollectMerged(const MemtableList& tables, Table table, Bytes first,
                                      Bytes prefix, Lsn visible) {
  std::vector<OverlayRow> merged, next;
  for (const auto& memtable : tables) {
    next.clear();
    memtable->Collect(table, first, prefix, visible, &next);
    if (next.empty()) continue;
    if (merged.empty()) {
      merged.swap(next);
    } else {
      merged = MergeRows(merged, next);
    }
  }
  return merged;
}

}  // namespace engram::engine
