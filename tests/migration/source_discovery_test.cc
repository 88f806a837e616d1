#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "migration/sources/source.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {
namespace {

using engram::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SourceDiscovery : public ::testing::Test {
 protected:
  void Touch(const std::string& relative, const std::string& bytes = "") {
    std::filesystem::path path = directory_.Join(relative);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << bytes;
  }
  Result<Source> Discover(std::optional<std::string> space = std::nullopt) {
    return DiscoverSource(FileSystem::Posix(), directory_.path(), space);
  }
  static std::vector<std::string> Paths(const SourceSpace& space) {
    std::vector<std::string> out;
    for (const SourceFile& file : space.files) out.push_back(file.relative_path);
    return out;
  }
  static std::vector<std::string> Names(const Source& source) {
    std::vector<std::string> out;
    for (const SourceSpace& space : source.spaces) out.push_back(space.space);
    return out;
  }
  TempDir directory_;
};

TEST_F(SourceDiscovery, LegacyBeforeOwnArchivesBeforeLiveAndFilesByHexNumber) {
  Touch("wal/wal-00000000000000ff.log");
  Touch("wal/wal-000000000000000a.log");
  Touch("wal/.archive-2/wal-0000000000000001.log");
  Touch("default/wal/wal-0000000000000002.log");
  Touch("default/wal/wal-1.log");
  Touch("default/wal/.archive-b/wal-0000000000000009.log");
  Touch("default/wal/.archive-a/wal-00000000000000aa.log");
  Touch("default/wal/.archive-a/wal-0000000000000003.log");
  auto source = Discover();
  ASSERT_TRUE(source.ok()) << source.status().ToString();
  ASSERT_THAT(Names(*source), ElementsAre("default"));
  EXPECT_THAT(
      Paths(source->spaces[0]),
      ElementsAre("wal/.archive-2/wal-0000000000000001.log", "wal/wal-000000000000000a.log",
                  "wal/wal-00000000000000ff.log", "default/wal/.archive-a/wal-0000000000000003.log",
                  "default/wal/.archive-a/wal-00000000000000aa.log",
                  "default/wal/.archive-b/wal-0000000000000009.log", "default/wal/wal-1.log",
                  "default/wal/wal-0000000000000002.log"));
}

TEST_F(SourceDiscovery, OnlyLogsAreTakenAndEverythingElseIsIgnored) {
  Touch("team/wal/wal-0000000000000001.log", "abc");
  Touch("team/wal/wal-0000000000000001.log.tmp");
  Touch("team/wal/other.log");
  Touch("team/wal/wal-.txt");
  Touch("team/warm_tier.dat");
  Touch("team/hot/x");
  Touch("team/dual/log/0000000000000001.seg");
  Touch("ours/dual/STORE");
  Touch("engram.pid");
  std::filesystem::create_directory(directory_.Join("team/wal/wal-0000000000000002.log"));
  std::filesystem::create_symlink("/nowhere", directory_.Join("team/wal/wal-0000000000000003.log"));
  auto source = Discover();
  ASSERT_TRUE(source.ok()) << source.status().ToString();
  ASSERT_THAT(Names(*source), ElementsAre("team"));
  EXPECT_THAT(Paths(source->spaces[0]), ElementsAre("team/wal/wal-0000000000000001.log"));
  EXPECT_EQ(source->spaces[0].size_bytes(), 3u);
  EXPECT_THAT(
      source->skipped,
      ElementsAre(HasSubstr("wal-0000000000000002.log: has the name of a log and is a dir"),
                  HasSubstr("wal-0000000000000003.log: a link to a file that is not there")));
}

TEST_F(SourceDiscovery, LogsBesideSpacesHideNoneOfThemAndAreReported) {
  Touch("wal-0000000000000001.log");
  Touch("good/wal/wal-0000000000000002.log");
  Touch("wal/wal-0000000000000003.log");
  auto source = Discover();
  ASSERT_TRUE(source.ok()) << source.status().ToString();
  EXPECT_EQ(source->kind, SourceKind::kDataRoot);
  EXPECT_THAT(Names(*source), ElementsAre("default", "good"));
  EXPECT_THAT(source->skipped, ElementsAre(HasSubstr("wal-0000000000000001.log: lies beside")));
}

TEST_F(SourceDiscovery, LinksToLogsAndSpacesAreFollowed) {
  Touch("elsewhere/a-space/wal/wal-0000000000000002.log", "abc");
  Touch("elsewhere/wal-0000000000000003.log", "abcd");
  std::filesystem::create_directories(directory_.Join("root/other/wal"));
  std::filesystem::create_symlink("../elsewhere/a-space", directory_.Join("root/a-space"));
  std::filesystem::create_symlink("../../../elsewhere/wal-0000000000000003.log",
                                  directory_.Join("root/other/wal/wal-0000000000000003.log"));
  auto source = DiscoverSource(FileSystem::Posix(), directory_.Join("root"), std::nullopt);
  ASSERT_TRUE(source.ok()) << source.status().ToString();
  ASSERT_THAT(Names(*source), ElementsAre("a-space", "other"));
  EXPECT_EQ(source->spaces[0].size_bytes(), 3u);
  EXPECT_EQ(source->spaces[1].size_bytes(), 4u);
}

// A space that cannot be looked at is not a space without a log.
TEST_F(SourceDiscovery, ASpaceThatCannotBeLookedAtIsAnErrorAndAnotherDirectoryIsReported) {
  Touch("good/wal/wal-0000000000000002.log");
  std::filesystem::create_directory(directory_.Join("lost+found"));
  std::filesystem::create_symlink("wal", directory_.Join("lost+found/wal"));  // leads nowhere
  auto source = Discover();
  ASSERT_TRUE(source.ok()) << source.status().ToString();
  EXPECT_THAT(source->skipped, ElementsAre(HasSubstr("lost+found: ")));
  std::filesystem::create_directory(directory_.Join("secret"));
  std::filesystem::create_symlink("wal", directory_.Join("secret/wal"));
  const Status status = Discover().status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("secret/wal"));
}

