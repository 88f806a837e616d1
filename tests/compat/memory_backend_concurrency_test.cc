// Many threads at once, with a ledger of what was acknowledged; run under ThreadSanitizer too.
#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "compat/conversion.h"
#include "tests/compat/backend_fixture.h"

namespace engram::compat::testing {
namespace {

using engram::testing::NumberFromEnvironment;
using engram::testing::RecordGenerator;

class BackendConcurrency : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Stores, BackendConcurrency, ::testing::ValuesIn(AllStores()), KindName);

constexpr int kWriterCount = 16;

// One client with ids of its own, so that it knows what every read must return.
class Client {
 public:
  Client(MemoryBackend& backend, int number)
      : backend_(backend), random_(number + 1), name_("c" + std::to_string(number) + "-") {}

  void Run(uint64_t steps) {
    for (uint64_t i = 0; i < steps && violation_.empty(); ++i) Step();
  }
  const std::string& violation() const { return violation_; }
  const std::map<std::string, std::optional<Acknowledged>>& records() const { return records_; }

 private:
  void Step() {
    std::string id = name_ + std::to_string(random_.Below(8));
    std::optional<Acknowledged>& mine = records_[id];
    switch (random_.Below(6)) {
      case 0:
      case 1:
        Put(id, &mine);
        break;
      case 2:
        Edit(backend_.UpdateActivation(id, 0.5f), &mine,
             [](Acknowledged* a) { a->memory.activation = 0.5f; });
        break;
      case 3:
        Edit(backend_.SetStrength(id, 0.25f), &mine,
             [](Acknowledged* a) { a->extension.strength = 0.25f; });
        break;
      case 4:
        Remove(id, &mine);
        break;
      case 5:
        break;
    }
    std::string difference = Difference(backend_, id, mine);
    if (!difference.empty()) violation_ = id + ": " + difference;
  }

  void Put(const std::string& id, std::optional<Acknowledged>* mine) {
    Acknowledged a = MakeMemory(id, random_.Bits());
    if (*mine) a.extension = (*mine)->extension;
    Must(backend_.Put(a.memory, a.embedding));
    *mine = a;
  }

  template <typename Change>
  void Edit(const Result<Lsn>& result, std::optional<Acknowledged>* mine, Change change) {
    if (result.ok() != mine->has_value()) violation_ = "an edit succeeded on nothing or failed";
    if (*mine) change(&**mine);
  }

  void Remove(const std::string& id, std::optional<Acknowledged>* mine) {
    if (backend_.Remove(id).ok() != mine->has_value())
      violation_ = "a delete found the wrong thing";
    mine->reset();
  }

