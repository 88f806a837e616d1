#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migration/sources/inspect_source.h"
#include "tests/testing/fixture_manifest.h"

namespace engram::migration {
namespace {

using engram::testing::FixturePath;
using engram::testing::LoadManifest;
using nlohmann::json;

std::vector<json> Inspect(const std::string& path, const InspectSourceOptions& options = {}) {
  std::vector<json> out;
  Status status = InspectSource(FileSystem::Posix(), path, options, [&](const json& line) {
    out.push_back(line);
    return Result<bool>(true);
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  return out;
}

TEST(InspectSource, ListsEveryStretchOfEveryFixtureAsItsManifestDoes) {
  for (const char* fixture : {"all-types", "damaged", "spaces", "legacy-e0"}) {
    SCOPED_TRACE(fixture);
    json manifest = LoadManifest(std::string(fixture) + "/manifest.json");
    std::map<std::pair<std::string, uint64_t>, json> expected;
    for (const json& file : manifest["files"]) {
      for (const json& entry : file["records"]) expected[{file["path"], entry["offset"]}] = entry;
    }
    InspectSourceOptions options;
    options.exact = true;
    std::vector<json> lines = Inspect(FixturePath(std::string(fixture) + "/data"), options);
    ASSERT_EQ(lines.size(), expected.size());
    for (const json& line : lines) {
      const json& entry = expected.at({line["file"], line["offset"]});
      EXPECT_EQ(line["end"], entry["end"]);
      EXPECT_EQ(line.value("damage", ""), entry.value("damage", ""));
      if (entry.contains("damage")) continue;
      for (const char* key : {"sequence", "timestamp_ns", "type", "size"}) {
        EXPECT_EQ(line[key], entry[key]);
      }
      if (!engram::testing::IsMemoryEntry(entry)) continue;
      EXPECT_EQ(line["id"], entry["id"]);
      EXPECT_EQ(line["layout"], entry["layout"]);
      EXPECT_EQ(line["embedding_sha256"], entry["embedding_sha256"]);
      EXPECT_EQ(line["confidence"]["encoding"], entry["confidence_bits"][0]);
      EXPECT_EQ(line["decay_rate"], entry["decay_rate_bits"]);
    }
  }
}

TEST(InspectSource, TakesOneFileAndStopsWhenAsked) {
  std::string path = FixturePath("plain/data/default/wal/wal-000000006b01378f.log");
  EXPECT_EQ(Inspect(path).size(), 54u);
  int seen = 0;
  Status status = InspectSource(FileSystem::Posix(), path, {},
                                [&](const json&) { return Result<bool>(++seen < 3); });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(seen, 3);
  status = InspectSource(FileSystem::Posix(), "/nowhere", {},
                         [&](const json&) { return Result<bool>(true); });
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace engram::migration
