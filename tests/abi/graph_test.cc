// What upstream has no data of: Concepts, bindings and edges. A generated graph goes through the
// plugin's boundary and stays the same through reopening, conversion, rollback, forward again and
// finalizing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "plugin/loader/plugin_loader.h"
#include "tests/testing/temp_dir.h"

namespace engram::plugin {
namespace {

using ::testing::ElementsAreArray;
using ::testing::UnorderedElementsAreArray;

using Vector = std::vector<float>;

struct Binding {
  std::string id;
  float strength = 0, contribution = 0;
  bool operator==(const Binding&) const = default;
};
struct Edge {
  std::string to;
  float weight = 0;
  bool operator==(const Edge&) const = default;
};
struct Node {
  std::string content;
  Vector embedding;
  float activation = 0;
  bool is_concept = false;
  float coherence = 0;
  uint32_t instance_count = 0;
  std::vector<Edge> edges;              // in the order they were added
  std::vector<Binding> concepts;        // of an episode
  std::multiset<std::string> episodes;  // of a concept
};

// The graph as the test knows it, and a seeded source of more of it.
class Model {
 public:
  Node& Make(const std::string& id, bool is_concept) {
    Node& node = nodes[id];
    node.content = "what " + id + " is about: " + std::to_string(random_());
    node.embedding.resize(ENGRAM_SE_EMBEDDING_DIMENSION);
    for (float& value : node.embedding) value = Unit() - 0.5f;
    node.activation = Unit();
    node.is_concept = is_concept;
    node.coherence = is_concept ? Unit() : 0;
    node.instance_count = is_concept ? static_cast<uint32_t>(random_() % 100) : 0;
    return node;
  }
  void Remove(const std::string& id) {
    nodes.erase(id);
    for (auto& [other, node] : nodes) {
      std::erase_if(node.edges, [&](const Edge& edge) { return edge.to == id; });
      std::erase_if(node.concepts, [&](const Binding& binding) { return binding.id == id; });
      node.episodes.erase(id);
    }
  }
  // Breadth first, the links of a node in the order they were added.
  std::vector<std::string> Reached(const std::string& start, uint32_t depth) const {
    std::vector<std::pair<std::string, uint32_t>> order = {{start, 0}};
    std::set<std::string> seen = {start};
    for (size_t i = 0; i < order.size(); ++i) {
      const auto [id, at] = order[i];
      if (at == depth) continue;
      for (const Edge& edge : nodes.at(id).edges) {
        if (seen.insert(edge.to).second) order.emplace_back(edge.to, at + 1);
      }
    }
    std::vector<std::string> ids;
    for (auto& [id, at] : order) ids.push_back(std::move(id));
    return ids;
  }
  const std::string& Any(const std::vector<std::string>& ids) {
    return ids[random_() % ids.size()];
  }
  float Unit() { return std::uniform_real_distribution<float>(0, 1)(random_); }

  std::map<std::string, Node> nodes;

 private:
  std::mt19937_64 random_{7};
};

class GraphTest : public ::testing::Test {
 protected:
  // Slice: ENGRAM_GRAPH_NODES.
  void SetUp() override {
    const char* nodes = std::getenv("ENGRAM_GRAPH_NODES");
    if (nodes != nullptr) node_count_ = std::strtoull(nodes, nullptr, 10);
    auto plugin = Plugin::Load(ENGRAM_DUAL, Logger::Null());
    ASSERT_TRUE(plugin.ok()) << plugin.status().ToString();
    EngineOptions options;
    options.data_root = directory_.path();
    options.map_size_bytes = uint64_t{4} << 30;
    auto engine = Engine::Open(*plugin, options);
    ASSERT_TRUE(engine.ok()) << engine.status().ToString();
    engine_ = *engine;
  }
  void Reopen() {
    if (space_ != nullptr) Close();
    auto space = engine_->OpenSpace({.space = "graph", .access = ENGRAM_SE_ACCESS_CREATE});
    ASSERT_TRUE(space.ok()) << space.status().ToString();
    space_ = std::move(*space);
  }
  static void Check(const Status& status) { ASSERT_TRUE(status.ok()) << status.ToString(); }
  template <typename T>
  static T Must(Result<T> result) {
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? std::move(*result) : T{};
  }