  MemoryBackend& backend_;
  RecordGenerator random_;
  const std::string name_;
  std::map<std::string, std::optional<Acknowledged>> records_;
  std::string violation_;
};

// Switches modes, installs conversions, scans and searches as long as the clients work.
void Disturb(Bench& bench, const std::atomic<bool>& stop) {
  constexpr Mode kModes[] = {Mode::kLegacy, Mode::kDualWrite, Mode::kShadow, Mode::kDual};
  RecordGenerator random(99);
  Acknowledged query = MakeMemory("query", 1);
  while (!stop) {
    Must(bench.backend().SetMode(kModes[random.Below(4)]));
    Must(bench.backend().InstallConversions());
    std::string last;
    Must(bench.backend().Scan({}, [&](const FullRecord& r, const Embedding*) -> Result<bool> {
      EXPECT_LT(last, r.memory.text.id);
      EXPECT_EQ(MemoryDigest(r.memory, r.node.extension), r.head.digest);
      last = r.memory.text.id;
      return true;
    }));
    (void)Must(bench.backend().Search(query.embedding, 3));
  }
}

// Slice: ENGRAM_CLIENT_STEPS.
TEST_P(BackendConcurrency, SixteenClientsSeeTheirOwnWritesWhileModesChangeUnderThem) {
  uint64_t steps = NumberFromEnvironment("ENGRAM_CLIENT_STEPS", 150);
  bench_.Reopen({.lazy_install_batch = 4});
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  std::thread disturber([&] { Disturb(bench_, stop); });
  for (int i = 0; i < kWriterCount; ++i) {
    clients.push_back(std::make_unique<Client>(backend(), i));
    threads.emplace_back([client = clients.back().get(), steps] { client->Run(steps); });
  }
  for (std::thread& t : threads) t.join();
  stop = true;
  disturber.join();
  Ledger ledger;
  for (const auto& client : clients) {
    EXPECT_EQ(client->violation(), "");
    for (const auto& [id, a] : client->records()) {
      if (a) ledger[id] = *a;
    }
  }
  EXPECT_EQ(backend().Stats().shadow_mismatches, 0u);
  ExpectStoreEquals(bench_, ledger);
  bench_.Reopen();
  ExpectStoreEquals(bench_, ledger);
}

// Group commit: acknowledgements of one shared id are totally ordered by their LSN.
TEST_P(BackendConcurrency, LastAcknowledgedWriteOfASharedIdWins) {
  struct Write {
    Lsn lsn;
    Acknowledged content;
  };
  std::vector<std::vector<Write>> writes(kWriterCount);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriterCount; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t n = 0; n < 20; ++n) {
        Acknowledged a = MakeMemory("shared", i * 1000 + n);
        writes[i].push_back({Must(backend().Put(a.memory, a.embedding)), a});
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const Write* last = &writes[0][0];
  std::set<uint64_t> lsns;
  for (const auto& of_thread : writes) {
    for (const Write& w : of_thread) {
      EXPECT_TRUE(lsns.insert(w.lsn.value).second) << "an LSN was given twice";
      if (w.lsn > last->lsn) last = &w;
    }
  }
  ExpectStoreEquals(bench_, {{"shared", last->content}});
}

TEST_P(BackendConcurrency, SearchAnswersWhileWritersCommit) {
  constexpr uint64_t kRecords = 5000;  // enough for several ranges and threads
  uint64_t records = GetParam() == StoreKind::kFake ? 50 : kRecords;
  std::vector<Acknowledged> all;
  for (uint64_t i = 0; i < records; ++i) all.push_back(MakeMemory("m" + std::to_string(i), i));
  std::vector<MemoryBackend::PutItem> items;
  for (const Acknowledged& a : all) items.push_back({&a.memory, &a.embedding});
  std::vector<Lsn> lsns;
  Must(backend().PutBatch(items, &lsns));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t i = 0; !stop; ++i) {
      Acknowledged a = MakeMemory("w" + std::to_string(i % 50), i);
      Must(backend().Put(a.memory, a.embedding));
    }
  });
  for (uint64_t i = 0; i < 50; ++i) {
    const Acknowledged& wanted = all[i * (records / 50)];
    auto hits = backend().Search(wanted.embedding, 3);
    ASSERT_TRUE(hits.ok()) << hits.status().ToString();
    ASSERT_EQ(hits->size(), 3u);
    EXPECT_EQ((*hits)[0].id, wanted.memory.text.id);
    EXPECT_NEAR((*hits)[0].score, 1, 1e-5);
  }
  stop = true;
  writer.join();
}

// --- generated graphs ---

// The graph as the test knows it.
struct GraphModel {
  struct Link {
    uint64_t to = 0;
    float weight = 0, contribution = 0;
  };
  Ledger ledger;
  std::vector<bool> exists;
  std::vector<std::vector<Link>> edges, bindings;

  static std::string Id(uint64_t n) { return "n" + std::to_string(n); }
  void Remove(uint64_t node) {
    ledger.erase(Id(node));
    exists[node] = false;
    edges[node].clear();
    bindings[node].clear();
    for (auto* links : {&edges, &bindings}) {
      for (auto& of_node : *links) {
        std::erase_if(of_node, [node](const Link& l) { return l.to == node; });
      }
    }
  }
  std::vector<std::string> BreadthFirst(uint64_t start, uint32_t depth) const {
    std::vector<uint64_t> order = {start};
    std::set<uint64_t> seen = {start};
    std::vector<uint32_t> depths = {0};
    for (uint64_t i = 0; i < order.size(); ++i) {
      if (depths[i] == depth) continue;
      for (const Link& l : edges[order[i]]) {
        if (!seen.insert(l.to).second) continue;
        order.push_back(l.to);
        depths.push_back(depths[i] + 1);
      }
    }
    std::vector<std::string> ids;
    for (uint64_t n : order) ids.push_back(Id(n));
    return ids;
  }
};

class GraphBuilder {
 public:
  GraphBuilder(MemoryBackend& backend, uint64_t node_count)
      : backend_(backend), node_count_(node_count) {
    model.exists.assign(node_count, true);
    model.edges.resize(node_count);
    model.bindings.resize(node_count);
  }
  GraphModel model;

