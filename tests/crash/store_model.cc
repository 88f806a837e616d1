#include "tests/crash/store_model.h"

#include <algorithm>
#include <set>

#include "compat/internal/write_plan.h"
#include "tests/testing/random.h"

namespace engram::testing {

using engine::Embedding;
using engine::LtHash;
using engine::RangeSum;
using engine::ReadView;
using engine::StoredRecord;
using engine::Table;

void StoreModel::RemoveRecord(const std::string& id) {
  records.erase(id);
  auto touches = [&](const ModelLink& link) { return link.from == id || link.to == id; };
  std::erase_if(edges, touches);
  std::erase_if(bindings, touches);
}

void StoreModel::AddLink(std::vector<ModelLink>* links, ModelLink link) {
  link.ordinal = 1;
  for (const ModelLink& other : *links) {
    if (other.from == link.from) link.ordinal = std::max(link.ordinal, other.ordinal + 1);
  }
  links->push_back(std::move(link));
}

void FillEmbedding(uint64_t seed, Embedding* out) {
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (float& value : *out) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
}

Sha256Digest EmbeddingSha256(uint64_t seed) {
  Embedding embedding;
  FillEmbedding(seed, &embedding);
  return Sha256Of({reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding});
}

namespace {

std::string Quoted(const std::string& id) { return "\"" + id.substr(0, 40) + "\""; }

// Compares one view with one model. Every step returns the first difference, or "".
class Comparison {
 public:
  Comparison(const StoreModel& model, const SpaceId& space, ReadView& view)
      : model_(model), space_(space), view_(view) {}

  std::string Run() {
    for (auto step :
         {&Comparison::Ids, &Comparison::Records, &Comparison::Links, &Comparison::Digests,
          &Comparison::CountsAgree, &Comparison::Tables, &Comparison::ModeAndMeta}) {
      std::string difference = (this->*step)();
      if (!difference.empty()) return difference;
    }
    return "";
  }

 private:
  std::string Failed(const Status& status, const std::string& what) {
    return what + ": " + status.ToString();
  }

  std::string Ids() {
    std::string difference, previous;
    Status status =
        view_.ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
          if (!keys_.empty() && id <= previous) difference = "ids are not sorted";
          previous = id;
          keys_[std::string(id)] = key;
          ids_[key.value] = id;
          return true;
        });
    if (!status.ok()) return Failed(status, "scan of ids");
    if (ids_.size() != keys_.size()) return "two ids share a key";
    for (const auto& [id, key] : keys_) {
      auto by_id = view_.FindId(id);
      if (!by_id.ok() || *by_id != key) return "id " + Quoted(id) + " is not found by itself";
      auto by_uuid = view_.FindUuid(engine::NodeUuid(space_, id));
      if (!by_uuid.ok() || *by_uuid != key) return "id " + Quoted(id) + " is not found by uuid";
    }
    return difference;
  }

  std::string Records() {
    size_t found = 0;
    for (const auto& [id, key] : keys_) {
      auto record = view_.Record(key);
      if (!record.ok()) return Failed(record.status(), "record " + Quoted(id));
      auto expected = model_.records.find(id);
      if (!*record && expected == model_.records.end()) continue;
      if (!*record) return "record " + Quoted(id) + " is lost";
      if (expected == model_.records.end()) return "record " + Quoted(id) + " was never there";
      auto current = view_.CurrentRecord(key);
      if (!current.ok() || !*current) return "record " + Quoted(id) + " has no current head";
      if ((*current)->current().seq != (*record)->current().seq ||
          (*current)->is_dual() != (*record)->is_dual()) {
        return "record " + Quoted(id) + " has a current head that is not its newest";
      }
      std::string difference = Record(**record, expected->second);
      if (!difference.empty()) return "record " + Quoted(id) + ": " + difference;
      ++found;
    }
    if (found == model_.records.size()) return "";
    return std::to_string(model_.records.size() - found) + " records have no id row";
  }

