// What the loader accepts and what it refuses, each with its own text; and the C++ handles over the
// null engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Library(const std::string& name) {
  return std::string(ENGRAM_ABI_FOLDER) + "/lib" + name + ".so";
}

Status Refusal(const std::string& path) {
  Logger& logger = Logger::Null();
  auto plugin = Plugin::Load(path, logger);
  return plugin.ok() ? Status::Ok() : plugin.status();
}

TEST(LoaderTest, ARelativePathIsRefusedBecauseTheSearchPathMustNotChooseTheEngine) {
  const Status status = Refusal("libnull_engine.so");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("not absolute"));
  EXPECT_THAT(status.hint(), Not(::testing::IsEmpty()));
}

TEST(LoaderTest, AMissingFileIsNotFound) {
  const Status status = Refusal("/nowhere/libengram_dual.so");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/nowhere/libengram_dual.so"));
  EXPECT_THAT(status.hint(), HasSubstr("--plugin"));
}

TEST(LoaderTest, AFileThatIsNoLibraryIsRefused) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("no-library-" + std::to_string(getpid())))
          .string();
  std::ofstream(path) << "not ELF";
  const Status status = Refusal(path);
  std::filesystem::remove(path);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("cannot be loaded as a library"));
}

TEST(LoaderTest, ALibraryWithoutTheSymbolOfMajorOneIsRefused) {
  const Status status = Refusal(Library("not_an_engine"));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("does not export engram_storage_engine_v1"));
}

TEST(LoaderTest, AnotherMajorVersionIsRefused) {
  const Status status = Refusal(Library("bad_major"));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("speaks major version 2, this program speaks 1"));
}

TEST(LoaderTest, ATableShorterThanVersionOneIsRefused) {
  const Status status = Refusal(Library("bad_short_table"));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("offers a table of"),
                    HasSubstr("version 1.0 has " + std::to_string(ENGRAM_SE_VTABLE_SIZE_1_0))));
}

TEST(LoaderTest, AnEmptyRequiredSlotIsNamed) {
  const Status status = Refusal(Library("bad_empty_slot"));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("leaves the slot scan empty"));
}

TEST(LoaderTest, AClaimedCapabilityWithoutItsSlotIsNamed) {
  const Status status = Refusal(Library("bad_capability"));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("leaves the slot search empty, though it claims search"));
}

TEST(LoaderTest, TheEnginesOwnRefusalIsPassedOn) {
  const Status status = Refusal(Library("bad_refuses"));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("refused to start"), HasSubstr("not on this machine")));
  EXPECT_EQ(status.hint(), "use another one");
}

TEST(LoaderTest, ASilentRefusalIsStillARefusal) {
  EXPECT_EQ(Refusal(Library("bad_refuses_silently")).code(), StatusCode::kUnsupported);
}

TEST(LoaderTest, ALongerTableOfALaterMinorVersionIsAcceptedAndAnUnknownStatusIsFatal) {
  auto plugin = Plugin::Load(Library("bad_newer_minor"), Logger::Null());
  ASSERT_TRUE(plugin.ok()) << plugin.status().ToString();
  EXPECT_EQ((*plugin)->table().struct_size, sizeof(engram_se_vtable));
  auto engine = Engine::Open(*plugin, {.data_root = "/tmp"});
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.status().code(), StatusCode::kFatal);
  EXPECT_EQ(engine.status().message(), "opened on purpose (status 99)");
}

TEST(LoaderTest, TheRealEngineIsAcceptedWithEveryCapability) {
  auto plugin = Plugin::Load(ENGRAM_DUAL, Logger::Null());
  ASSERT_TRUE(plugin.ok()) << plugin.status().ToString();
  EXPECT_STREQ((*plugin)->table().engine_name, "engram-dual");
  for (uint64_t bit = ENGRAM_SE_CAP_MODES; bit <= ENGRAM_SE_CAP_DURABLE; bit <<= 1) {
    EXPECT_TRUE((*plugin)->Has(bit)) << bit;
  }
}

// ---- the handles, over the null engine ----

class HandlesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto plugin = Plugin::Load(Library("null_engine"), Logger::Null());
    ASSERT_TRUE(plugin.ok()) << plugin.status().ToString();
    auto engine = Engine::Open(*plugin, {.data_root = "/tmp"});
    ASSERT_TRUE(engine.ok());
    engine_ = *engine;
    auto space = engine_->OpenSpace({.space = "abc", .access = ENGRAM_SE_ACCESS_CREATE});
    ASSERT_TRUE(space.ok());
    space_ = std::move(*space);
  }

  engram_se_memory Memory(const std::string& id, float activation = 0.5f) {
    engram_se_memory memory{};
    memory.struct_size = sizeof memory;
    memory.id = ToBytes(*ids_.insert(ids_.end(), std::make_unique<std::string>(id))->get());
    memory.activation = activation;
    memory.embedding = embedding_;
    return memory;
  }
  uint64_t Put(const std::string& id) {
    const engram_se_memory memory = Memory(id);
    auto lsn = space_->Store(memory);
    EXPECT_TRUE(lsn.ok());
    return lsn.ok() ? *lsn : 0;
  }
  std::vector<std::string> Ids(const ScanOptions& options = {}) {
    std::vector<std::string> ids;
    EXPECT_TRUE(space_
                    ->Ids(options,
                          [&](std::string_view id) {
                            ids.emplace_back(id);
                            return true;
                          })
                    .ok());
    return ids;
  }

  std::vector<std::unique_ptr<std::string>> ids_;
  float embedding_[ENGRAM_SE_EMBEDDING_DIMENSION] = {1.0f};
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Space> space_;
};

TEST_F(HandlesTest, WhatIsStoredIsRetrievedWithItsText) {
  const std::string content = "what happened";
  engram_se_memory memory = Memory("one");
  memory.present = ENGRAM_SE_HAS_CONTENT;
  memory.content = ToBytes(content);
  ASSERT_TRUE(space_->Store(memory).ok());
  int visits = 0;
  ASSERT_TRUE(space_
                  ->Retrieve("one", true,
                             [&](const engram_se_memory& found) {
                               ++visits;
                               EXPECT_EQ(ToView(found.content), "what happened");
                               EXPECT_EQ(found.embedding[0], 1.0f);
                               return true;
                             })
                  .ok());
  EXPECT_EQ(visits, 1);
}

TEST_F(HandlesTest, ABatchThatFailsMidwaySaysWhatIsStored) {
  const engram_se_memory good = Memory("a");
  engram_se_memory bad = Memory("b");
  bad.embedding = nullptr;
  const engram_se_memory never = Memory("c");
  std::vector<uint64_t> lsns;
  const Status status = space_->StoreBatch({&good, &bad, &never}, &lsns);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(lsns, ElementsAre(1));
  EXPECT_THAT(Ids(), ElementsAre("a"));
}

TEST_F(HandlesTest, ScansStartBehindAnIdEvenAnEmptyOneAndStopAtTheLimit) {
  for (const char* id : {"b", "", "a", "c"}) Put(id);
  EXPECT_THAT(Ids(), ElementsAre("", "a", "b", "c"));
  EXPECT_THAT(Ids({.after = ""}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Ids({.after = "a", .limit = 1}), ElementsAre("b"));
}

TEST_F(HandlesTest, AVisitorThatReturnsFalseEndsTheScan) {
  for (const char* id : {"a", "b", "c"}) Put(id);
  int visits = 0;
  EXPECT_TRUE(space_
                  ->Scan({},
                         [&](const engram_se_memory&) {
                           ++visits;
                           return false;
                         })
                  .ok());
  EXPECT_EQ(visits, 1);
}

TEST_F(HandlesTest, RemovingAnUnknownIdIsAnErrorAloneAndLsnZeroInABatch) {
  Put("known");
  EXPECT_EQ(space_->Remove("unknown").status().code(), StatusCode::kNotFound);
  std::vector<uint64_t> lsns;
  ASSERT_TRUE(space_->RemoveBatch({"unknown", "known"}, &lsns).ok());
  EXPECT_THAT(lsns, ElementsAre(0, 2));
}

TEST_F(HandlesTest, ACapabilityThatTheEngineLacksIsUnsupportedAndNotACrash) {
  EXPECT_EQ(space_->Mode().status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(space_->AddEdge("a", "b", 1).code(), StatusCode::kUnsupported);
  EXPECT_EQ(engine_->ListSpaces().status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(engine_->Migrate({}, {}).status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(space_->Search(embedding_, 1, nullptr).message(), HasSubstr("has no search"));
}

TEST_F(HandlesTest, ASpaceKeepsItsEngineAlive) {
  engine_.reset();
  EXPECT_EQ(Put("still there"), 1u);
  EXPECT_TRUE(space_->Close().ok());
}

TEST_F(HandlesTest, AShorterMemoryOfAnOlderHostReadsAsZerosBehindItsEnd) {
  // Poison behind the end must not be seen.
  engram_se_memory memory = Memory("old host");
  memory.struct_size = offsetof(engram_se_memory, strength);
  memory.strength = 7;
  ASSERT_TRUE(space_->Store(memory).ok());
  ASSERT_TRUE(space_
                  ->Retrieve("old host", false,
                             [](const engram_se_memory& found) {
                               EXPECT_EQ(found.strength, 0);
                               EXPECT_EQ(found.embedding, nullptr);
                               return true;
                             })
                  .ok());
}

}  // namespace
}  // namespace engram::plugin