  static engram_se_memory ToMemory(const std::string& id, const Node& node) {
    engram_se_memory memory{};
    memory.struct_size = sizeof memory;
    memory.present = ENGRAM_SE_HAS_CONTENT;
    memory.id = ToBytes(id);
    memory.content = ToBytes(node.content);
    memory.embedding = node.embedding.data();
    memory.activation = node.activation;
    if (node.is_concept) {
      memory.node_type = ENGRAM_SE_NODE_CONCEPT;
      memory.coherence = node.coherence;
      memory.instance_count = node.instance_count;
      memory.formation_time = ToBytes("2025-11-21T18:57:13Z");
    }
    return memory;
  }

  void PutEpisodes(const std::string& prefix, uint64_t count) {
    std::vector<std::string> ids;
    for (uint64_t i = 0; i < count; ++i) {
      ids.push_back(prefix + std::to_string(i));
      model_.Make(ids.back(), false);
    }
    std::vector<engram_se_memory> memories;
    for (const std::string& id : ids) memories.push_back(ToMemory(id, model_.nodes.at(id)));
    std::vector<const engram_se_memory*> batch;
    for (const engram_se_memory& memory : memories) batch.push_back(&memory);
    std::vector<uint64_t> lsns;
    Check(space_->StoreBatch(batch, &lsns));
    EXPECT_EQ(lsns.size(), count);
    episodes_.insert(episodes_.end(), ids.begin(), ids.end());
  }
  void PutConcepts(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::string id = "concept-" + std::to_string(i);
      EXPECT_GT(Must(space_->PutNode(ToMemory(id, model_.Make(id, true)))), 0u);
      concepts_.push_back(id);
    }
  }
  void Link(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::string &from = model_.Any(episodes_), &to = model_.Any(episodes_);
      const float weight = model_.Unit();
      Check(space_->AddEdge(from, to, weight));
      model_.nodes.at(from).edges.push_back({to, weight});
    }
  }
  void Bind(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::string &episode = model_.Any(episodes_), &of = model_.Any(concepts_);
      const Binding binding = {of, model_.Unit(), model_.Unit()};
      Check(space_->AddBinding(episode, of, binding.strength, binding.contribution));
      model_.nodes.at(episode).concepts.push_back(binding);
      model_.nodes.at(of).episodes.insert(episode);
    }
  }
  void RemoveSome(std::vector<std::string>* ids, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::string id = model_.Any(*ids);
      EXPECT_GT(Must(space_->Remove(id)), 0u);
      model_.Remove(id);
      std::erase(*ids, id);
    }
  }

  void ExpectNode(const std::string& id, const Node& node) {
    int visits = 0;
    Check(space_->Retrieve(id, true, [&](const engram_se_memory& found) {
      ++visits;
      EXPECT_EQ(ToView(found.content), node.content);
      EXPECT_EQ(found.activation, node.activation);
      EXPECT_EQ(0, std::memcmp(found.embedding, node.embedding.data(),
                               node.embedding.size() * sizeof(float)));
      EXPECT_EQ(found.binding_count, node.is_concept ? node.episodes.size() : node.concepts.size());
      const bool is_concept = found.node_type == ENGRAM_SE_NODE_CONCEPT;
      EXPECT_EQ(is_concept, node.is_concept);
      EXPECT_EQ(found.coherence, node.coherence);
      EXPECT_EQ(found.instance_count, node.instance_count);
      return true;
    }));
    EXPECT_EQ(visits, 1);
    std::vector<Edge> edges;
    Check(space_->Neighbours(id, [&](std::string_view to, float weight) {
      edges.push_back({std::string(to), weight});
      return true;
    }));
    EXPECT_THAT(edges, ElementsAreArray(node.edges));
    std::vector<Binding> concepts;
    Check(space_->ConceptsOf(id, [&](std::string_view of, float strength, float contribution) {
      concepts.push_back({std::string(of), strength, contribution});
      return true;
    }));
    EXPECT_THAT(concepts, ElementsAreArray(node.concepts));
    std::vector<std::string> episodes;
    Check(space_->EpisodesOf(id, [&](std::string_view episode, float, float) {
      episodes.emplace_back(episode);
      return true;
    }));
    EXPECT_THAT(episodes, UnorderedElementsAreArray(node.episodes));
  }

  // Everything, read back through the boundary, is what the model has.
  void ExpectGraph(const std::string& when) {
    SCOPED_TRACE(when);
    std::vector<std::string> ids, expected;
    Check(space_->Ids({}, [&](std::string_view id) {
      ids.emplace_back(id);
      return true;
    }));
    uint64_t edge_count = 0, binding_count = 0, concept_count = 0;
    for (const auto& [id, node] : model_.nodes) {
      expected.push_back(id);
      edge_count += node.edges.size();
      binding_count += node.concepts.size();
      concept_count += node.is_concept ? 1 : 0;
      ExpectNode(id, node);
      if (HasFailure()) {
        ADD_FAILURE() << "of node " << id;
        return;
      }
    }
    EXPECT_EQ(ids, expected);
    const engram_se_figures figures = Must(space_->Figures());
    EXPECT_EQ(figures.count, model_.nodes.size());
    EXPECT_EQ(figures.edge_count, edge_count);
    EXPECT_EQ(figures.binding_count, binding_count);
    EXPECT_EQ(figures.concept_count, concept_count);
    EXPECT_EQ(figures.episode_count, model_.nodes.size() - concept_count);
    for (int i = 0; i < 20; ++i) {
      const std::string& start = model_.Any(episodes_);
      std::vector<std::string> reached;
      Check(space_->Traverse(start, 4, [&](std::string_view id) {
        reached.emplace_back(id);
        return true;
      }));
      EXPECT_THAT(reached, ElementsAreArray(model_.Reached(start, 4)));
    }
  }
  // The digests are of the rows, and of the same rows as before.
  void ExpectVerified() {
    VerifyOptions options;
    options.space = Close();
    options.full = true;
    const auto report = nlohmann::json::parse(Must(engine_->Verify(options, {})));
    EXPECT_TRUE(report.at("ok")) << report;
    EXPECT_EQ(report.at("checked"), model_.nodes.size());
    std::vector<std::string> digests;
    for (const char* of : {"space", "edges", "bindings"}) {
      digests.push_back(report.at("digest").at(of));
    }
    EXPECT_TRUE(digests_.empty() || digests == digests_);
    digests_ = digests;
    Reopen();
  }
  // The jobs want it closed; its name.
  std::string Close() {
    Check(space_->Close());
    space_.reset();
    return "graph";
  }

  engram::testing::TempDir directory_ = engram::testing::TempDir::InMemory();
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Space> space_;
  Model model_;
  std::vector<std::string> episodes_, concepts_;
  uint64_t node_count_ = 2000;
  std::vector<std::string> digests_;
};

