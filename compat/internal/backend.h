// The implementation of MemoryBackend. One class, its methods in several sources by purpose:
// memory_backend.cc (making, counting, mode), backend_writes.cc, backend_reads.cc,
// backend_graph.cc (edges, traversal, spreading), backend_typed.cc (typed nodes, bindings).
#ifndef ENGRAM_COMPAT_INTERNAL_BACKEND_H_
#define ENGRAM_COMPAT_INTERNAL_BACKEND_H_

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "compat/internal/conversion_cache.h"
#include "compat/internal/lazy_installer.h"
#include "compat/internal/mode_gate.h"
#include "compat/memory_backend.h"

namespace engram::compat::internal {

// It keeps no record state of its own: every call works on one view or one write transaction of
// the store, under the mode of that view. The cache and the counters are conveniences.
class Backend final : public MemoryBackend {
 public:
  Backend(engine::Store& store, SpaceId space, const BackendOptions& options);

  Result<Lsn> Put(const engine::Memory& memory, const engine::Embedding& embedding) override;
  Result<Lsn> StagePut(const engine::Memory& memory, const engine::Embedding& embedding) override;
  Status PutBatch(const std::vector<PutItem>& items, std::vector<Lsn>* lsns) override;
  Result<Lsn> Remove(std::string_view id) override;
  Status RemoveBatch(const std::vector<std::string>& ids, std::vector<Lsn>* lsns) override;
  Result<std::optional<FullRecord>> Get(std::string_view id, engine::Embedding* embedding) override;
  Result<bool> Contains(std::string_view id) override;
  Result<Lsn> UpdateActivation(std::string_view id, float activation) override;
  Result<uint64_t> Count() override;
  Status Clear() override;
  Status Scan(const ScanOptions& options,
              const std::function<Result<bool>(const FullRecord&, const engine::Embedding*)>& visit)
      override;
  Result<std::vector<ScoredId>> Search(const engine::Embedding& query, uint32_t k) override;
  Result<std::vector<ScoredId>> SearchText(std::string_view query, float threshold,
                                           uint32_t k) override;

  Status AddEdge(std::string_view from, std::string_view to, float weight) override;
  Result<bool> RemoveEdge(std::string_view from, std::string_view to) override;
  Result<std::vector<Edge>> Neighbours(std::string_view id) override;
  Result<std::optional<float>> EdgeWeight(std::string_view from, std::string_view to) override;
  Status AllEdges(const std::function<Result<bool>(std::string_view from, std::string_view to,
                                                   float weight)>& visit) override;
  Result<std::vector<std::string>> TraverseBreadthFirst(std::string_view start,
                                                        uint32_t depth) override;
  Status SpreadActivation(std::string_view source, float decay) override;

  Result<Lsn> PutNode(const engine::DualNode& node, const engine::Embedding& embedding) override;
  Result<Lsn> SetStrength(std::string_view id, float strength) override;
  Result<Lsn> SetConsolidationScore(std::string_view id, float score) override;
  Status AddBinding(std::string_view episode, std::string_view concept_id, float strength,
                    float contribution) override;
  Result<std::vector<BoundNode>> ConceptsOf(std::string_view episode) override;
  Result<std::vector<BoundNode>> EpisodesOf(std::string_view concept_id) override;
  Status SpreadThroughBindings(std::string_view source, bool source_is_episode,
                               float decay) override;

  Status SetMode(engine::Mode mode) override;
  Status InstallConversions() override;
  BackendStats Stats() override;
  engine::Store& store() override { return store_; }

