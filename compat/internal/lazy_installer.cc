#include "compat/internal/lazy_installer.h"

#include "compat/internal/write_plan.h"

namespace engram::compat::internal {
namespace {

// Beyond this many batches new conversions are not queued: the reader must not pay for a slow disk.
constexpr uint64_t kBatchesPendingMax = 4;
// With batch 0 the owner calls InstallPending() itself.
constexpr uint64_t kPendingWithoutBatchMax = 65536;

}  // namespace

LazyInstaller::LazyInstaller(engine::Store& store, ConversionCache& cache, uint32_t batch)
    : store_(store), cache_(cache), batch_(batch) {}

LazyInstaller::~LazyInstaller() {
  std::thread last;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    last = std::move(thread_);
  }
  if (last.joinable()) last.join();
}

void LazyInstaller::Offer(NodeKey key, Lsn seq, std::shared_ptr<const engine::DualHead> head) {
  if (store_.read_only()) return;
  std::unique_lock lock(mutex_);
  uint64_t pending_max = batch_ == 0 ? kPendingWithoutBatchMax : kBatchesPendingMax * batch_;
  if (stopping_ || pending_.size() >= pending_max) {
    lock.unlock();
    cache_.Erase(key, seq);  // so that a later read offers it again
    return;
  }
  pending_.push_back({key, seq, std::move(head)});
  if (batch_ != 0 && pending_.size() >= batch_ && !working_) StartThread();
}

void LazyInstaller::StartThread() {
  if (thread_.joinable()) thread_.join();  // it has ended: working_ is false
  working_ = true;
  thread_ = std::thread([this] { Work(); });
}

void LazyInstaller::Work() {
  while (true) {
    std::vector<Conversion> batch;
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || pending_.empty()) {
        working_ = false;
        return;
      }
      batch.swap(pending_);
    }
    IgnoreError(Install(batch), "optional: the records stay readable; counted in the statistics");
  }
}

std::vector<LazyInstaller::Conversion> LazyInstaller::TakePending() {
  std::lock_guard lock(mutex_);
  return std::move(pending_);
}

Status LazyInstaller::InstallPending() {
  std::vector<Conversion> batch = TakePending();
  return batch.empty() ? Status::Ok() : Install(batch);
}

Status LazyInstaller::Install(const std::vector<Conversion>& batch) {
  Status status;
  auto bulk = store_.BeginBulk();
  if (bulk.ok()) {
    status = InstallInto(**bulk, batch);
  } else {
    status = bulk.status();
  }
  Settle(batch, status);
  return status;
}

Status LazyInstaller::InstallInto(engine::BulkTxn& bulk, const std::vector<Conversion>& batch) {
  // The mode may have changed since the reads. A bulk transaction excludes writers, so it holds
  // from here to the commit: a space that went back to `legacy` gets no new heads.
  if (!ConvertsLazily(store_.mode())) return Status::Ok();
  uint64_t installed = 0;
  for (const Conversion& c : batch) {
    ENGRAM_ASSIGN_OR_RETURN(bool done, bulk.InstallDualHead(c.key, c.seq, *c.head));
    installed += done;
  }
  ENGRAM_TRY(bulk.Commit({}));
  std::lock_guard lock(mutex_);
  counters_.installed += installed;
  counters_.superseded += batch.size() - installed;
  return Status::Ok();
}

// Whether installed, superseded or failed: later reads see the store, not the cache.
void LazyInstaller::Settle(const std::vector<Conversion>& batch, const Status& status) {
  for (const Conversion& c : batch) cache_.Erase(c.key, c.seq);
  if (status.ok()) return;
  std::lock_guard lock(mutex_);
  ++counters_.failures;
  counters_.last_failure = status.ToString();
}

LazyInstaller::Counters LazyInstaller::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace engram::compat::internal
