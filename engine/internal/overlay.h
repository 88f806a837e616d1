// What is acknowledged and not applied yet: a list of memtables, each a stretch of LSNs. The newest
// one takes writes; the others are frozen and immutable, until the applier has committed their rows
// and drops them whole. Readers that hold a frozen memtable keep it alive.
#ifndef ENGRAM_ENGINE_INTERNAL_OVERLAY_H_
#define ENGRAM_ENGINE_INTERNAL_OVERLAY_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <shared_mutex>
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

// Thread-safe for one writer and many readers; immutable once frozen (the owner sees to that).
// Returned bytes live as long as the memtable.
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
  // Every write's digest and count changes with after < LSN <= visible.
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
  struct Write {
    uint64_t lsn;
    CountDeltas counts;
    std::vector<DigestChange> digests;
  };
  using Rows = std::pmr::map<std::string_view, const Version*>;
  static const Version* At(const Version* version, uint64_t visible);

  mutable std::shared_mutex mutex_;
  std::pmr::monotonic_buffer_resource arena_{64 << 10};
  std::array<std::optional<Rows>, kTableCount + 1> tables_;
  std::vector<Write> writes_;
  std::vector<std::unique_ptr<const std::string>> payloads_;
  std::atomic<uint64_t> next_node_key_{0};
  std::atomic<uint64_t> next_vector_key_{0};
  std::atomic<uint64_t> last_{0};
  std::atomic<uint64_t> size_bytes_{0};
};

using MemtableList = std::vector<std::shared_ptr<const Memtable>>;  // oldest first

// Rows of several memtables merged, the newest version of each key, by key.
std::vector<OverlayRow> CollectMerged(const MemtableList& tables, Table table, Bytes first,
                                      Bytes prefix, Lsn visible);

// `newer` wins where both have a key. Both sorted by key.
std::vector<OverlayRow> MergeRows(const std::vector<OverlayRow>& older,
                                  const std::vector<OverlayRow>& newer);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_OVERLAY_H_
