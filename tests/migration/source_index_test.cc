#include "migration/sources/source_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/testing/generated_log.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {
namespace {

using engine::Layout;
using engram::testing::FixturePath;
using engram::testing::GenerateLog;
using engram::testing::LoadManifest;
using engram::testing::ReadWholeFile;
using engram::testing::TempDir;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<SourceIndex> Build(const SourceSpace& space,
                                   const SourceIndex::Options& extra = {}) {
  SourceIndex::Options options = extra;
  auto index = SourceIndex::Build(FileSystem::Posix(), space, options);
  EXPECT_TRUE(index.ok()) << index.status().ToString();
  EXPECT_TRUE((*index)->WaitForHashes().ok());
  return std::move(*index);
}

Source Discover(const std::string& directory, std::optional<std::string> space = std::nullopt) {
  auto source = DiscoverSource(FileSystem::Posix(), directory, space);
  EXPECT_TRUE(source.ok()) << source.status().ToString();
  return *source;
}

// The manifest of one space: entries of its files, and what the space should come to.
struct Counters {
  uint64_t records = 0;
  uint64_t episodes = 0;
  uint64_t memories = 0;
  uint64_t deletes = 0;
  uint64_t other_types = 0;
  std::set<std::tuple<std::string, uint64_t, uint64_t, std::string>> damage;
};

Counters ExpectedOf(const json& manifest, const SourceSpace& space) {
  Counters out;
  std::set<std::string> paths;
  for (const SourceFile& file : space.files) paths.insert(file.relative_path);
  for (const json& file : manifest["files"]) {
    std::string path = file["path"];
    if (!paths.contains(path)) continue;
    for (const json& entry : file["records"]) {
      if (entry.contains("damage")) {
        uint64_t offset = entry["offset"];
        out.damage.insert({path, offset, entry["end"].get<uint64_t>() - offset, entry["damage"]});
        continue;
      }
      ++out.records;
      uint32_t type = entry["type"];
      if (type == 1) ++out.episodes;
      if (type == 2) ++out.memories;
      if (type == 3) ++out.deletes;
      if (type >= 4) ++out.other_types;
    }
  }
  return out;
}

void CheckCounters(const SourceIndex& index, const Counters& expected) {
  const SourceCounters& counters = index.counters();
  EXPECT_EQ(counters.records, expected.records);
  EXPECT_EQ(counters.episodes, expected.episodes);
  EXPECT_EQ(counters.memories, expected.memories);
  EXPECT_EQ(counters.deletes, expected.deletes);
  EXPECT_EQ(counters.other_types, expected.other_types);
  EXPECT_TRUE(counters.quarantined.empty());
  EXPECT_EQ(counters.episodes + counters.memories,
            index.found() + counters.versions_superseded + counters.duplicates);
  std::set<std::tuple<std::string, uint64_t, uint64_t, std::string>> damage;
  for (const SourceDamage& d : counters.damaged) {
    damage.insert({d.file, d.offset, d.length, d.kind});
  }
  EXPECT_EQ(damage, expected.damage);
}

// The last contribution of each id is the manifest's newest version of it.
void CheckNewest(const SourceIndex& index, const SourceSpace& space, const json& newest) {
  EXPECT_EQ(index.found(), newest.size());
  std::vector<RecordRef> refs;
  uint64_t checked = 0;
  for (uint64_t i = 0; i < index.id_count(); ++i) {
    if (!index.alive(i)) continue;
    index.Contributions(i, &refs);
    ASSERT_FALSE(refs.empty());
    std::string id(index.id(i));
    ASSERT_TRUE(newest.contains(id)) << id;
    EXPECT_EQ(space.files[refs.back().file].relative_path, newest[id][0]) << id;
    EXPECT_EQ(refs.back().offset, newest[id][1]) << id;
    ++checked;
  }
  EXPECT_EQ(checked, newest.size());
}

class SourceIndexFixture : public ::testing::TestWithParam<const char*> {};

TEST_P(SourceIndexFixture, HoldsExactlyWhatTheManifestSays) {
  std::string fixture = GetParam();
  json manifest = LoadManifest(fixture + "/manifest.json");
  Source source = Discover(FixturePath(fixture + "/data"));
  EXPECT_EQ(source.spaces.size(), manifest["spaces"].size());
  for (const SourceSpace& space : source.spaces) {
    SCOPED_TRACE(space.space);
    auto index = Build(space);
    CheckCounters(*index, ExpectedOf(manifest, space));
    std::string name = manifest["spaces"].contains(space.space) ? space.space : "(legacy layout)";
    CheckNewest(*index, space, manifest["spaces"][name]["newest"]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SourceIndexFixture,
                         ::testing::Values("all-types", "damaged", "duplicates", "grpc", "killed",
                                           "legacy-e0", "legacy-e2", "made-e1", "older-e2", "plain",
                                           "restart", "spaces"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SourceIndexFixtureDamaged, ARepeatedRecordIsCountedAsDuplicate) {
  Source source = Discover(FixturePath("damaged/data"), "duplicated-record");
  ASSERT_EQ(source.spaces.size(), 1u);
  auto index = Build(source.spaces[0]);
  EXPECT_EQ(index->counters().duplicates, 1u);
  EXPECT_EQ(index->counters().versions_superseded, 0u);
}

TEST(SourceIndexGenerated, EveryKindOfDamageOfTheGeneratorIsFoundAsItsManifestSays) {
  TempDir directory;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::string root = directory.Join("s" + std::to_string(seed));
    json manifest = GenerateLog(root,
                                "--records 400 --spaces 2 --versions 20 --deletes 8 --layouts "
                                "E0,E1,E2,E3,M --damage all --seed " +
                                    std::to_string(seed));
    Source source = Discover(root);
    ASSERT_EQ(source.spaces.size(), 2u);
    for (const SourceSpace& space : source.spaces) {
      auto index = Build(space);
      CheckCounters(*index, ExpectedOf(manifest, space));
      CheckNewest(*index, space, manifest["spaces"][space.space]["newest"]);
    }
  }
}

TEST(SourceIndexGenerated, TheSameSeedGivesTheSameBytesAndTheManifestTheirHash) {
  TempDir directory;
  std::string arguments = "--records 60 --versions 10 --damage flips --seed 3";
  json a = GenerateLog(directory.Join("a"), arguments);
  json b = GenerateLog(directory.Join("b"), arguments);
  json c = GenerateLog(directory.Join("c"), "--records 60 --versions 10 --damage flips --seed 4");
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  Source source = Discover(directory.Join("a"));
  auto index = Build(source.spaces[0]);
  ASSERT_EQ(index->extents().size(), a["files"].size());
  for (size_t i = 0; i < index->extents().size(); ++i) {
    EXPECT_EQ(index->extents()[i].path, a["files"][i]["path"]);
    EXPECT_EQ(index->extents()[i].size_bytes, a["files"][i]["bytes"]);
    EXPECT_EQ(ToHex(index->extents()[i].sha256), a["files"][i]["sha256"]);
  }
}

// Small logs made by hand.
class HandMadeSource : public ::testing::Test {
 protected:
  HandMadeSource() { std::filesystem::create_directories(directory_.Join("wal")); }

  static std::string Embedding(float value) {
    std::string out;
    for (uint32_t i = 0; i < engine::kEmbeddingDimension; ++i) PutLe(&out, value);
    return out;
  }
  void Put(const engine::Memory& memory, float vector = 0.5f) {
    std::string payload;
    ASSERT_TRUE(compat::EncodeUpstreamPayload(memory, AsBytes(Embedding(vector)), &payload).ok());
    Raw(memory.layout == Layout::kM ? 2 : 1, payload);
  }
  void Raw(uint32_t type, const std::string& payload) {
    compat::EncodeUpstreamRecord(sequence_++, 5, type, AsBytes(payload), &bytes_);
  }
  static engine::Memory Episode(const std::string& id, const std::string& what) {
    engine::Memory memory;
    memory.layout = Layout::kE3;
    memory.text.id = id;
    memory.text.content = what;
    memory.when.emplace();
    memory.last_recall.emplace();
    memory.recall_count = 0;
    memory.confidence_vividness = 0.5f;
    memory.confidence_reliability = 0.5f;
    return memory;
  }
  Source Write() {
    std::ofstream(directory_.Join("wal/wal-000000006b000000.log"), std::ios::binary) << bytes_;
    return Discover(directory_.path());
  }

  TempDir directory_;
  std::string bytes_;
  uint64_t sequence_ = 0;
};

TEST_F(HandMadeSource, UndecodableRecordsAreQuarantinedAndSupersedeNothing) {
  Put(Episode("a", "first"));
  std::string broken;
  ASSERT_TRUE(
      compat::EncodeUpstreamPayload(Episode("a", "second"), AsBytes(Embedding(1)), &broken).ok());
  Raw(1, broken + "x");
  Raw(2, "not a memory");
  Raw(7, "unknown");
  Raw(0, "");
  Raw(5, "");
  Raw(3, "\xff");
  Source source = Write();
  auto index = Build(source.spaces[0]);
  EXPECT_EQ(index->counters().records, 7u);
  EXPECT_EQ(index->counters().deletes, 0u);
  EXPECT_EQ(index->counters().episodes, 1u);
  EXPECT_EQ(index->counters().other_types, 1u);
  ASSERT_EQ(index->counters().quarantined.size(), 5u);
  EXPECT_THAT(index->counters().quarantined[4].reason, HasSubstr("not UTF-8"));
  EXPECT_THAT(index->counters().quarantined[0].reason, HasSubstr("left over"));
  EXPECT_THAT(index->counters().quarantined[2].reason, HasSubstr("type 7"));
  std::vector<RecordRef> refs;
  index->Contributions(0, &refs);
  ASSERT_EQ(refs.size(), 1u);
  EXPECT_EQ(refs[0].offset, 0u);
}

TEST_F(HandMadeSource, ADeleteActsAtItsPositionAndARepetitionTakesEffectAtItsOwn) {
  Put(Episode("a", "1"));
  std::string first = bytes_;
  Raw(3, "a");
  Put(Episode("b", "1"));
  Raw(3, "b");
  Raw(3, "never seen");
  bytes_ += first;  // a again, byte for byte
  Source source = Write();
  auto index = Build(source.spaces[0]);
  EXPECT_EQ(index->found(), 1u);
  EXPECT_EQ(index->deleted(), 1u);
  EXPECT_EQ(index->counters().duplicates, 1u);
  EXPECT_EQ(index->counters().versions_superseded, 1u);
  EXPECT_EQ(index->counters().deletes, 3u);
  EXPECT_TRUE(index->alive(0));
  EXPECT_FALSE(index->alive(1));
}

TEST_F(HandMadeSource, TheUnprotectedHeaderBytesDoNotMakeARecordAnotherOne) {
  Put(Episode("a", "1"));
  std::string again = bytes_;
  again[60] ^= 1;
  bytes_ += again;
  Source source = Write();
  EXPECT_EQ(Build(source.spaces[0])->counters().duplicates, 1u);
}

TEST_F(HandMadeSource, TheTablesGrow) {
  for (int i = 0; i < 9000; ++i) Put(Episode("id" + std::to_string(i % 4500), std::to_string(i)));
  Source source = Write();
  auto index = Build(source.spaces[0]);
  EXPECT_EQ(index->found(), 4500u);
  EXPECT_EQ(index->counters().versions_superseded, 4500u);
  EXPECT_EQ(index->counters().duplicates, 0u);
  EXPECT_EQ(index->id(4499), "id4499");
}

TEST_F(HandMadeSource, KnownPrefixesAreHashedBesideTheWhole) {
  Put(Episode("a", "1"));
  Put(Episode("b", "1"));
  Source source = Write();
  SourceIndex::Options options;
  options.known_sizes = {{"wal/wal-000000006b000000.log", 100}};
  auto index = Build(source.spaces[0], options);
  ASSERT_EQ(index->files_now().size(), 1u);
  EXPECT_EQ(index->files_now()[0].prefix_sha256, Sha256Of(AsBytes(bytes_.substr(0, 100))));
  EXPECT_EQ(index->extents()[0].sha256, Sha256Of(AsBytes(bytes_)));
}

// The set of contributing versions against a fold over all versions.
engine::Memory RandomVersion(std::mt19937_64& random, uint64_t stamp) {
  static constexpr Layout kLayouts[] = {Layout::kE0, Layout::kE1, Layout::kE2,
                                        Layout::kE3, Layout::kM,  Layout::kM};
  engine::Memory memory;
  memory.layout = kLayouts[random() % 6];
  float value = static_cast<float>(stamp + 1);
  memory.text.id = "id";
  memory.confidence_encoding = value;
  memory.decay_rate = value;
  engine::EmbeddingProvenance provenance;
  provenance.dimension = stamp;
  if (memory.layout == Layout::kM) {
    memory.activation = random() % 2 ? 0.0f : value;
    memory.last_access = engine::Timestamp{static_cast<int64_t>(stamp), 0};
    memory.access_count = stamp;
    memory.created_at = memory.last_access;
    if (random() % 2) memory.text.content = std::to_string(stamp);
    if (random() % 2) memory.text.provenance = provenance;
    return memory;
  }
  memory.when = engine::Timestamp{static_cast<int64_t>(stamp), 0};
  memory.last_recall = memory.when;
  memory.recall_count = static_cast<uint32_t>(stamp);
  memory.confidence_vividness = value;
  memory.confidence_reliability = value;
  memory.text.content = std::to_string(stamp);
  if (memory.layout >= Layout::kE1 && random() % 2) memory.text.provenance = provenance;
  if (memory.layout >= Layout::kE2 && random() % 2) memory.decay_function.emplace().n = stamp;
  if (memory.layout >= Layout::kE3) memory.text.metadata = {{"k", std::to_string(stamp)}};
  return memory;
}

std::string Print(const engine::Memory& memory) {
  json out = engram::testing::PayloadJson(memory);
  engine::Memory other = memory;
  other.layout = memory.layout == Layout::kM ? Layout::kE3 : Layout::kM;
  out["rest"] = engram::testing::PayloadJson(other);
  return out.dump();
}

TEST(VersionSetProperty, ContributionsFoldToTheSameMemoryAsAllVersions) {
  for (uint64_t seed = 1; seed <= 20000; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<engine::Memory> versions;
    VersionSet set;
    uint64_t start = 0;  // all versions from here on count
    bool has_memory = false;
    for (uint64_t i = 0, n = 1 + random() % 9; i < n; ++i) {
      versions.push_back(RandomVersion(random, i));
      const engine::Memory& version = versions.back();
      if (random() % 8 == 0) {
        set.Delete();
        start = i;
        has_memory = false;
      }
      if (version.layout == Layout::kM) {
        set.AddMemory(static_cast<VersionIndex>(i), version.activation != 0);
        has_memory = true;
      } else {
        if (!has_memory) start = i;  // episodes alone: the newest counts
        set.AddEpisode(static_cast<VersionIndex>(i), version.layout);
      }
    }
    auto fold = [&](const std::vector<VersionIndex>& indices) {
      compat::UpstreamRecord accumulated;
      bool first = true;
      for (VersionIndex i : indices) {
        compat::UpstreamRecord next;
        next.memory = versions[i];
        FoldVersion(first, &accumulated, &next);
        first = false;
      }
      return Print(accumulated.memory);
    };
    std::vector<VersionIndex> all;
    for (uint64_t i = start; i < versions.size(); ++i) all.push_back(static_cast<VersionIndex>(i));
    std::vector<VersionIndex> contributions;
    set.Contributions(&contributions);
    ASSERT_LE(contributions.size(), 6u);
    ASSERT_EQ(fold(contributions), fold(all)) << "seed " << seed;
  }
}

TEST(FoldVersion, AnEpisodeTakesItsEncodingConfidenceAsActivation) {
  std::mt19937_64 random(1);
  compat::UpstreamRecord accumulated;
  compat::UpstreamRecord episode;
  episode.memory.layout = Layout::kE0;
  episode.memory.confidence_encoding = 0.25f;
  FoldVersion(true, &accumulated, &episode);
  EXPECT_EQ(accumulated.memory.activation, 0.25f);
  compat::UpstreamRecord memory;
  memory.memory.layout = Layout::kM;
  memory.memory.activation = 0;
  memory.memory.confidence_encoding = 0.75f;
  FoldVersion(false, &accumulated, &memory);
  EXPECT_EQ(accumulated.memory.activation, 0.25f) << "unknown keeps the previous";
  EXPECT_EQ(accumulated.memory.confidence_encoding, 0.75f);
  memory.memory = engine::Memory();
  memory.memory.layout = Layout::kM;
  FoldVersion(true, &accumulated, &memory);
  EXPECT_EQ(accumulated.memory.activation, 0.0f) << "without a previous 0.0 stays";
}

}  // namespace
}  // namespace engram::migration
