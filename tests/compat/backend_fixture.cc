#include "tests/compat/backend_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/file_system.h"
#include "compat/conversion.h"

namespace engram::compat::testing {

using engram::testing::HashOf;
using engram::testing::RecordGenerator;
using engram::testing::SameBits;

namespace {

Result<std::unique_ptr<engine::Store>> OpenStore(const std::string& directory, StoreKind kind,
                                                 engine::Access access) {
  ENGRAM_TRY(CreateDirectories(FileSystem::Posix(), directory));
  engine::StoreOptions options;
  options.directory = directory;
  options.space = "default";
  options.access = access;
  options.map_size_bytes = 4ull << 30;
  options.log.io = kind == StoreKind::kUring ? wal::LogIo::kUring : wal::LogIo::kPwrite;
  return engine::Store::Open({}, options);
}

}  // namespace

std::vector<StoreKind> AllStores() {
  std::vector<StoreKind> kinds = {StoreKind::kFake, StoreKind::kPwrite};
  auto directory = engram::testing::TempDir::InMemory();
  auto uring = OpenStore(directory.Join("dual"), StoreKind::kUring, engine::Access::kCreate);
  if (uring.status().code() != StatusCode::kUnsupported) kinds.push_back(StoreKind::kUring);
  return kinds;
}

void PrintTo(StoreKind kind, std::ostream* out) {
  *out << (kind == StoreKind::kFake ? "Fake" : kind == StoreKind::kPwrite ? "Pwrite" : "Uring");
}

std::string KindName(const ::testing::TestParamInfo<StoreKind>& info) {
  return ::testing::PrintToString(info.param);
}

void CheckOk(const Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  std::abort();
}

Bench::Bench(StoreKind kind, const BackendOptions& options) : kind_(kind) {
  Open(options, engine::Access::kCreate);
}

void Bench::Open(const BackendOptions& options, engine::Access access) {
  if (kind_ == StoreKind::kFake) {
    if (!store_) store_ = std::make_unique<FakeStore>();
  } else {
    store_ = Must(OpenStore(directory_.Join("dual"), kind_, access));
  }
  backend_ = MemoryBackend::Make(*store_, options);
}

void Bench::Reopen(const BackendOptions& options, engine::Access access) {
  backend_.reset();
  if (kind_ != StoreKind::kFake) {
    CheckOk(store_->Close(), "close");
    store_.reset();
  }
  Open(options, access);
}

engine::StoredRecord Bench::Stored(std::string_view id) {
  auto view = Must(store_->View());
  auto key = Must(view->FindId(id));
  CheckOk(key ? Status::Ok() : Status::NotFound("no key"), "Stored");
  auto record = Must(view->Record(*key));
  CheckOk(record ? Status::Ok() : Status::NotFound("no record"), "Stored");
  return *record;
}

engine::Counts Bench::Counts() { return Must(Must(store_->View())->Count()); }

namespace {

// Neighbouring seeds must not give shifted copies of one stream (the generator adds a constant).
uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdu;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}

}  // namespace

Acknowledged MakeMemory(std::string_view id, uint64_t seed) {
  RecordGenerator random(Mix(seed));
  Acknowledged a;
  a.memory = random.Memory();
  a.memory.text.id = id;
  random.FillUnitEmbedding(&a.embedding);
  a.memory.embedding_sha256 = HashOf(a.embedding);
  return a;
}

Extension MakeConcept(uint64_t seed) {
  RecordGenerator random(seed);
  Extension e;
  e.type = engine::NodeType::kConcept;
  e.coherence = random.Float();
  e.instance_count = static_cast<uint32_t>(random.Bits());
  e.formation_time = random.Time();
  return e;
}

std::string Difference(MemoryBackend& backend, std::string_view id,
                       const std::optional<Acknowledged>& expected) {
  Embedding embedding;
  const auto read = backend.Get(id, &embedding);
  if (!read.ok()) return "it cannot be read: " + read.status().ToString();
  const std::optional<FullRecord>& got = *read;
  if (!expected) return got ? "a deleted record is served" : "";
  if (!got) return "an acknowledged record is missing";
  if (!SameBits(got->memory, expected->memory)) return "another memory is served";
  if (!SameBits(got->node.extension, expected->extension)) return "another extension is served";
  if (std::memcmp(embedding.data(), expected->embedding.data(), sizeof embedding) != 0) {
    return "another embedding is served";
  }
  return "";
}

void ExpectServed(MemoryBackend& backend, std::string_view id, const Acknowledged& expected) {
  Embedding embedding;
  auto got = backend.Get(id, &embedding);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  ASSERT_TRUE(got->has_value()) << "no record";
  const FullRecord& r = **got;
  EXPECT_TRUE(SameBits(r.memory, expected.memory)) << "the memory differs";
  EXPECT_TRUE(SameBits(r.node.extension, expected.extension)) << "the extension differs";
  EXPECT_EQ(std::memcmp(embedding.data(), expected.embedding.data(), sizeof embedding), 0);
  Uuid uuid = engine::NodeUuid(Must(SpaceId::Parse("default")), id);
  EXPECT_TRUE(SameBits(r.node, ToDual(expected.memory, uuid, expected.extension)));
  EXPECT_EQ(ToHex(r.head.digest), ToHex(MemoryDigest(expected.memory, expected.extension)));
  EXPECT_EQ(r.head.tier, engine::TierOf(expected.memory.activation));
}

