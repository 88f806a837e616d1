// The host contract of Engram's graph store over one space (engram-formats.md section 5, column H,
// D for spreading): Memory in, DualMemoryNode stored; DualMemoryNode stored, Memory out. Write
// interception, lazy conversion on read with a bounded cache, typed calls, edges, bindings.
#ifndef ENGRAM_COMPAT_MEMORY_BACKEND_H_
#define ENGRAM_COMPAT_MEMORY_BACKEND_H_

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/store.h"

namespace engram::compat {

struct BackendOptions {
  uint64_t conversion_cache_bytes_max = 16u << 20;
  // Records converted on read are installed (compare-and-rewrite) when this many wait. 0: never.
  uint32_t lazy_install_batch = 256;
};

// One record in full, in both views. `node` is always filled; `memory` is its old form.
struct FullRecord {
  NodeKey key;
  engine::Memory memory;
  engine::DualNode node;
  engine::HeadCommon head;
  bool stored_dual = false;  // what is physically there now
  uint64_t binding_count = 0;
};

// How many writes waited how long while a change of the mode held them up. Bucket i: below 2^i
// microseconds and not below 2^(i-1), the last one also everything above.
inline constexpr size_t kGateWaitBuckets = 24;
struct GateWaits {
  std::array<uint64_t, kGateWaitBuckets> buckets{};
  uint64_t total_ns = 0;
};

// Counters since Make(), read at any time.
struct BackendStats {
  uint64_t converted_on_read = 0;  // conversions made for reads, each record once per cache stay
  uint64_t conversion_cache_hits = 0;
  uint64_t conversions_installed = 0;   // heads written by compare-and-rewrite
  uint64_t conversions_superseded = 0;  // not installed: written or deleted meanwhile
  uint64_t install_failures = 0;
  std::string last_install_failure;  // "" if none
  uint64_t shadow_compared = 0;
  uint64_t shadow_mismatches = 0;
  std::vector<std::string> shadow_mismatch_ids;  // the first 64
  GateWaits mode_gate;
};

// Thread-safe.
class MemoryBackend {
 public:
  // `store` must outlive the backend.
  static std::unique_ptr<MemoryBackend> Make(engine::Store& store, const BackendOptions& options);
  virtual ~MemoryBackend() = default;

  // Replaces the whole memory, durable and visible on return. On an existing node its type,
  // bindings, edges and dual-only fields stay; on a Concept only the projected fields change.
  // `memory.embedding_sha256` is computed here. kInvalidArgument: id not valid UTF-8.
  virtual Result<Lsn> Put(const engine::Memory& memory, const engine::Embedding& embedding) = 0;
  // The first half of Put(): its place in the order of writes is taken, and it is durable and
  // visible once store().WaitDurable() has returned for its LSN. kBusy, with nothing written, where
  // it would have to wait (Store::BeginOptions).
  virtual Result<Lsn> StagePut(const engine::Memory& memory,
                               const engine::Embedding& embedding) = 0;
  // Put() for many; one group commit for all. Writes in order; on an error the LSNs of the ones
  // before it are in `lsns`.
  struct PutItem {
    const engine::Memory* memory = nullptr;
    const engine::Embedding* embedding = nullptr;
  };
  virtual Status PutBatch(const std::vector<PutItem>& items, std::vector<Lsn>* lsns) = 0;
  // kNotFound for an unknown id.
  virtual Result<Lsn> Remove(std::string_view id) = 0;
  // An unknown id has no LSN (Lsn 0) and is no error.
  virtual Status RemoveBatch(const std::vector<std::string>& ids, std::vector<Lsn>* lsns) = 0;
  virtual Result<std::optional<FullRecord>> Get(std::string_view id,
                                                engine::Embedding* embedding) = 0;
  virtual Result<bool> Contains(std::string_view id) = 0;
  // Clamps to [0,1], NaN stays. Changes activation only. kNotFound for an unknown id.
  virtual Result<Lsn> UpdateActivation(std::string_view id, float activation) = 0;
  virtual Result<uint64_t> Count() = 0;
  virtual Status Clear() = 0;

