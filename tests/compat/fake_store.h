// A store in memory with the contract of engine::Store and no disk: for tests that enumerate
// schedules, inject failures, or count what the backend asks for. The same tests run on the real
// store too; what only the real one can show (durability, scale) is not tested here.
#ifndef ENGRAM_TESTS_COMPAT_FAKE_STORE_H_
#define ENGRAM_TESTS_COMPAT_FAKE_STORE_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/store.h"

namespace engram::compat::testing {

struct FakeRow {
  std::optional<engine::OldHead> old_head;
  std::optional<engine::DualHead> dual_head;
  engine::TextFields text;
  std::optional<engine::Extension> extension;
};
struct FakeEdge {
  uint64_t source = 0, target = 0, ordinal = 0;
  float weight = 0, contribution = 0;
};
// One version of everything.
struct FakeState {
  engine::Mode mode = engine::Mode::kLegacy;
  uint64_t lsn = 0;
  uint64_t next_key = 1, next_vector = 1, next_ordinal = 1;
  std::map<std::string, uint64_t> ids;
  std::map<uint64_t, std::string> id_of;
  std::map<Uuid, uint64_t> uuids;
  std::map<uint64_t, FakeRow> rows;
  std::map<uint64_t, std::pair<uint64_t, std::shared_ptr<const engine::Embedding>>> vectors;
  std::vector<FakeEdge> edges, bindings;
  std::map<std::string, std::string> meta;
};

class FakeStore final : public engine::Store {
 public:
  explicit FakeStore(std::string space = "default") : space_(std::move(space)) {}

  Status Close() override { return Status::Ok(); }
  using engine::Store::Begin;
  Result<std::unique_ptr<engine::WriteTxn>> Begin(const BeginOptions& options) override;
  Status WaitDurable(Lsn lsn) override;
  Result<std::unique_ptr<engine::ReadView>> View() override;
  Result<std::unique_ptr<engine::ReadView>> Snapshot() override { return View(); }
  Status Drain(const DrainOptions&) override { return Status::Ok(); }
  Result<std::unique_ptr<engine::BulkTxn>> BeginBulk() override;
  Status RecycleLog() override { return Status::Ok(); }
  Result<std::vector<engine::SearchHit>> Search(const engine::Embedding& query,
                                                uint32_t k) override;
  Result<engine::DigestState> CopyTo(const std::string&) override {
    return Status::Unsupported("not in the fake");
  }
  Status RestoreFrom(const std::string&, const Sha256Digest&) override {
    return Status::Unsupported("not in the fake");
  }
  Result<engine::CompactReport> Compact(const engine::CompactOptions&) override;
  engine::Mode mode() const override { return StateNow()->mode; }
  engine::StoreInfo Info() override { return {}; }
  Result<uint64_t> LiveBytes() override { return 0; }
  const engine::RecoveryReport& recovery() const override { return recovery_; }
  const std::string& space() const override { return space_; }
  bool read_only() const override { return make_read_only; }

  std::shared_ptr<const FakeState> StateNow() const;
  // Changes the state behind the backend's back, as damage would.
  void Tamper(const std::function<void(FakeState*)>& change);

  // Switches and counters for tests.
  std::atomic<bool> make_read_only{false};
  std::atomic<bool> fail_bulk{false};
  std::atomic<uint64_t> fail_stage_at_lsn{0};
  std::atomic<bool> blind_install{false};  // INV-1 broken on purpose: no compare
  std::atomic<uint64_t> heads_installed{0};
  std::atomic<uint64_t> bulk_begun{0};
  std::atomic<uint64_t> waits{0};

 private:
  friend class FakeWrite;
  friend class FakeBulk;
  void Publish(std::shared_ptr<const FakeState> state);

  const std::string space_;
  engine::RecoveryReport recovery_;
  std::mutex write_mutex_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::shared_ptr<const FakeState> visible_ = std::make_shared<FakeState>();
  std::shared_ptr<const FakeState> staged_ = visible_;  // visible plus what is not durable yet
  std::map<uint64_t, std::shared_ptr<const FakeState>> waiting_;  // by LSN
};

}  // namespace engram::compat::testing

#endif  // ENGRAM_TESTS_COMPAT_FAKE_STORE_H_
