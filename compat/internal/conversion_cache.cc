#include "compat/internal/conversion_cache.h"

namespace engram::compat::internal {
namespace {

// The head with its control block, the map node and the place in the order.
constexpr uint64_t kEntrySizeBytes = sizeof(engine::DualHead) + 32 + 64 + 16;

}  // namespace

ConversionCache::ConversionCache(uint64_t size_bytes_max)
    : entries_per_shard_max_(size_bytes_max / kEntrySizeBytes / kShardCount) {}

ConversionCache::Lookup ConversionCache::GetOrConvert(NodeKey key, Lsn seq,
                                                      const Convert& convert) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  auto found = shard.entries.find(key.value);
  if (found != shard.entries.end() && found->second.seq == seq) return {found->second.head, false};
  auto head = std::make_shared<engine::DualHead>();
  convert(head.get());
  // A reader at an older view must not displace what newer readers use.
  bool keep = found == shard.entries.end() || found->second.seq < seq;
  if (keep && entries_per_shard_max_ > 0) {
    shard.entries[key.value] = {seq, head};
    shard.order.push_back({key.value, seq});
    Evict(shard);
  }
  return {std::move(head), true};
}

void ConversionCache::Evict(Shard& shard) {
  // Stale names in `order` count too, so that it stays as bounded as the entries.
  while (shard.order.size() > entries_per_shard_max_) {
    auto [key, seq] = shard.order.front();
    shard.order.pop_front();
    auto found = shard.entries.find(key);
    if (found != shard.entries.end() && found->second.seq == seq) shard.entries.erase(found);
  }
}

void ConversionCache::Erase(NodeKey key, Lsn seq) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  auto found = shard.entries.find(key.value);
  if (found != shard.entries.end() && found->second.seq == seq) shard.entries.erase(found);
}

uint64_t ConversionCache::size_bytes() const {
  uint64_t count = 0;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    count += shard.entries.size();
  }
  return count * kEntrySizeBytes;
}

}  // namespace engram::compat::internal
