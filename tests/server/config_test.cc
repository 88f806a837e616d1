#include "server/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/ids.h"
#include "server/config/paths.h"
#include "server/config/toml_file.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kFlag[] = "features.dual_memory_types";

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() { inputs_.environment["ENGRAM_DATA_DIR"] = root(); }

  std::string root() const { return folder_.path() + "/data"; }
  std::string path() const { return folder_.path() + "/engram.toml"; }
  void WriteFile(const std::string& text) {
    std::ofstream(path()) << text;
    inputs_.file = path();
  }
  void Environment(const std::string& name, const std::string& text) {
    inputs_.environment[name] = text;
  }
  ConfigSet Load() {
    auto set = ConfigSet::Load(inputs_);
    EXPECT_TRUE(set.ok()) << set.status().ToString();
    return std::move(*set);
  }
  std::string LoadError() {
    auto set = ConfigSet::Load(inputs_);
    EXPECT_FALSE(set.ok());
    if (set.ok()) return "";
    EXPECT_EQ(set.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(set.status().hint(), "");
    return set.status().message();
  }
  // What a file that holds only `text` is refused for.
  std::string FileError(const std::string& text) {
    WriteFile(text);
    return LoadError();
  }

  testing::TempDir folder_;
  ConfigSet::Inputs inputs_;
};

TEST_F(ConfigTest, WithoutAnySourceEveryKeyHasItsDefault) {
  ConfigSet set = Load();
  EXPECT_FALSE(set.config().features.dual_memory_types);
  EXPECT_EQ(set.config().server.http_port, 7432);
  EXPECT_EQ(set.config().server.http_bind, "127.0.0.1");
  EXPECT_THAT(set.config().memory_spaces.bootstrap_spaces, ElementsAre("default"));
  EXPECT_EQ(*set.SourceOf(kFlag), Source::kDefault);
  EXPECT_THAT(set.Notes(), IsEmpty());
}

TEST_F(ConfigTest, AFileSetsValuesOfEveryType) {
  WriteFile(
      "[features]\ndual_memory_types = true\n[server]\nhttp_port = 0\nhttp_bind = \"::1\"\n"
      "[memory_spaces]\nbootstrap_spaces = [\"one\", \"two\"]\n"
      "[migration]\np99_budget_percent = 7\nmemory_budget_mb = 64\n[logging]\nformat = \"json\"\n");
  ConfigSet set = Load();
  EXPECT_TRUE(set.config().features.dual_memory_types);
  EXPECT_EQ(set.config().server.http_port, 0);
  EXPECT_EQ(set.config().server.http_bind, "::1");
  EXPECT_THAT(set.config().memory_spaces.bootstrap_spaces, ElementsAre("one", "two"));
  EXPECT_EQ(set.config().migration.p99_budget_percent, 7.0);
  EXPECT_EQ(set.config().migration.memory_budget_mb, 64u);
  EXPECT_EQ(set.config().logging.format, "json");
  EXPECT_EQ(*set.OriginOf(kFlag), path() + ":2:1");
}

TEST_F(ConfigTest, CommandLineBeatsEnvironmentBeatsRunTimeBeatsFile) {
  WriteFile("[migration]\nrate_limit = 1\n");
  EXPECT_EQ(Load().config().migration.rate_limit, 1u);
  ASSERT_TRUE(Load().SetRuntime("migration.rate_limit", "2").ok());
  EXPECT_EQ(Load().config().migration.rate_limit, 2u);
  EXPECT_EQ(*Load().SourceOf("migration.rate_limit"), Source::kRuntime);
  Environment("ENGRAM_MIGRATION_RATE_LIMIT", "3");
  EXPECT_EQ(Load().config().migration.rate_limit, 3u);
  inputs_.command_line = {{"migration.rate_limit", "4"}};
  EXPECT_EQ(Load().config().migration.rate_limit, 4u);
  EXPECT_EQ(*Load().SourceOf("migration.rate_limit"), Source::kCommandLine);
}

