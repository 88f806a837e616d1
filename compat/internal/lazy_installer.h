// Installs what reads have converted, in batches, off the reading threads.
#ifndef ENGRAM_COMPAT_INTERNAL_LAZY_INSTALLER_H_
#define ENGRAM_COMPAT_INTERNAL_LAZY_INSTALLER_H_

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "compat/internal/conversion_cache.h"
#include "engine/store.h"

namespace engram::compat::internal {

// Thread-safe. Holds no thread while nothing waits: a full batch starts one, which ends when it has
// installed what waits. A failed batch is dropped: its records are still served, converted on
// read, and the migrator installs them.
class LazyInstaller {
 public:
  struct Counters {
    uint64_t installed = 0;
    uint64_t superseded = 0;
    uint64_t failures = 0;
    std::string last_failure;
  };

  // `store` and `cache` must outlive it. `batch` 0: nothing is ever installed by itself.
  LazyInstaller(engine::Store& store, ConversionCache& cache, uint32_t batch);
  ~LazyInstaller();  // waits for a batch under way; what still waits is dropped

  // Queues one conversion; never blocks on I/O. Ignored in a read-only store.
  void Offer(NodeKey key, Lsn seq, std::shared_ptr<const engine::DualHead> head);
  // Installs what waits on the caller's thread.
  Status InstallPending();
  Counters counters() const;

 private:
  struct Conversion {
    NodeKey key;
    Lsn seq;
    std::shared_ptr<const engine::DualHead> head;
  };

  void StartThread();  // REQUIRES: mutex_ held, no thread at work
  void Work();
  std::vector<Conversion> TakePending();
  Status Install(const std::vector<Conversion>& batch);
  Status InstallInto(engine::BulkTxn& bulk, const std::vector<Conversion>& batch);
  void Settle(const std::vector<Conversion>& batch, const Status& status);

  engine::Store& store_;
  ConversionCache& cache_;
  const uint32_t batch_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<Conversion> pending_;
  bool working_ = false;
  bool stopping_ = false;
  std::thread thread_;
  Counters counters_;
};

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_LAZY_INSTALLER_H_