 private:
  // A record write with everything computed that needs no lock: validation, SHA-256 of the
  // embedding, UUID, digest.
  struct PreparedWrite {
    const engine::TextFields* text = nullptr;
    const engine::Embedding* embedding = nullptr;
    engine::DualNode head;  // text empty
    Sha256Digest digest{};  // with head.extension
    bool typed = false;     // the extension is part of the write, else the stored one stays
  };
  Result<PreparedWrite> PrepareMemory(const engine::Memory& memory,
                                      const engine::Embedding& embedding) const;
  Status Prepare(const engine::TextFields& text, const engine::Embedding& embedding,
                 PreparedWrite* write) const;
  // Those of `items` in front of the first that is refused, with whose status it ends.
  Status PrepareGroup(std::span<const PutItem> items, std::vector<PreparedWrite>* writes) const;
  // Prepare() without the hashes.
  Status Accept(const engine::TextFields& text, const engine::Embedding& embedding,
                PreparedWrite* write) const;
  // One transaction: staged, not durable yet.
  Result<Lsn> StageWrite(PreparedWrite& write, const engine::Store::BeginOptions& options = {});
  Result<Lsn> StageRemove(std::string_view id);  // Lsn 0: there is no record
  Result<Lsn> Commit(Result<Lsn> staged);        // waits until it is durable
  // Begins the transaction of every write but a change of the mode.
  Result<std::unique_ptr<engine::WriteTxn>> BeginWrite(
      const engine::Store::BeginOptions& options = {});

  // A record found under the write mutex.
  struct Found {
    NodeKey key;
    engine::StoredRecord record;
    engine::DualNode head;  // its content, text empty
  };
  Result<std::optional<Found>> Find(engine::WriteTxn& txn, std::string_view id) const;
  Result<std::optional<Found>> Find(engine::WriteTxn& txn, NodeKey key) const;
  Status StageHead(engine::WriteTxn& txn, const Found& found,
                   const engine::Extension* new_extension) const;
  // Changes the head of an existing record; returns whether its extension changed too.
  using Edit = std::function<Result<bool>(engine::DualNode* head)>;
  Result<Lsn> EditRecord(std::string_view id, const Edit& edit);
  // The error, once everything that it was concluded from is durable.
  Status AfterEarlierWrites(std::unique_ptr<engine::WriteTxn> txn, Status status);

  class BatchCommit;
  // Activations changed by one transaction: changes to one record add up, it is written once.
  class ActivationChanges {
   public:
    ActivationChanges(const Backend& backend, engine::WriteTxn& txn)
        : backend_(backend), txn_(txn) {}
    Result<float> ActivationOf(std::optional<NodeKey> source);
    Status Add(NodeKey target, float amount);
    Result<bool> Stage();  // whether any record was written

   private:
    const Backend& backend_;
    engine::WriteTxn& txn_;
    std::map<uint64_t, std::optional<Found>> found_;  // by node key
  };
  Status SpreadToConcepts(engine::WriteTxn& txn, NodeKey episode, float activation, float decay,
                          ActivationChanges* changes);
  Result<bool> SpreadToEpisodes(engine::WriteTxn& txn, NodeKey concept_node, float delta,
                                ActivationChanges* changes);
  // Commits the transaction if it changed anything.
  Status CommitIf(bool changed, std::unique_ptr<engine::WriteTxn> txn);

  struct ReadOptions {
    bool use_cache = false;  // keep conversions and offer them for installation
  };
  Result<std::optional<FullRecord>> ReadRecord(engine::ReadView& view, NodeKey key,
                                               engine::Embedding* embedding,
                                               const ReadOptions& options);
  void FillHeads(const engine::StoredRecord& record, engine::Mode mode, const ReadOptions& options,
                 FullRecord* out);
  void ConvertOnRead(const engine::StoredRecord& record, engine::Mode mode,
                     const ReadOptions& options, engine::DualNode* out);
  void CompareShadow(const engine::StoredRecord& record);
  Uuid UuidOf(std::string_view id) const { return engine::NodeUuid(space_, id); }
  Result<std::vector<BoundNode>> NameBindings(engine::ReadView& view,
                                              const std::vector<engine::Binding>& bindings) const;

  engine::Store& store_;
  const SpaceId space_;
  ModeGate gate_;
  ConversionCache cache_;
  LazyInstaller installer_;

  std::atomic<uint64_t> converted_on_read_{0};
  std::atomic<uint64_t> cache_hits_{0};
  std::atomic<uint64_t> shadow_compared_{0};
  std::atomic<uint64_t> shadow_mismatches_{0};
  std::mutex shadow_mutex_;
  std::vector<std::string> shadow_mismatch_ids_;  // guarded by shadow_mutex_
};

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_BACKEND_H_