TEST_F(ConfigTest, WhatIsHiddenByAStrongerLevelIsNoted) {
  WriteFile("[migration]\nrate_limit = 1\n");
  ASSERT_TRUE(Load().SetRuntime("migration.rate_limit", "2").ok());
  EXPECT_THAT(Load().Notes(),
              ElementsAre(AllOf(StartsWith(path() + ":2:1"), HasSubstr("runtime.toml:5:1 wins"))));
  Environment("ENGRAM_MIGRATION_RATE_LIMIT", "3");
  EXPECT_THAT(Load().Notes(), Contains(HasSubstr("ENGRAM_MIGRATION_RATE_LIMIT wins")));
}

TEST_F(ConfigTest, AnUnknownKeyIsRefusedWithItsPlaceAndTheNearestKey) {
  EXPECT_EQ(FileError("# flag\n[features]\n  dual_memory_type = true\n"),
            path() +
                ":3:3: unknown key \"features.dual_memory_type\"; did you mean "
                "\"features.dual_memory_types\"?");
  EXPECT_THAT(FileError("dual_memory_types = true\n"),
              HasSubstr(":1:1: unknown key \"dual_memory_types\"; did you mean \"features."));
  EXPECT_THAT(FileError("[sever]\nhttp_port = 1\n"), HasSubstr("mean \"server.http_port\"?"));
  EXPECT_THAT(FileError("[nonsense]\n"), EndsWith(":1:2: unknown key \"nonsense\""));
  EXPECT_THAT(FileError("features = true\n"), HasSubstr(":1:1: unknown key \"features\""));
  EXPECT_THAT(FileError("\"features.dual_memory_types\" = true\n"), HasSubstr("unknown key"));
}

