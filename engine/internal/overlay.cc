#include "engine/internal/overlay.h"

#include <algorithm>
#include <new>

#include "base/check.h"

namespace engram::engine {
namespace {

// What a row costs beside its bytes: row, version, and its share of the index and the lists.
constexpr uint64_t kRowOverheadBytes = 136;
constexpr size_t kIndexCapacityMin = 64;
constexpr size_t kNodeKeySizeBytes = 8;

bool HoldsLinks(Table table) {
  return table == Table::kEdgesOut || table == Table::kEdgesIn || table == Table::kBindingsOut ||
         table == Table::kBindingsIn;
}

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

// Seeded by the memtable's address: ids are the clients' choice.
uint32_t Memtable::Hash(Table table, std::string_view key) const {
  constexpr uint64_t kOdd1 = 0x9e3779b97f4a7c15, kOdd2 = 0xd6e8feb86659fd93;
  uint64_t hash = reinterpret_cast<uintptr_t>(this) ^ static_cast<uint64_t>(table) << 56;
  while (key.size() >= 8) {
    hash = Mix(hash ^ LoadLe<uint64_t>(key.data()), kOdd1);
    key.remove_prefix(8);
  }
  uint64_t rest = key.size();
  for (const char c : key) rest = rest << 8 | static_cast<uint8_t>(c);
  return static_cast<uint32_t>(Mix(hash ^ rest, kOdd2));
}

template <typename T>
T* Memtable::Allocate(size_t count) {
  return static_cast<T*>(arena_.allocate(count * sizeof(T), alignof(T)));
}

Memtable::Row* Memtable::FindRow(Table table, std::string_view key, uint32_t hash) const {
  const Index* index = index_.load(std::memory_order_acquire);
  if (index == nullptr) return nullptr;
  for (size_t at = hash & index->mask;; at = (at + 1) & index->mask) {
    const Slot& slot = index->slots[at];
    Row* row = slot.row.load(std::memory_order_acquire);
    if (row == nullptr) return nullptr;
    if (slot.hash == hash && row->table == table && row->key == key) return row;
  }
}

void Memtable::AddToIndex(Index* index, Row* row, uint32_t hash) {
  size_t at = hash & index->mask;
  while (index->slots[at].row.load(std::memory_order_relaxed) != nullptr) {
    at = (at + 1) & index->mask;
  }
  index->slots[at].hash = hash;
  index->slots[at].row.store(row, std::memory_order_release);
}

// At most half full. Readers may still be in the one before: it stays.
void Memtable::GrowIndex() {
  const size_t capacity = indices_.empty() ? kIndexCapacityMin : 2 * (indices_.back()->mask + 1);
  auto grown = std::make_unique<Index>(capacity);
  if (!indices_.empty()) {
    for (const auto& slot : indices_.back()->slots) {
      Row* row = slot.row.load(std::memory_order_relaxed);
      if (row != nullptr) AddToIndex(grown.get(), row, slot.hash);
    }
  }
  index_.store(grown.get(), std::memory_order_release);
  indices_.push_back(std::move(grown));
}

// `key` lives as long as the memtable. A table of links lists its nodes, each node its links.
Memtable::Row* Memtable::FindOrAddRow(Table table, std::string_view key) {
  const uint32_t hash = Hash(table, key);
  if (Row* found = FindRow(table, key, hash)) return found;
  auto* row = new (Allocate<Row>(1)) Row{key, table, nullptr, nullptr, nullptr};
  const bool is_link = HoldsLinks(table) && key.size() > kNodeKeySizeBytes;
  std::atomic<const Row*>& list = is_link
                                      ? FindOrAddRow(table, key.substr(0, kNodeKeySizeBytes))->links
                                      : tables_[static_cast<int>(table)];
  row->next = list.load(std::memory_order_relaxed);
  list.store(row, std::memory_order_release);
  ++row_count_;
  if (indices_.empty() || 2 * row_count_ > indices_.back()->mask) GrowIndex();
  AddToIndex(indices_.back().get(), row, hash);
  return row;
}

void Memtable::Insert(Lsn lsn, std::string payload, const ChangeSet& changes) {
  ENGRAM_CHECK(lsn > last());
  size_bytes_.fetch_add(payload.size() + changes.rows.size() * kRowOverheadBytes,
                        std::memory_order_relaxed);
  // Moving a long string keeps its bytes where they are, so the rows of `changes` stay valid.
  ENGRAM_CHECK(payload.size() > sizeof(std::string));
  payloads_.push_back(std::make_unique<const std::string>(std::move(payload)));
  for (const RowChange& change : changes.rows) {
    Row* row = FindOrAddRow(change.table, AsView(change.key));
    row->newest.store(new (Allocate<Version>(1))
                          Version{lsn.value, reinterpret_cast<const char*>(change.value.data()),
                                  static_cast<uint32_t>(change.value.size()), change.is_delete,
                                  row->newest.load(std::memory_order_relaxed)},
                      std::memory_order_release);
  }
  auto* digests = Allocate<DigestChange>(changes.digests.size());
  std::uninitialized_copy(changes.digests.begin(), changes.digests.end(), digests);
  writes_.store(new (Allocate<Write>(1)) Write{lsn.value,
                                               changes.counts,
                                               {digests, changes.digests.size()},
                                               writes_.load(std::memory_order_relaxed)},
                std::memory_order_release);
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

const Memtable::Version* Memtable::At(const Row& row, uint64_t visible) {
  const Version* version = row.newest.load(std::memory_order_acquire);
  while (version != nullptr && version->lsn > visible) version = version->older;
  return version;
}

std::optional<OverlayRow> Memtable::Find(Table table, Bytes key, Lsn visible) const {
  if (empty()) return std::nullopt;
  const Row* row = FindRow(table, AsView(key), Hash(table, AsView(key)));
  const Version* version = row == nullptr ? nullptr : At(*row, visible.value);
  if (version == nullptr) return std::nullopt;
  return OverlayRow{AsBytes(row->key), AsBytes({version->value, version->value_size}),
                    version->is_delete};
}

void Memtable::CollectRow(const Row& row, const Range& range, std::vector<OverlayRow>* out) {
  if (row.key < range.first || !row.key.starts_with(range.prefix)) return;
  const Version* version = At(row, range.visible);
  if (version == nullptr) return;
  out->push_back(
      {AsBytes(row.key), AsBytes({version->value, version->value_size}), version->is_delete});
}

void Memtable::Collect(Table table, Bytes first, Bytes prefix, Lsn visible,
                       std::vector<OverlayRow>* out) const {
  if (empty()) return;
  const Range range{AsView(first), AsView(prefix), visible.value};
  const size_t begin = out->size();
  const auto collect_links = [&](const Row& node) {
    const Row* link = node.links.load(std::memory_order_acquire);
    for (; link != nullptr; link = link->next) CollectRow(*link, range, out);
  };
  if (HoldsLinks(table) && prefix.size() >= kNodeKeySizeBytes) {
    const std::string_view node_key = range.prefix.substr(0, kNodeKeySizeBytes);
    const Row* node = FindRow(table, node_key, Hash(table, node_key));
    if (node != nullptr) collect_links(*node);
  } else {
    const Row* row = tables_[static_cast<int>(table)].load(std::memory_order_acquire);
    for (; row != nullptr; row = row->next) {
      CollectRow(*row, range, out);
      collect_links(*row);
    }
  }
  // Keys are mostly given in ascending order, and the lists begin with the newest.
  const auto added = out->begin() + static_cast<ptrdiff_t>(begin);
  std::reverse(added, out->end());
  const auto by_key = [](const OverlayRow& a, const OverlayRow& b) {
    return AsView(a.key) < AsView(b.key);
  };
  if (!std::is_sorted(added, out->end(), by_key)) std::sort(added, out->end(), by_key);
}

void Memtable::CollectChanges(Lsn after, Lsn visible, std::vector<DigestChange>* digests,
                              CountDeltas* counts) const {
  const Write* write = writes_.load(std::memory_order_acquire);
  for (; write != nullptr && write->lsn > after.value; write = write->older) {
    if (write->lsn > visible.value) continue;
    counts->Add(write->counts);
    digests->insert(digests->end(), write->digests.begin(), write->digests.end());
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

std::vector<OverlayRow> CollectMerged(MemtableSpan tables, Table table, Bytes first, Bytes prefix,
                                      Lsn visible) {
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
