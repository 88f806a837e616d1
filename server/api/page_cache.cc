#include "server/api/page_cache.h"

#include <utility>

namespace engram::server {
namespace {

constexpr size_t kEntryOverheadBytes = 256;  // list node, index node, control block

}  // namespace

PageVersion PageVersion::Of(const ServedSpace& space) {
  PageVersion version;
  version.cacheable = space.writes_in_flight == 0 && !space.arriving;
  version.writes = space.writes;
  return version;
}

// The time of opening tells two lives of a space apart: its count of writes starts anew.
std::string PageCache::FullKey(const ServedSpace& space, const std::string& key) {
  return space.name + '/' + std::to_string(space.opened_at_unix_ns) + '/' + key;
}

size_t PageCache::SizeBytes(const Entry& entry) {
  return 2 * entry.key.size() + entry.page->size() + kEntryOverheadBytes;
}

std::shared_ptr<const std::string> PageCache::Find(const ServedSpace& space,
                                                   const std::string& key) {
  const PageVersion now = PageVersion::Of(space);
  if (!now.cacheable) return nullptr;
  MutexLock lock(mutex_);
  const auto found = index_.find(FullKey(space, key));
  if (found == index_.end()) return nullptr;
  if (found->second->writes != now.writes) {
    Drop(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->page;
}

void PageCache::Put(const ServedSpace& space, const std::string& key, const PageVersion& version,
                    std::string page) {
  if (!version.cacheable) return;
  Entry entry{FullKey(space, key), version.writes,
              std::make_shared<const std::string>(std::move(page))};
  const size_t size_bytes = SizeBytes(entry);
  if (size_bytes > size_bytes_max_ / 4) return;  // one page must not push all others out
  MutexLock lock(mutex_);
  const auto found = index_.find(entry.key);
  if (found != index_.end()) Drop(found->second);
  entries_.push_front(std::move(entry));
  index_[entries_.front().key] = entries_.begin();
  size_bytes_ += size_bytes;
  while (size_bytes_ > size_bytes_max_) Drop(std::prev(entries_.end()));
}

void PageCache::Drop(std::list<Entry>::iterator entry) {
  size_bytes_ -= SizeBytes(*entry);
  index_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace engram::server