TEST_F(ConfigTest, ABadValueIsRefusedWithItsPlaceAndWhatWasExpected) {
  const std::pair<const char*, const char*> cases[] = {
      {"[features]\ndual_memory_types = \"true\"\n",
       ":2:1: features.dual_memory_types: expected "
       "true or false, found a string"},
      {"[features]\ndual_memory_types = 1\n", "found a whole number"},
      {"[server]\nhttp_port = 65536\n", "expected a whole number from 0 to 65535, found \"65536\""},
      {"[server]\nhttp_port = -1\n", "found \"-1\""},
      {"[server]\nhttp_port = 7432.5\n", "found a fraction"},
      {"[server]\nhttp_bind = \"localhost\"\n", "an IPv4 or IPv6 address"},
      {"[server]\nhttp_bind = \"127.0.0.1:80\"\n", "an IPv4 or IPv6 address"},
      {"[storage]\nengine = \"rocks\"\n", "one of dual, found \"rocks\""},
      {"[storage]\nlog_io = \"auto|uring\"\n", "one of auto|uring|pwrite"},
      {"[storage]\nmax_open_spaces = 0\n", "from 1 to 65536"},
      {"[memory_spaces]\ndefault_space = \"../x\"\n", "3 to 64 characters"},
      {"[memory_spaces]\nbootstrap_spaces = [\"default\", \"x\"]\n", "found \"x\""},
      {"[memory_spaces]\nbootstrap_spaces = \"default\"\n", "a list of strings, found a string"},
      {"[memory_spaces]\nbootstrap_spaces = [1]\n", "found a value of another type"},
      {"[migration]\np99_budget_percent = nan\n", "a number from 0 to 1000"},
      {"[migration]\np99_budget_percent = inf\n", "a number from 0 to 1000"},
      {"[logging]\nformat = \"xml\"\n", "one of text|json"},
      {"[security]\nauth_mode = \"maybe\"\n", "one of none|api_key"},
      {"[server]\nhttp_port = 1979-05-27\n", "found a value of another type"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string error = FileError(text);
    EXPECT_THAT(error, AllOf(StartsWith(path() + ":2:1: "), HasSubstr(expected))) << text;
  }
}

TEST_F(ConfigTest, BrokenTomlIsRefusedWithItsPlace) {
  EXPECT_THAT(FileError("[features]\ndual_memory_types = maybe\n"), StartsWith(path() + ":2:"));
  EXPECT_THAT(FileError("[features]\ndual_memory_types = true\ndual_memory_types = true\n"),
              StartsWith(path() + ":3:"));
}

TEST_F(ConfigTest, AllFaultsOfAFileAreFoundInOnePass) {
  WriteFile("[server]\nhttp_port = 70000\nhttp_bnd = \"::\"\n[features]\ndual_memory_types = 2\n");
  auto report = ConfigSet::Validate(path());
  ASSERT_TRUE(report.ok());
  EXPECT_THAT(report->faults, ElementsAre(StartsWith(path() + ":2:1: server.http_port"),
                                          StartsWith(path() + ":3:1: unknown key"),
                                          StartsWith(path() + ":5:1: features.dual_memory_types")));
  auto set = ConfigSet::Load(inputs_);
  EXPECT_THAT(set.status().hint(), HasSubstr("2 more: engram validate config " + path()));
}

TEST_F(ConfigTest, AFileThatIsNamedMustExist) {
  inputs_.file = folder_.path() + "/none.toml";
  auto set = ConfigSet::Load(inputs_);
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(set.status().message(), HasSubstr("none.toml"));
  EXPECT_EQ(ConfigSet::Validate(*inputs_.file).status().code(), StatusCode::kNotFound);
}

TEST_F(ConfigTest, TheEnvironmentNamesEveryKeyAndUpstreamsNamesStandForTheirs) {
  Environment("ENGRAM_FEATURES_DUAL_MEMORY_TYPES", "on");
  Environment("ENGRAM_HTTP_BIND", "127.0.0.2");
  Environment("ENGRAM_HTTP_PORT", "9000");
  Environment("ENGRAM_PID_PATH", "/run/engram.pid");
  Environment("ENGRAM_MEMORY_SPACE", "tenant");
  Environment("ENGRAM_MEMORY_SPACES_BOOTSTRAP_SPACES", "one, two");
  Environment("ENGRAM_AUTH_MODE", "api_key");
  Environment("ENGRAM_DATA_ROOT", "/elsewhere");
  const Config config = Load().config();
  EXPECT_TRUE(config.features.dual_memory_types);
  EXPECT_EQ(config.server.http_bind, "127.0.0.2");
  EXPECT_EQ(config.server.http_port, 9000);
  EXPECT_EQ(PidFilePath(config), "/run/engram.pid");
  EXPECT_EQ(config.memory_spaces.default_space, "tenant");
  EXPECT_THAT(config.memory_spaces.bootstrap_spaces, ElementsAre("one", "two"));
  EXPECT_EQ(config.security.auth_mode, "api_key");
  EXPECT_EQ(config.storage.data_root, root()) << "ENGRAM_DATA_DIR is stronger than ..._ROOT";
}

TEST_F(ConfigTest, AnEmptyVariableIsAsGoodAsNone) {
  Environment("ENGRAM_HTTP_PORT", "");
  EXPECT_EQ(Load().config().server.http_port, 7432);
}

TEST_F(ConfigTest, ABadVariableIsRefusedByItsName) {
  Environment("ENGRAM_FEATURES_DUAL_MEMORY_TYPES", "maybe");
  EXPECT_EQ(LoadError(),
            "the environment variable ENGRAM_FEATURES_DUAL_MEMORY_TYPES: "
            "features.dual_memory_types: expected true or false, found \"maybe\"");
}

TEST_F(ConfigTest, AVariableOneLetterAwayIsNotedAndForeignOnesAreLeftAlone) {
  Environment("ENGRAM_FEATURES_DUAL_MEMORY_TYPE", "true");
  Environment("ENGRAM_SERVER_SERVICE_HOST", "10.0.0.1");
  EXPECT_THAT(Load().Notes(), ElementsAre(HasSubstr("ENGRAM_FEATURES_DUAL_MEMORY_TYPES?")));
}

TEST_F(ConfigTest, SecretsAreNeverShown) {
  WriteFile("[server]\napi_key = \"s3cret-key\"\n");
  ConfigSet set = Load();
  EXPECT_EQ(set.config().server.api_key, "s3cret-key");
  for (const auto& [key, text] : set.All()) EXPECT_THAT(text, Not(HasSubstr("s3cret"))) << key;
  EXPECT_THAT(FileError("[server]\napi_key = \"s3cret key\"\n"), Not(HasSubstr("s3cret")));
}

TEST_F(ConfigTest, WhatIsSetAtRunTimeSurvivesAndIsPrivate) {
  ConfigSet set = Load();
  ASSERT_TRUE(set.SetRuntime(kFlag, "yes").ok());
  ASSERT_TRUE(set.SetRuntime("migration.paused", "true").ok());
  ASSERT_TRUE(set.SetRuntime("migration.p99_budget_percent", "2.5").ok());
  EXPECT_TRUE(set.config().features.dual_memory_types);
  EXPECT_EQ(*set.SourceOf(kFlag), Source::kRuntime);
  const Config again = Load().config();
  EXPECT_TRUE(again.features.dual_memory_types);
  EXPECT_TRUE(again.migration.paused);
  EXPECT_EQ(again.migration.p99_budget_percent, 2.5);
  struct stat info {};
  ASSERT_EQ(stat(RuntimeFilePath(root()).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(RuntimeFilePath(root()) + ".tmp"));
}

TEST_F(ConfigTest, TheFolderOfTheRunTimeFileIsNoSpace) {
  EXPECT_FALSE(
      SpaceId::Parse(std::filesystem::path(ControlFolder(root())).filename().string()).ok());
}

TEST_F(ConfigTest, AFixedKeyIsRefusedAtRunTimeWithTheLevelThatFixesIt) {
  Environment("ENGRAM_FEATURES_DUAL_MEMORY_TYPES", "false");
  inputs_.command_line = {{"migration.paused", "true"}};
  ConfigSet set = Load();
  Status flag = set.SetRuntime(kFlag, "true");
  EXPECT_EQ(flag.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(flag.message(), HasSubstr("ENGRAM_FEATURES_DUAL_MEMORY_TYPES"));
  Status paused = set.SetRuntime("migration.paused", "false");
  EXPECT_EQ(paused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(paused.message(), HasSubstr("the command line"));
  EXPECT_FALSE(set.config().features.dual_memory_types);
  EXPECT_FALSE(std::filesystem::exists(RuntimeFilePath(root())));
}

TEST_F(ConfigTest, KeysThatNeedARestartAreRefusedAtRunTime) {
  ConfigSet set = Load();
  EXPECT_EQ(set.SetRuntime("server.http_port", "1").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(set.SetRuntime("server.api_key", "abc").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(set.SetRuntime("cluster.enabled", "true").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(set.SetRuntime(kFlag, "maybe").code(), StatusCode::kInvalidArgument);
  Status unknown = set.SetRuntime("features.dual_memory", "true");
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(RuntimeFilePath(root())));
}

TEST_F(ConfigTest, SeveralKeysAreOneChangeOrNone) {
  inputs_.command_line = {{"migration.history_scan", "true"}};
  ConfigSet set = Load();
  EXPECT_EQ(set.SetRuntime({{"migration.paused", "true"}, {"migration.rate_limit", "99999999999"}})
                .code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(
      set.SetRuntime({{"migration.paused", "true"}, {"migration.history_scan", "false"}}).code(),
      StatusCode::kFailedPrecondition);
  EXPECT_FALSE(set.config().migration.paused);
  EXPECT_FALSE(std::filesystem::exists(RuntimeFilePath(root())));
  ASSERT_TRUE(set.SetRuntime({{"migration.paused", "true"}, {"migration.rate_limit", "9"}}).ok());
  EXPECT_TRUE(Load().config().migration.paused);
  EXPECT_EQ(Load().config().migration.rate_limit, 9u);
}

TEST_F(ConfigTest, AValueThatCannotBeKeptDoesNotCount) {
  std::filesystem::create_directories(root());
  std::ofstream(root() + "/.engram") << "a file where the folder should be";
  ConfigSet set = Load();
  EXPECT_FALSE(set.SetRuntime(kFlag, "true").ok());
  EXPECT_FALSE(set.config().features.dual_memory_types);
  EXPECT_EQ(*set.SourceOf(kFlag), Source::kDefault);
}

TEST_F(ConfigTest, ADamagedRunTimeFileIsRefusedWithItsPlace) {
  ASSERT_TRUE(Load().SetRuntime(kFlag, "true").ok());
  std::ofstream(RuntimeFilePath(root())) << "[server]\nhttp_port = 1\n";
  EXPECT_THAT(LoadError(), AllOf(HasSubstr("runtime.toml:2:1"), HasSubstr("server.http_port")));
}

TEST_F(ConfigTest, ReloadTakesWhatMayChangeAndNamesWhatNeedsARestart) {
  WriteFile("[server]\nhttp_port = 8000\napi_key = \"old\"\n[migration]\nrate_limit = 5\n");
  ConfigSet set = Load();
  WriteFile("[server]\nhttp_port = 9000\napi_key = \"new\"\n");
  auto changed = set.Reload();
  ASSERT_TRUE(changed.ok());
  EXPECT_THAT(*changed, ElementsAre("migration.rate_limit", "server.api_key"));
  EXPECT_EQ(set.config().server.http_port, 8000);
  EXPECT_EQ(set.config().server.api_key, "new");
  EXPECT_EQ(set.config().migration.rate_limit, 0u);
  EXPECT_THAT(set.Notes(), ElementsAre(HasSubstr("server.http_port changed and takes effect at")));
}

TEST_F(ConfigTest, AReloadOfABadFileChangesNothing) {
  WriteFile("[migration]\nrate_limit = 5\n");
  ConfigSet set = Load();
  WriteFile("[migration]\nrate_limit = 6\nnonsense = 1\n");
  EXPECT_FALSE(set.Reload().ok());
  EXPECT_EQ(set.config().migration.rate_limit, 5u);
}

TEST_F(ConfigTest, AReloadWithoutTheKeyOpensTheServerToNobody) {
  const std::string served = "[server]\nhttp_bind = \"0.0.0.0\"\napi_key = \"secret\"\n";
  WriteFile(served + "[security]\nauth_mode = \"api_key\"\n");
  ConfigSet set = Load();
  for (const char* text :
       {"", "[server]\nhttp_bind = \"127.0.0.1\"\n", "[server]\napi_key = \"\"\n"}) {
    WriteFile(text);
    EXPECT_EQ(set.Reload().status().code(), StatusCode::kFailedPrecondition) << text;
    EXPECT_EQ(set.config().server.api_key, "secret") << text;
  }
  WriteFile("[server]\napi_key = \"next\"\n");
  EXPECT_TRUE(set.Reload().ok());
  EXPECT_EQ(set.config().server.api_key, "next");
}

TEST_F(ConfigTest, UpstreamsFilesAreAcceptedAndWhatHasNoEffectIsNoted) {
  WriteFile(
      "[feature_flags]\nspreading_api_beta = false\n[server]\nhttp_bind = \"0.0.0.0\"\n"
      "[persistence]\ndata_root = \"~/.local/share/engram\"\nhot_capacity = 100_000\n"
      "[cluster]\nenabled = true\nnode_id = \"\"\n[cluster.discovery]\nseed_nodes = [\"a:1\"]\n"
      "[router]\nmax_retries = 3\n[security]\nauth_mode = \"api_key\"\nrate_limiting = true\n"
      "[security.api_keys]\nbackend = \"file\"\nrotation_days = 30\n"
      "[security.cors]\nallowed_origins = [\"*\"]\nmax_age_seconds = 3600\n[cache]\nsize_mb = 1\n");
  ConfigSet set = Load();
  EXPECT_FALSE(set.config().feature_flags.spreading_api_beta);
  EXPECT_EQ(set.config().storage.data_root, root());
  EXPECT_THAT(set.Notes(), Contains(HasSubstr("persistence.data_root has upstream's default")));
  EXPECT_THAT(set.Notes(), Contains(HasSubstr("persistence.hot_capacity has no effect")));
  EXPECT_THAT(set.Notes(), Contains(HasSubstr("cluster.* has no effect: this server is a single")));
  EXPECT_EQ(*set.Get("cluster.discovery.seed_nodes"), "a:1");
  auto report = ConfigSet::Validate(path());
  ASSERT_TRUE(report.ok());
  EXPECT_THAT(report->faults, IsEmpty());
  EXPECT_THAT(report->warnings, Contains(HasSubstr("on its own it does not start")));
}

TEST_F(ConfigTest, UpstreamsDataRootIsUsedUnlessItIsItsDefaultOrAStrongerOneIsThere) {
  inputs_.environment = {{"HOME", "/home/me"}};
  inputs_.runtime_file = "";
  EXPECT_EQ(Load().config().storage.data_root, "./engram-data");
  WriteFile("[persistence]\ndata_root = \"~/.local/share/engram\"\n");
  EXPECT_EQ(Load().config().storage.data_root, "./engram-data");
  WriteFile("[persistence]\ndata_root = \"/var/lib/engram\"\n");
  EXPECT_EQ(Load().config().storage.data_root, "/var/lib/engram");
  WriteFile("[persistence]\ndata_root = \"/a\"\n[storage]\ndata_root = \"~/b\"\n");
  EXPECT_EQ(Load().config().storage.data_root, "/home/me/b");
}

TEST_F(ConfigTest, AnAddressBeyondTheLoopbackNeedsAKeyOrInsecure) {
  Config config;
  EXPECT_TRUE(CheckServable(config).ok());
  config.server.http_bind = "127.8.9.10";
  EXPECT_TRUE(CheckServable(config).ok());
  config.server.http_bind = "::1";
  EXPECT_TRUE(CheckServable(config).ok());
  for (const char* address : {"0.0.0.0", "::", "10.1.2.3", "::ffff:127.0.0.1"}) {
    Config open;
    open.server.http_bind = address;
    EXPECT_EQ(CheckServable(open).code(), StatusCode::kFailedPrecondition) << address;
    open.server.insecure = true;
    EXPECT_TRUE(CheckServable(open).ok()) << address;
    open.server.insecure = false;
    open.server.api_key = "key";
    EXPECT_TRUE(CheckServable(open).ok()) << address;
  }
  Config lost_key;
  lost_key.security.auth_mode = "api_key";
  lost_key.server.insecure = true;
  EXPECT_EQ(CheckServable(lost_key).code(), StatusCode::kFailedPrecondition);
}

TEST_F(ConfigTest, ReadersSeeWholeValuesWhileAKeyChanges) {
  ConfigSet set = Load();
  std::thread writer([&] {
    for (int i = 1; i <= 20; ++i) {
      EXPECT_TRUE(set.SetRuntime("migration.rate_limit", std::to_string(i)).ok());
    }
  });
  uint64_t last = 0;
  while (last < 20) {
    const uint64_t now = set.config().migration.rate_limit;
    ASSERT_GE(now, last);
    last = now;
  }
  writer.join();
}

class TomlEditTest : public ConfigTest {
 protected:
  static std::string Edited(const std::string& text, const std::string& key,
                            const std::string& literal) {
    auto edited = WithValue(text, key, literal, "f.toml");
    EXPECT_TRUE(edited.ok()) << edited.status().ToString();
    return edited.ok() ? *edited : "";
  }
};

TEST_F(TomlEditTest, AValueIsReplacedWhereItStandsAndCommentsStay) {
  EXPECT_EQ(
      Edited("# top\n[features] # f\ndual_memory_types = false # why\n[server]\n", kFlag, "true"),
      "# top\n[features] # f\ndual_memory_types = true # why\n[server]\n");
  EXPECT_EQ(Edited("features = { dual_memory_types = false }\n", kFlag, "true"),
            "features = { dual_memory_types = true }\n");
  EXPECT_EQ(Edited("features.dual_memory_types = false", kFlag, "true"),
            "features.dual_memory_types = true");
  EXPECT_EQ(Edited("# \xc3\xa9\n[server]\n# \xe2\x82\xac\nhttp_bind = \"\xc3\xa9\" # x\n",
                   "server.http_bind", "\"::1\""),
            "# \xc3\xa9\n[server]\n# \xe2\x82\xac\nhttp_bind = \"::1\" # x\n");
}

TEST_F(TomlEditTest, AMissingKeyGetsALineInItsSectionOrASectionOfItsOwn) {
  EXPECT_EQ(Edited("[features]\n# none yet\n[server]\nhttp_port = 1\n", kFlag, "true"),
            "[features]\ndual_memory_types = true\n# none yet\n[server]\nhttp_port = 1\n");
  EXPECT_EQ(Edited("[server]\nhttp_port = 1", kFlag, "true"),
            "[server]\nhttp_port = 1\n\n[features]\ndual_memory_types = true\n");
  EXPECT_EQ(Edited("", kFlag, "true"), "[features]\ndual_memory_types = true\n");
}

TEST_F(TomlEditTest, WhatCannotBeEditedIsRefusedNotMangled) {
  auto edited = WithValue("server = { http_port = 1 }\n", "server.http_bind", "\"::1\"", "f.toml");
  ASSERT_FALSE(edited.ok());
  EXPECT_EQ(edited.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(edited.status().hint(), HasSubstr("http_bind = \"::1\""));
}

}  // namespace
}  // namespace engram::server
