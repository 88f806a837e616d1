#include "compat/memory_backend.h"

#include "base/check.h"
#include "compat/internal/backend.h"

namespace engram::compat {

std::unique_ptr<MemoryBackend> MemoryBackend::Make(engine::Store& store,
                                                   const BackendOptions& options) {
  Result<SpaceId> space = SpaceId::Parse(store.space());
  ENGRAM_CHECK(space.ok());  // the store was opened under it
  return std::make_unique<internal::Backend>(store, *space, options);
}

namespace internal {

using engine::Mode;

Backend::Backend(engine::Store& store, SpaceId space, const BackendOptions& options)
    : store_(store),
      space_(std::move(space)),
      gate_(Clock::System()),
      cache_(options.conversion_cache_bytes_max),
      installer_(store, cache_, options.lazy_install_batch) {}

Result<uint64_t> Backend::Count() {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto counts, view->Count());
  return counts.records;
}

// In steps: what a crash interrupts is partly cleared, and clearing again finishes it.
Status Backend::Clear() {
  constexpr uint64_t kKeysPerStep = 1000;
  engine::WriteTxn::ClearOptions options;
  options.keys_max = kKeysPerStep;
  do {
    ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
    ENGRAM_ASSIGN_OR_RETURN(options.after, txn->Clear(options));
    ENGRAM_TRY(Commit(txn->Stage()).status());
  } while (options.after);
  return Status::Ok();
}

Result<std::unique_ptr<engine::WriteTxn>> Backend::BeginWrite(
    const engine::Store::BeginOptions& options) {
  const uint64_t arrived = gate_.Arrive();
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_.Begin(options));
  gate_.Admit(arrived);
  return txn;
}

Status Backend::SetMode(Mode mode) {
  // What a log record would have to flush first is flushed before writers have to wait for it.
  ENGRAM_TRY(store_.Drain({.sync = true}));
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_.Begin());
  std::optional<ModeGate::Change> change(gate_);
  Mode current = txn->view().mode();
  if (current == mode) {
    change.reset();
    return AfterEarlierWrites(std::move(txn), Status::Ok());
  }
  if (current == Mode::kFinalized) {
    return Status::FailedPrecondition(
        "the space is finalized: its old heads are gone, so its mode stays finalized and cannot "
        "be " +
            std::string(ModeName(mode)),
        "a finalized space serves both models; only a backup made before engram compact --finalize "
        "has the old heads");
  }
  if (mode == Mode::kFinalized) {
    ENGRAM_ASSIGN_OR_RETURN(auto counts, txn->view().Count());
    if (counts.old != 0) {
      return Status::FailedPrecondition(
          std::to_string(counts.old) + " records are not converted yet",
          "run engram compact --finalize, which converts and verifies them first");
    }
  }
  ENGRAM_TRY(txn->SetMode(mode));
  auto staged = txn->Stage();
  txn.reset();
  change.reset();
  return Commit(std::move(staged)).status();
}

Status Backend::InstallConversions() {
  if (store_.read_only()) return Status::Ok();
  return installer_.InstallPending();
}

BackendStats Backend::Stats() {
  LazyInstaller::Counters installs = installer_.counters();
  BackendStats stats;
  stats.converted_on_read = converted_on_read_;
  stats.conversion_cache_hits = cache_hits_;
  stats.conversions_installed = installs.installed;
  stats.conversions_superseded = installs.superseded;
  stats.install_failures = installs.failures;
  stats.last_install_failure = installs.last_failure;
  stats.shadow_compared = shadow_compared_;
  stats.shadow_mismatches = shadow_mismatches_;
  stats.mode_gate = gate_.waits();
  std::lock_guard lock(shadow_mutex_);
  stats.shadow_mismatch_ids = shadow_mismatch_ids_;
  return stats;
}

}  // namespace internal
}  // namespace engram::compat