  void PutNodes() {
    std::vector<MemoryBackend::PutItem> items;
    for (uint64_t n = 0; n < node_count_; ++n) {
      Acknowledged& a = model.ledger[GraphModel::Id(n)] = MakeMemory(GraphModel::Id(n), n);
      if (IsConcept(n)) {
        a.extension = MakeConcept(n);
        Must(backend_.PutNode(ToDual(a.memory, Uuid{}, a.extension), a.embedding));
      } else {
        items.push_back({&a.memory, &a.embedding});
      }
    }
    std::vector<Lsn> lsns;
    Must(backend_.PutBatch(items, &lsns));
    EXPECT_EQ(lsns.size(), items.size());
  }
  void Link() {
    for (uint64_t i = 0; i < node_count_ / 2; ++i) {
      uint64_t from = random_.Below(node_count_), to = random_.Below(node_count_);
      float weight = random_.Float();
      Must(backend_.AddEdge(GraphModel::Id(from), GraphModel::Id(to), weight));
      model.edges[from].push_back({to, weight, 0});
      uint64_t episode = random_.Below(node_count_), bound = random_.Below(node_count_ / 10) * 10;
      float strength = random_.Confidence(), contribution = random_.Confidence();
      Must(backend_.AddBinding(GraphModel::Id(episode), GraphModel::Id(bound), strength,
                               contribution));
      model.bindings[episode].push_back({bound, strength, contribution});
    }
  }
  void RemoveSome() {
    for (uint64_t i = 0; i < node_count_ / 20; ++i) {
      uint64_t n = random_.Below(node_count_);
      EXPECT_EQ(backend_.Remove(GraphModel::Id(n)).ok(), model.exists[n]);
      model.Remove(n);
    }
  }
  static bool IsConcept(uint64_t n) { return n % 10 == 0; }
  RecordGenerator& random() { return random_; }

 private:
  MemoryBackend& backend_;
  const uint64_t node_count_;
  RecordGenerator random_{42};
};

void ExpectGraphEquals(MemoryBackend& backend, const GraphModel& model) {
  for (uint64_t n = 0; n < model.edges.size(); ++n) {
    auto neighbours = Must(backend.Neighbours(GraphModel::Id(n)));
    ASSERT_EQ(neighbours.size(), model.edges[n].size()) << n;
    for (uint64_t i = 0; i < neighbours.size(); ++i) {
      EXPECT_EQ(neighbours[i].id, GraphModel::Id(model.edges[n][i].to));
      EXPECT_TRUE(engram::testing::SameBits(neighbours[i].weight, model.edges[n][i].weight));
    }
    auto concepts = Must(backend.ConceptsOf(GraphModel::Id(n)));
    ASSERT_EQ(concepts.size(), model.bindings[n].size()) << n;
    for (uint64_t i = 0; i < concepts.size(); ++i) {
      EXPECT_EQ(concepts[i].id, GraphModel::Id(model.bindings[n][i].to));
      EXPECT_EQ(concepts[i].strength, model.bindings[n][i].weight);
      EXPECT_EQ(concepts[i].contribution, model.bindings[n][i].contribution);
    }
  }
}

// Slice: ENGRAM_GRAPH_NODES.
TEST_P(BackendConcurrency, GeneratedGraphWithConceptsAndBindingsKeepsItsDigests) {
  bool fake = GetParam() == StoreKind::kFake;
  uint64_t nodes = fake ? 200 : NumberFromEnvironment("ENGRAM_GRAPH_NODES", 10000);
  Must(backend().SetMode(Mode::kDual));
  GraphBuilder graph(backend(), nodes);
  graph.PutNodes();
  graph.Link();
  graph.RemoveSome();
  for (int round = 0; round < 2; ++round) {
    ExpectStoreEquals(bench_, graph.model.ledger);
    ExpectGraphEquals(backend(), graph.model);
    ExpectEdgeDigestsRecompute(bench_);
    for (int i = 0; i < 50; ++i) {
      uint64_t start = graph.random().Below(nodes);
      EXPECT_EQ(Must(backend().TraverseBreadthFirst(GraphModel::Id(start), 4)),
                graph.model.BreadthFirst(start, 4));
    }
    bench_.Reopen();
  }
}

}  // namespace
}  // namespace engram::compat::testing