void ExpectStoreEquals(Bench& bench, const Ledger& ledger) {
  auto expected = ledger.begin();
  Must(bench.backend().Scan(
      {.after = std::nullopt, .embeddings = true},
      [&](const FullRecord& r, const Embedding* embedding) -> Result<bool> {
        if (expected == ledger.end()) {
          ADD_FAILURE() << "a record that nobody wrote: " << r.memory.text.id;
          return false;
        }
        EXPECT_EQ(r.memory.text.id, expected->first);
        EXPECT_TRUE(SameBits(r.memory, expected->second.memory)) << expected->first;
        EXPECT_TRUE(SameBits(r.node.extension, expected->second.extension)) << expected->first;
        EXPECT_EQ(
            std::memcmp(embedding->data(), expected->second.embedding.data(), sizeof *embedding), 0)
            << expected->first;
        ++expected;
        return true;
      }));
  EXPECT_TRUE(expected == ledger.end()) << "missing: " << expected->first;
  EXPECT_EQ(Must(bench.backend().Count()), ledger.size());
  ExpectDigestsRecompute(bench);
}

void ExpectDigestsRecompute(Bench& bench) {
  engine::TierDigest tiers[engine::kTierCount];
  uint64_t dual = 0, concepts = 0, records = 0;
  Must(bench.backend().Scan({.after = std::nullopt, .embeddings = true},
                            [&](const FullRecord& r, const Embedding* e) -> Result<bool> {
                              ++records;
                              dual += r.stored_dual;
                              concepts += r.node.extension.type == engine::NodeType::kConcept;
                              engine::DualNode node = r.node;
                              node.embedding_sha256 = HashOf(*e);
                              int tier = static_cast<int>(engine::TierOf(node.activation)) - 1;
                              ++tiers[tier].count;
                              tiers[tier].lanes.Add(RecordDigest(node));
                              return true;
                            }));
  engine::DigestState stored = Must(Must(bench.store().View())->Digests());
  for (int i = 0; i < engine::kTierCount; ++i) {
    EXPECT_EQ(stored.tiers[i].count, tiers[i].count) << "tier " << i;
    EXPECT_TRUE(stored.tiers[i].lanes == tiers[i].lanes) << "tier " << i;
    EXPECT_FALSE(stored.tiers[i].dirty);
  }
  engine::Counts counts = bench.Counts();
  EXPECT_EQ(counts.records, records);
  EXPECT_EQ(counts.dual, dual);
  EXPECT_EQ(counts.old, records - dual);
  EXPECT_EQ(counts.concepts, concepts);
  EXPECT_EQ(counts.episodes, records - concepts);
}

namespace {

void PutUuid(const Uuid& uuid, std::string* out) { PutBytes(out, uuid.bytes); }

}  // namespace

void ExpectEdgeDigestsRecompute(Bench& bench) {
  auto view = Must(bench.store().Snapshot());
  SpaceId space = Must(SpaceId::Parse("default"));
  engine::LtHash edges, bindings;
  uint64_t edge_count = 0, binding_count = 0;
  Must(view->ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
    Uuid source = engine::NodeUuid(space, id);
    for (const engine::Neighbour& n : Must(view->OutEdges(key))) {
      std::string text("engram/edge/1\0", 14);
      PutUuid(source, &text);
      PutLe<uint64_t>(&text, n.ordinal);
      PutUuid(engine::NodeUuid(space, Must(view->IdOf(n.node))), &text);
      PutLe<float>(&text, n.weight);
      edges.Add(Sha256Of(AsBytes(text)));
      ++edge_count;
    }
    for (const engine::Binding& b : Must(view->ConceptsOf(key))) {
      std::string text("engram/binding/1\0", 17);
      PutUuid(source, &text);
      PutLe<uint64_t>(&text, b.ordinal);
      PutUuid(engine::NodeUuid(space, Must(view->IdOf(b.node))), &text);
      PutLe<float>(&text, b.strength);
      PutLe<float>(&text, b.contribution);
      bindings.Add(Sha256Of(AsBytes(text)));
      ++binding_count;
    }
    return true;
  }));
  if (bench.kind() == StoreKind::kFake) return;
  engine::DigestState stored = Must(view->Digests());
  EXPECT_TRUE(stored.edges == edges);
  EXPECT_TRUE(stored.bindings == bindings);
  EXPECT_EQ(Must(view->Count()).edges, edge_count);
  EXPECT_EQ(Must(view->Count()).bindings, binding_count);
}

}  // namespace engram::compat::testing