  // Records in the order of their id bytes, at one snapshot. A record that fails its checksum is
  // left out, and the scan ends in kCorruption after all others.
  struct ScanOptions {
    std::optional<std::string> after;
    uint64_t limit = UINT64_MAX;
    bool embeddings = false;
    uint64_t skip = 0;  // records (of `tier`) passed over before the first visited
    std::optional<engine::Tier> tier = std::nullopt;  // only records of it
  };
  virtual Status Scan(
      const ScanOptions& options,
      const std::function<Result<bool>(const FullRecord&, const engine::Embedding*)>& visit) = 0;

  struct ScoredId {
    std::string id;
    float score = 0;
  };
  virtual Result<std::vector<ScoredId>> Search(const engine::Embedding& query, uint32_t k) = 0;
  // The k best contents, best first, ties by id bytes (compat/text_search.h). Records below
  // `threshold` and those without content are left out.
  virtual Result<std::vector<ScoredId>> SearchText(std::string_view query, float threshold,
                                                   uint32_t k) = 0;

  // Edges: directed, parallel edges and self-loops allowed, no existence check, any weight.
  struct Edge {
    std::string id;
    float weight = 0;
  };
  virtual Status AddEdge(std::string_view from, std::string_view to, float weight) = 0;
  virtual Result<bool> RemoveEdge(std::string_view from, std::string_view to) = 0;
  virtual Result<std::vector<Edge>> Neighbours(std::string_view id) = 0;
  virtual Result<std::optional<float>> EdgeWeight(std::string_view from, std::string_view to) = 0;
  virtual Status AllEdges(
      const std::function<Result<bool>(std::string_view from, std::string_view to, float weight)>&
          visit) = 0;
  // Each node once, by depth then insertion order, start and depth `depth` included.
  virtual Result<std::vector<std::string>> TraverseBreadthFirst(std::string_view start,
                                                                uint32_t depth) = 0;
  // One hop: target := min(1, activation + a_source * weight * decay) (column D); unknown targets
  // are skipped, an unknown source counts as 0.5.
  virtual Status SpreadActivation(std::string_view source, float decay) = 0;

  // Typed nodes. PutNode replaces the whole node, its type included; bindings and edges stay. The
  // UUID follows from the id, `node.uuid` is not looked at. kInvalidArgument: fields of the other
  // type are set. The setters are for Episodes (kInvalidArgument on a Concept, kNotFound without a
  // record); the consolidation score is clamped to [0,1], NaN stays, strength is kept as given.
  virtual Result<Lsn> PutNode(const engine::DualNode& node, const engine::Embedding& embedding) = 0;
  virtual Result<Lsn> SetStrength(std::string_view id, float strength) = 0;
  virtual Result<Lsn> SetConsolidationScore(std::string_view id, float score) = 0;

  struct BoundNode {
    std::string id;
    float strength = 0;
    float contribution = 0;
  };
  // Both nodes must exist (kNotFound); strength and contribution are clamped to [0,1], NaN stays;
  // repeats append.
  virtual Status AddBinding(std::string_view episode, std::string_view concept_id, float strength,
                            float contribution) = 0;
  virtual Result<std::vector<BoundNode>> ConceptsOf(std::string_view episode) = 0;
  virtual Result<std::vector<BoundNode>> EpisodesOf(std::string_view concept_id) = 0;
  virtual Status SpreadThroughBindings(std::string_view source, bool source_is_episode,
                                       float decay) = 0;

  // Sets the mode, durable on return. kFailedPrecondition once finalized, and for kFinalized while
  // a record is still old.
  virtual Status SetMode(engine::Mode mode) = 0;
  // Installs what reads have converted so far, on the caller's thread (reads themselves leave it
  // to a short-lived thread of the backend). Nothing in a read-only store or in mode legacy.
  virtual Status InstallConversions() = 0;
  virtual BackendStats Stats() = 0;
  virtual engine::Store& store() = 0;
};

}  // namespace engram::compat

#endif  // ENGRAM_COMPAT_MEMORY_BACKEND_H_
