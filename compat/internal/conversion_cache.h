// What reads have converted and nobody has installed yet, bounded in bytes.
#ifndef ENGRAM_COMPAT_INTERNAL_CONVERSION_CACHE_H_
#define ENGRAM_COMPAT_INTERNAL_CONVERSION_CACHE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/ids.h"
#include "engine/rows.h"

namespace engram::compat::internal {

// Keyed by node key and sequence: a write gives the record a new sequence, so an entry is never
// wrong, only useless. Thread-safe; sharded.
class ConversionCache {
 public:
  explicit ConversionCache(uint64_t size_bytes_max);

  using Convert = std::function<void(engine::DualHead*)>;
  struct Lookup {
    std::shared_ptr<const engine::DualHead> head;
    bool converted = false;  // by this call
  };
  // The cached head, else that made by `convert`. Concurrent callers for one key and sequence
  // convert once: `convert` runs under the shard's lock, so it must be pure and fast.
  Lookup GetOrConvert(NodeKey key, Lsn seq, const Convert& convert);
  void Erase(NodeKey key, Lsn seq);
  uint64_t size_bytes() const;

 private:
  static constexpr uint32_t kShardCount = 16;
  struct Entry {
    Lsn seq;
    std::shared_ptr<const engine::DualHead> head;
  };
  struct Shard {
    mutable std::mutex mutex;
    // Guarded by mutex:
    std::unordered_map<uint64_t, Entry> entries;
    std::deque<std::pair<uint64_t, Lsn>> order;  // oldest first; may name entries that are gone
  };
  Shard& ShardOf(NodeKey key) { return shards_[key.value % kShardCount]; }
  void Evict(Shard& shard);

  const uint64_t entries_per_shard_max_;
  Shard shards_[kShardCount];
};

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_CONVERSION_CACHE_H_