TEST_F(SourceDiscovery, ASpaceCalledWalAndTheLegacyDirectoryAreTwoThings) {
  Touch("wal/wal-0000000000000001.log");
  Touch("wal/wal/wal-0000000000000002.log");
  auto source = Discover();
  ASSERT_TRUE(source.ok());
  ASSERT_THAT(Names(*source), ElementsAre("default", "wal"));
  EXPECT_THAT(Paths(source->spaces[1]), ElementsAre("wal/wal/wal-0000000000000002.log"));
}

TEST_F(SourceDiscovery, TheLegacyLogGoesToTheNamedSpace) {
  Touch("wal/wal-0000000000000001.log");
  Touch("a-space/wal/wal-0000000000000002.log");
  auto source = Discover("a-space");
  ASSERT_TRUE(source.ok());
  ASSERT_THAT(Names(*source), ElementsAre("a-space"));
  EXPECT_EQ(source->spaces[0].files.size(), 2u);
  source = Discover("fresh");
  ASSERT_TRUE(source.ok());
  EXPECT_THAT(Paths(source->spaces[0]), ElementsAre("wal/wal-0000000000000001.log"));
}

TEST_F(SourceDiscovery, ABareLogDirectoryGoesToTheNamedSpaceElseDefault) {
  Touch("wal-0000000000000002.log");
  Touch(".archive-1/wal-0000000000000003.log");
  auto source = Discover();
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->kind, SourceKind::kLogDirectory);
  EXPECT_THAT(Names(*source), ElementsAre("default"));
  EXPECT_THAT(Paths(source->spaces[0]),
              ElementsAre(".archive-1/wal-0000000000000003.log", "wal-0000000000000002.log"));
  EXPECT_THAT(Names(*Discover("mine")), ElementsAre("mine"));
}

TEST_F(SourceDiscovery, IllegalSpaceNamesAreReportedAndSkipped) {
  Touch("Bad Name/wal/wal-0000000000000001.log");
  Touch("good/wal/wal-0000000000000001.log");
  auto source = Discover();
  ASSERT_TRUE(source.ok());
  EXPECT_THAT(Names(*source), ElementsAre("good"));
  ASSERT_EQ(source->skipped.size(), 1u);
  EXPECT_THAT(source->skipped[0], HasSubstr("Bad Name"));
}

TEST_F(SourceDiscovery, OnlyIllegalNamesIsAnErrorThatNamesThem) {
  Touch("Bad Name/wal/wal-0000000000000001.log");
  Status status = Discover().status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("Bad Name"));
  EXPECT_FALSE(status.hint().empty());
}

TEST_F(SourceDiscovery, ErrorsSayWhatIsWrongAndWhatToDo) {
  Status status = Discover().status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no upstream log"));
  EXPECT_FALSE(status.hint().empty());
  Touch("file");
  status = DiscoverSource(FileSystem::Posix(), directory_.Join("file"), std::nullopt).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("not a directory"));
  EXPECT_FALSE(status.hint().empty());
  status = DiscoverSource(FileSystem::Posix(), directory_.Join("none"), std::nullopt).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_FALSE(status.hint().empty());
  Touch("a-space/wal/wal-0000000000000002.log");
  status = Discover("other").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.hint(), HasSubstr("a-space"));
  status = Discover("UPPER").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace engram::migration