TEST_F(GraphTest, AGeneratedGraphIsTheSameAfterEveryStepOfItsLife) {
  Reopen();
  PutEpisodes("old-", node_count_ / 2);  // before the flag: stored as Memory
  Link(node_count_);
  ExpectGraph("in mode legacy");
  Check(space_->SetMode(ENGRAM_SE_MODE_DUAL));
  PutEpisodes("new-", node_count_ / 2);
  PutConcepts(node_count_ / 10 + 1);
  Link(node_count_);
  Bind(node_count_);
  RemoveSome(&episodes_, node_count_ / 20);
  RemoveSome(&concepts_, node_count_ / 100 + 1);
  ExpectGraph("in mode dual, half of it old");
  Reopen();
  ExpectGraph("reopened");
  ExpectVerified();

  MigrateOptions migrate;
  migrate.space = Close();
  const auto report = nlohmann::json::parse(Must(engine_->Migrate(migrate, {})));
  EXPECT_TRUE(report.at("ok")) << report;
  EXPECT_EQ(report.at("spaces").at(0).at("remaining_old"), 0);
  EXPECT_EQ(report.at("spaces").at(0).at("digest").at("before"),
            report.at("spaces").at(0).at("digest").at("after"));
  Reopen();
  ExpectGraph("converted");
  ExpectVerified();

  const auto back = nlohmann::json::parse(Must(engine_->Rollback(Close(), {})));
  EXPECT_THAT(back.at("lossy"), UnorderedElementsAreArray(concepts_));
  Reopen();
  EXPECT_EQ(Must(space_->Count()), model_.nodes.size());
  EXPECT_EQ(Must(space_->Figures()).lossy_count, concepts_.size());
  for (const std::string& id : {episodes_.front(), concepts_.front()}) {
    Check(space_->Retrieve(id, false, [&](const engram_se_memory& found) {
      EXPECT_EQ(ToView(found.content), model_.nodes.at(id).content);
      return true;
    }));
  }
  migrate.space = Close();
  Must(engine_->Migrate(migrate, {}));
  Reopen();
  ExpectGraph("forward again");

  CompactOptions compact;
  compact.space = Close();
  compact.finalize = true;
  const auto compacted = nlohmann::json::parse(Must(engine_->Compact(compact, {})));
  EXPECT_EQ(compacted.at("digest_before"), compacted.at("digest_after"));
  Reopen();
  ExpectGraph("finalized");
  ExpectVerified();
}

}  // namespace
}  // namespace engram::plugin
