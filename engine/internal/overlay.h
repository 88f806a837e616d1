// What is acknowledged and not applied yet: a list of memtables, each a stretch of LSNs. The newest
// one takes writes; the others are frozen and immutable, until the applier has committed their rows
// and drops them whole. Readers that hold a frozen memtable keep it alive.
#ifndef ENGRAM_ENGINE_INTERNAL_OVERLAY_H_
#define ENGRAM_ENGINE_INTERNAL_OVERLAY_H_

#include <array>
#include <atomic>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/internal/change_set.h"

namespace engram::engine {

// One row as the overlay has it at some LSN.
struct OverlayRow {
  Bytes key;
  Bytes value;
  bool is_delete = false;
};

// Thread-safe for one writer and many readers, none of whom waits for another; immutable once
// frozen (the owner sees to that). Returned bytes live as long as the memtable.
//
// A hash index over table and key. It, and every list below, only grows: an element is complete
// before the pointer to it is released, so a reader sees all writes up to the LSN that it knows to
// be visible, and skips those above. The links of a node (edges, bindings) are chained besides.
class Memtable {
 public:
  Memtable() = default;
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  // Takes the payload of a log record. LSNs must rise.
  void Insert(Lsn lsn, std::string payload, const ChangeSet& changes);
  // As above for a payload that is only borrowed: copies and decodes it.
  Status InsertCopy(Lsn lsn, Bytes payload);

  // The newest version of the row at or below `visible`.
  std::optional<OverlayRow> Find(Table table, Bytes key, Lsn visible) const;
  // Every row of the table with key >= first that begins with `prefix`, newest version at or below
  // `visible`, by key. REQUIRES: first begins with prefix
  void Collect(Table table, Bytes first, Bytes prefix, Lsn visible,
               std::vector<OverlayRow>* out) const;
  // Every write's digest and count changes with after < LSN <= visible, in no order.
  void CollectChanges(Lsn after, Lsn visible, std::vector<DigestChange>* digests,
                      CountDeltas* counts) const;

  Lsn last() const { return Lsn{last_.load(std::memory_order_acquire)}; }
  bool empty() const { return last().value == 0; }
  uint64_t size_bytes() const { return size_bytes_.load(std::memory_order_relaxed); }
  // As the newest write left them; final once frozen.
  uint64_t next_node_key() const { return next_node_key_.load(std::memory_order_relaxed); }
  uint64_t next_vector_key() const { return next_vector_key_.load(std::memory_order_relaxed); }

 private:
  struct Version {
    uint64_t lsn;
    const char* value;
    uint32_t value_size;
    bool is_delete;
    const Version* older;
  };
  // A key with its versions; or, in a table of links, a node, whose key their keys begin with.
  struct Row {
    std::string_view key;
    Table table;
    const Row* next;  // of the table; of a link: of its node
    std::atomic<const Version*> newest;
    std::atomic<const Row*> links;  // of a node
  };
  struct Range {
    std::string_view first, prefix;
    uint64_t visible;
  };
  struct Slot {
    std::atomic<Row*> row;
    uint32_t hash;  // of the row, there before it: other rows need not be looked at
  };
  struct Index {  // open addressing; a larger one replaces it, with the same rows
    explicit Index(size_t capacity) : mask(capacity - 1), slots(capacity) {}
    const size_t mask;
    std::vector<Slot> slots;
  };
  struct Write {
    uint64_t lsn;
    CountDeltas counts;
    std::span<const DigestChange> digests;
    const Write* older;
  };

  template <typename T>
  T* Allocate(size_t count);
  uint32_t Hash(Table table, std::string_view key) const;
  Row* FindRow(Table table, std::string_view key, uint32_t hash) const;
  Row* FindOrAddRow(Table table, std::string_view key);
  static void AddToIndex(Index* index, Row* row, uint32_t hash);
  void GrowIndex();
  static void CollectRow(const Row& row, const Range& range, std::vector<OverlayRow>* out);
  static const Version* At(const Row& row, uint64_t visible);

  std::atomic<const Index*> index_{nullptr};
  std::array<std::atomic<const Row*>, kTableCount + 1> tables_{};  // newest first
  std::atomic<const Write*> writes_{nullptr};                      // newest first
  std::atomic<uint64_t> next_node_key_{0};
  std::atomic<uint64_t> next_vector_key_{0};
  std::atomic<uint64_t> last_{0};
  std::atomic<uint64_t> size_bytes_{0};

  // The writer's.
  std::pmr::monotonic_buffer_resource arena_{16 << 10};
  std::vector<std::unique_ptr<Index>> indices_;  // the last one is current
  size_t row_count_ = 0;
  std::vector<std::unique_ptr<const std::string>> payloads_;
};

using MemtableList = std::vector<std::shared_ptr<const Memtable>>;  // oldest first
using MemtableSpan = std::span<const std::shared_ptr<const Memtable>>;

// Rows of several memtables merged, the newest version of each key, by key.
std::vector<OverlayRow> CollectMerged(MemtableSpan tables, Table table, Bytes first, Bytes prefix,
                                      Lsn visible);

// `newer` wins where both have a key. Both sorted by key.
std::vector<OverlayRow> MergeRows(const std::vector<OverlayRow>& older,
                                  const std::vector<OverlayRow>& newer);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_OVERLAY_H_
