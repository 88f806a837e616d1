// Rendered answers of list requests, kept while nothing was written. Bounded in bytes; the one
// used longest ago goes first.
#ifndef ENGRAM_SERVER_API_PAGE_CACHE_H_
#define ENGRAM_SERVER_API_PAGE_CACHE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/mutex.h"
#include "server/graph/space_registry.h"

namespace engram::server {

// What a page was rendered from: taken before the first read for it.
struct PageVersion {
  uint64_t writes = 0;
  bool cacheable = false;  // false: a write is in flight or the space is arriving

  static PageVersion Of(const ServedSpace& space);
};

// Thread-safe. Why it never serves what an acknowledged write has changed: docs/http-api.md,
// "Listing".
class PageCache {
 public:
  explicit PageCache(size_t size_bytes_max) : size_bytes_max_(size_bytes_max) {}
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;

  // The page, if it is that of now; else null. `key` names the request within the space.
  std::shared_ptr<const std::string> Find(const ServedSpace& space, const std::string& key);
  void Put(const ServedSpace& space, const std::string& key, const PageVersion& version,
           std::string page);

 private:
  struct Entry {
    std::string key;
    uint64_t writes;
    std::shared_ptr<const std::string> page;
  };
  static std::string FullKey(const ServedSpace& space, const std::string& key);
  static size_t SizeBytes(const Entry& entry);
  void Drop(std::list<Entry>::iterator entry) ENGRAM_REQUIRES(mutex_);

  const size_t size_bytes_max_;
  Mutex mutex_;
  std::list<Entry> entries_ ENGRAM_GUARDED_BY(mutex_);  // used last in front
  std::unordered_map<std::string, std::list<Entry>::iterator> index_ ENGRAM_GUARDED_BY(mutex_);
  size_t size_bytes_ ENGRAM_GUARDED_BY(mutex_) = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_PAGE_CACHE_H_