  std::string Record(const StoredRecord& stored, const ModelRecord& expected) {
    engine::DualNode head;
    compat::internal::CurrentHead(stored, engine::NodeUuid(space_, stored.text.id), &head);
    const Sha256Digest recomputed = engine::RecordDigest(head, stored.text);
    const engine::HeadCommon& common = stored.current();
    if (recomputed != common.digest) return "its digest is not that of its rows";
    if (recomputed != engine::RecordDigest(expected.node)) return "it has other content";
    if (common.tier != engine::TierOf(head.activation)) return "it has another tier";
    Embedding embedding, expected_embedding;
    auto owner = view_.ReadEmbedding(common.vector_key, &embedding);
    if (!owner.ok()) return Failed(owner.status(), "its embedding");
    if (*owner != stored.key) return "its embedding belongs to another record";
    FillEmbedding(expected.embedding_seed, &expected_embedding);
    if (embedding != expected_embedding) return "it has another embedding";
    tiers_[static_cast<int>(common.tier) - 1].count += 1;
    tiers_[static_cast<int>(common.tier) - 1].lanes.Add(common.digest);
    ranges_[engine::RangeOf(stored.key)].Add(common.digest);
    (stored.is_dual() ? counts_.dual : counts_.old) += 1;
    const bool is_concept = stored.extension.type == engine::NodeType::kConcept;
    (is_concept ? counts_.concepts : counts_.episodes) += 1;
    old_heads_ += stored.old_head.has_value();
    dual_heads_ += stored.dual_head.has_value();
    extensions_ += stored.has_extension;
    return "";
  }

  // Every link, seen from both ends, and the sums of their digests.
  std::string Links() {
    std::vector<ModelLink> edges, edges_in, bindings, bindings_in;
    for (const auto& [id, key] : keys_) {
      auto out = view_.OutEdges(key);
      auto in = view_.InEdges(key);
      auto concepts = view_.ConceptsOf(key);
      auto episodes = view_.EpisodesOf(key);
      if (!out.ok() || !in.ok() || !concepts.ok() || !episodes.ok()) return "links do not read";
      for (const auto& e : *out) edges.push_back({id, ids_[e.node.value], e.ordinal, e.weight, 0});
      for (const auto& e : *in) {
        edges_in.push_back({ids_[e.node.value], id, e.ordinal, e.weight, 0});
      }
      for (const auto& b : *concepts) {
        bindings.push_back({id, ids_[b.node.value], b.ordinal, b.strength, b.contribution});
      }
      for (const auto& b : *episodes) {
        bindings_in.push_back({ids_[b.node.value], id, b.ordinal, b.strength, b.contribution});
      }
    }
    for (const ModelLink& e : edges) {
      edge_sum_.Add(engine::EdgeDigest(Uid(e.from), e.ordinal, Uid(e.to), e.weight));
    }
    for (const ModelLink& b : bindings) {
      binding_sum_.Add(
          engine::BindingDigest(Uid(b.from), b.ordinal, Uid(b.to), b.weight, b.contribution));
    }
    counts_.edges = edges.size();
    counts_.bindings = bindings.size();
    if (Sorted(edges) != Sorted(model_.edges)) return "the edges differ";
    if (Sorted(edges_in) != Sorted(model_.edges)) return "the reverse edges differ";
    if (Sorted(bindings) != Sorted(model_.bindings)) return "the bindings differ";
    if (Sorted(bindings_in) != Sorted(model_.bindings)) return "the reverse bindings differ";
    return "";
  }

  Uuid Uid(const std::string& id) { return engine::NodeUuid(space_, id); }

  static std::vector<ModelLink> Sorted(std::vector<ModelLink> links) {
    std::sort(links.begin(), links.end(), [](const ModelLink& a, const ModelLink& b) {
      return std::tie(a.from, a.ordinal, a.to) < std::tie(b.from, b.ordinal, b.to);
    });
    return links;
  }

