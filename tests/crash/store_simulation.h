// A store on a simulated machine together with its model: random operations, crashes, recoveries.
#ifndef ENGRAM_TESTS_CRASH_STORE_SIMULATION_H_
#define ENGRAM_TESTS_CRASH_STORE_SIMULATION_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "migration/checkpoint.h"
#include "tests/crash/crash_support.h"
#include "tests/crash/store_model.h"

namespace engram::testing {

class StoreSimulation {
 public:
  StoreSimulation(uint64_t seed, const std::string& ignored_flush);
  ~StoreSimulation();

  // Lives and crashes until enough operations were done.
  SeedOutcome Run(uint64_t operations_min);

  // --- The steps, for tests with a schedule of their own --------------------------------------
  // Opens the store and compares it with the model: what was acknowledged is there, what is there
  // is a prefix of what was issued. False if it did not open; open_status() says why.
  bool Open();
  Status open_status() const { return open_status_; }
  // One random operation. A failure of the store ends up in the status.
  Status Operate();
  Status Put(const std::string& id);  // staged and acknowledged
  Status Remove(const std::string& id);
  // Compares a view with the model once all that was issued is acknowledged.
  void Check();
  Status Close();
  void Drop();  // as a dying process does; KillProcess() or CutPower() comes next

  SimMachine& machine() { return machine_; }
  const SimMachine& machine() const { return machine_; }
  bool FaultExplains() const;  // an armed crash or fault has happened
  engine::Store* store() { return store_.get(); }
  const std::string& failure() const { return outcome_.failure; }
  void Fail(const std::string& what);
  uint64_t acknowledged() const { return acknowledged_; }
  const StoreModel& model() const { return live_; }
  const std::string& AnyId();
  // From now on migrators come by too: one more kind of operation.
  void LetMigratorsCome() { migrators_come_ = true; }
  // A new migrator goes on where the last one was stopped, for some steps or to the end.
  Status Migrate();
  Status Convert();
  Status Ingest();
  Status Checkpoint();
  Status Compact();

 private:
  using ModelChange = std::function<void(StoreModel*)>;
  struct Issued {
    uint64_t lsn = 0;
    bool is_bulk = false;  // its content is in LMDB alone: it may be missing until it is flushed
    std::vector<ModelChange> changes;
  };

  void ArmCrash();
  void Work();
  void EndLife();
  std::string CompareRecovered(engine::ReadView& view);
  bool CompareJob(engine::ReadView& view);
  std::string CompareCheckpoint(const migration::Checkpoint& checkpoint);
  void Adopt(StoreModel model, uint64_t lsn);
  // Without the last `lost_bulks` batches.
  StoreModel ModelAt(uint64_t lsn, uint64_t lost_bulks) const;
  uint64_t TrailingBulks(uint64_t lsn) const;
  void Record(Issued issued);

  Status Transaction();
  Status StageOne(engine::WriteTxn& txn, StoreModel* model, std::vector<ModelChange>* changes);
  Status StagePut(engine::WriteTxn& txn, StoreModel* model, std::vector<ModelChange>* changes,
                  const std::string& id);
  Status StageActivation(engine::WriteTxn& txn, StoreModel* model,
                         std::vector<ModelChange>* changes);
  Status StageRemove(engine::WriteTxn& txn, StoreModel* model, std::vector<ModelChange>* changes,
                     const std::string& id);
  Status StageEdge(engine::WriteTxn& txn, StoreModel* model, std::vector<ModelChange>* changes);
  Status StageBinding(engine::WriteTxn& txn, StoreModel* model, std::vector<ModelChange>* changes);
  Status StageModeOrMeta(engine::WriteTxn& txn, StoreModel* model,
                         std::vector<ModelChange>* changes);
  Status Write(engine::WriteTxn& txn, const engine::DualNode& node, bool new_embedding,
               uint64_t embedding_seed, bool new_text);
  Status Acknowledge(uint64_t lsn);
  void AcknowledgeDrained(bool with_sync);
  Result<NodeKey> KeyOf(engine::WriteTxn& txn, const std::string& id);
  engine::DualNode RandomNode(const std::string& id);

  SimMachine machine_;
  Random random_;
  const SpaceId space_;
  std::vector<std::string> ids_;
  std::unique_ptr<engine::Store> store_;
  Status open_status_;
  StoreModel base_;  // what recovery found, up to base_lsn_
  StoreModel live_;  // with everything issued since
  uint64_t base_lsn_ = 0;
  uint64_t issued_ = 0;
  uint64_t acknowledged_ = 0;
  std::deque<Issued> history_;  // above base_lsn_
  bool created_ = false;        // the store was acknowledged to exist
  bool finalizing_ = false;
  bool may_finalize_ = false;
  bool killed_ = false;
  bool migrators_come_ = false;
  uint64_t next_embedding_ = 1;
  // The one job of the store: how many receipts its meta row holds, and every checkpoint that was
  // begun; the first `checkpoints_synced_` of them were acknowledged.
  const Uuid job_id_;
  uint64_t receipts_issued_ = 0, receipts_synced_ = 0;
  std::vector<migration::Checkpoint> checkpoints_;
  size_t checkpoints_synced_ = 0;
  SeedOutcome outcome_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_CRASH_STORE_SIMULATION_H_