  std::string Digests() {
    auto stored = view_.Digests();
    if (!stored.ok()) return Failed(stored.status(), "digests");
    for (int i = 0; i < engine::kTierCount; ++i) {
      const std::string name(engine::TierName(static_cast<engine::Tier>(i + 1)));
      if (stored->tiers[i].count != tiers_[i].count)
        return "the count of tier " + name + " differs";
      if (stored->tiers[i].lanes != tiers_[i].lanes)
        return "the digest of tier " + name + " differs";
      if (stored->tiers[i].dirty) return "tier " + name + " is dirty";
    }
    if (stored->edges != edge_sum_) return "the digest of the edges differs";
    if (stored->bindings != binding_sum_) return "the digest of the bindings differs";
    auto range = view_.Range(0);
    if (!range.ok()) return Failed(range.status(), "range sum");
    if (range->value_or(RangeSum{}) != ranges_[0]) return "the range sum differs";
    return "";
  }

  std::string CountsAgree() {
    auto stored = view_.Count();
    if (!stored.ok()) return Failed(stored.status(), "counts");
    auto differs = [](const char* name, uint64_t a, uint64_t b) {
      return a == b ? std::string()
                    : std::string("the count of ") + name + " is " + std::to_string(a) +
                          ", there are " + std::to_string(b);
    };
    return differs("records", stored->records, model_.records.size()) +
           differs("old records", stored->old, counts_.old) +
           differs("dual records", stored->dual, counts_.dual) +
           differs("episodes", stored->episodes, counts_.episodes) +
           differs("concepts", stored->concepts, counts_.concepts) +
           differs("edges", stored->edges, counts_.edges) +
           differs("bindings", stored->bindings, counts_.bindings);
  }

  // No row is left over: each table has as many as the records and links need.
  std::string Tables() {
    const std::pair<Table, size_t> kExpected[] = {{Table::kIds, keys_.size()},
                                                  {Table::kUuids, keys_.size()},
                                                  {Table::kContent, keys_.size()},
                                                  {Table::kEmbeddings, model_.records.size()},
                                                  {Table::kHeads, dual_heads_},
                                                  {Table::kOldHeads, old_heads_},
                                                  {Table::kExtensions, extensions_},
                                                  {Table::kEdgesOut, model_.edges.size()},
                                                  {Table::kEdgesIn, model_.edges.size()},
                                                  {Table::kBindingsOut, model_.bindings.size()},
                                                  {Table::kBindingsIn, model_.bindings.size()}};
    for (auto [table, expected] : kExpected) {
      size_t rows = 0;
      Status status = view_.ScanTable(table, {}, [&](Bytes, Bytes) -> Result<bool> {
        ++rows;
        return true;
      });
      if (!status.ok()) return Failed(status, "scan of a table");
      if (rows == expected) continue;
      return "table " + std::to_string(static_cast<int>(table)) + " has " + std::to_string(rows) +
             " rows, expected " + std::to_string(expected);
    }
    return "";
  }

  std::string ModeAndMeta() {
    if (view_.mode() != model_.mode) {
      return "the mode is " + std::string(engine::ModeName(view_.mode())) + ", expected " +
             std::string(engine::ModeName(model_.mode));
    }
    for (const auto& [name, value] : model_.meta) {
      auto stored = view_.Meta(name);
      if (!stored.ok()) return Failed(stored.status(), "meta row " + name);
      if (*stored != value) return "the meta row " + name + " differs";
    }
    return "";
  }

  const StoreModel& model_;
  const SpaceId& space_;
  ReadView& view_;
  std::map<std::string, NodeKey> keys_;
  std::map<uint64_t, std::string> ids_;
  engine::TierDigest tiers_[engine::kTierCount];
  std::map<uint64_t, RangeSum> ranges_;
  LtHash edge_sum_, binding_sum_;
  engine::Counts counts_;
  size_t old_heads_ = 0, dual_heads_ = 0, extensions_ = 0;
};

}  // namespace

std::string DifferenceFrom(const StoreModel& model, const SpaceId& space, ReadView& view) {
  return Comparison(model, space, view).Run();
}

}  // namespace engram::testing
