#include "tests/testing/sim_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "tests/testing/temp_dir.h"

namespace engram::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A disk with one life after the other. Outcomes over many seeds are collected as sets.
class World {
 public:
  explicit World(uint64_t seed) : disk(seed) { Boot(); }
  void Boot() {
    fs.reset();
    fs = std::make_unique<SimFileSystem>(disk, dir.Join("life" + std::to_string(disk.life())));
  }
  void Crash() {
    disk.Restart();
    Boot();
  }
  std::string Path(const std::string& name) { return JoinPath(fs->real_root(), name); }
  std::unique_ptr<File> Create(const std::string& name) {
    auto file = fs->Open(Path(name), OpenMode::kCreate);
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return std::move(file).value();
  }
  std::string Contents(const std::string& name) {
    auto contents = ReadFile(*fs, Path(name), 1 << 20);
    return contents.ok() ? *contents : "<" + std::string(StatusCodeName(contents.status().code()));
  }

  TempDir dir = TempDir::InMemory();
  SimDisk disk;
  std::unique_ptr<SimFileSystem> fs;
};

// Contents of `name` after `prepare` and a crash, over many seeds, with how often each was seen.
template <typename Prepare>
std::map<std::string, int> AfterCrash(const std::string& name, Prepare prepare) {
  std::map<std::string, int> seen;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    World world(seed);
    prepare(world);
    world.Crash();
    ++seen[world.Contents(name)];
  }
  return seen;
}

void CreateDurably(World& world, const std::string& name, std::string_view contents) {
  auto file = world.Create(name);
  ASSERT_TRUE(file->WriteAt(0, AsBytes(contents)).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(world.fs->SyncDirectory(world.fs->real_root()).ok());
}

TEST(SimFileSystem, WithoutACrashItBehavesAsAFileSystem) {
  World world(1);
  auto file = world.Create("f");
  ASSERT_TRUE(file->WriteAt(3, AsBytes("abc")).ok());
  EXPECT_EQ(world.Contents("f"), std::string("\0\0\0abc", 6));
  ASSERT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(*file->Size(), 4u);
  ASSERT_TRUE(world.fs->CreateDirectory(world.Path("d")).ok());
  ASSERT_TRUE(world.fs->Rename(world.Path("f"), world.Path("d/g")).ok());
  EXPECT_EQ(world.fs->List(world.fs->real_root())->size(), 1u);
  EXPECT_EQ(world.Contents("d/g"), std::string("\0\0\0a", 4));
  EXPECT_EQ(world.fs->RemoveDirectory(world.Path("d")).code(), StatusCode::kIo);
  ASSERT_TRUE(world.fs->Unlink(world.Path("d/g")).ok());
  ASSERT_TRUE(world.fs->RemoveDirectory(world.Path("d")).ok());
  EXPECT_EQ(world.Contents("d/g"), "<NOT_FOUND");
  EXPECT_EQ(world.fs->Open(world.Path("f"), OpenMode::kReadWrite).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(world.fs->Open("/elsewhere", OpenMode::kCreate).status().code(), StatusCode::kNotFound);
}

TEST(SimFileSystem, WhatIsFlushedWithItsNameSurvivesEveryCrash) {
  auto seen = AfterCrash("f", [](World& world) { CreateDurably(world, "f", "kept"); });
  EXPECT_EQ(seen, (std::map<std::string, int>{{"kept", 300}}));
}

TEST(SimFileSystem, AFlushedFileMayLoseItsNameUntilTheDirectoryIsFlushed) {
  auto seen = AfterCrash("f", [](World& world) {
    auto file = world.Create("f");
    ASSERT_TRUE(file->WriteAt(0, AsBytes("kept")).ok());
    ASSERT_TRUE(file->Sync().ok());
  });
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(seen["<NOT_FOUND"], 50);
  EXPECT_GT(seen["kept"], 50);
}

TEST(SimFileSystem, AnUnflushedOverwriteSurvivesOrNot) {
  auto seen = AfterCrash("f", [](World& world) {
    CreateDurably(world, "f", "old");
    ASSERT_TRUE(world.Create("f")->WriteAt(0, AsBytes("new")).ok());
  });
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(seen["old"], 50);
  EXPECT_GT(seen["new"], 50);
}

TEST(SimFileSystem, AnUnflushedWriteIsTornAtSectorsOnly) {
  bool torn = false;
  for (auto [contents, count] : AfterCrash("f", [](World& world) {
         CreateDurably(world, "f", std::string(4096, 'o'));
         ASSERT_TRUE(world.Create("f")->WriteAt(0, AsBytes(std::string(4096, 'n'))).ok());
       })) {
    ASSERT_EQ(contents.size(), 4096u);
    for (size_t i = 0; i < contents.size(); ++i) {
      ASSERT_EQ(contents[i], contents[i / kSectorSizeBytes * kSectorSizeBytes]);
    }
    torn = torn || contents.find_first_not_of(contents[0]) != std::string::npos;
  }
  EXPECT_TRUE(torn);
}

TEST(SimFileSystem, ALaterWriteNeverSurvivesWithoutAnEarlierOneInItsSector) {
  for (auto [contents, count] : AfterCrash("f", [](World& world) {
         CreateDurably(world, "f", "......");
         auto file = world.Create("f");
         ASSERT_TRUE(file->WriteAt(0, AsBytes("a")).ok());
         ASSERT_TRUE(file->WriteAt(3, AsBytes("b")).ok());
       })) {
    EXPECT_THAT((std::vector<std::string>{"......", "a.....", "a..b.."}), Contains(contents));
  }
}

TEST(SimFileSystem, ADurableWriteKeepsItsOwnSectorsAndNoOthers) {
  auto seen = AfterCrash("f", [](World& world) {
    CreateDurably(world, "f", std::string(1024, 'o'));
    auto file = world.Create("f");
    ASSERT_TRUE(file->WriteAt(0, AsBytes(std::string(1024, 'x'))).ok());
    ASSERT_TRUE(file->WriteAtDurable(512, AsBytes(std::string(512, 'd'))).ok());
  });
  ASSERT_EQ(seen.size(), 2u);
  for (auto [contents, count] : seen) EXPECT_EQ(contents.substr(512), std::string(512, 'd'));
}

TEST(SimFileSystem, RenamesAreAtomicAndUnflushedOnesMayBeLost) {
  auto seen = AfterCrash("f", [](World& world) {
    CreateDurably(world, "f", "old");
    CreateDurably(world, "f.tmp", "new");
    ASSERT_TRUE(world.fs->Rename(world.Path("f.tmp"), world.Path("f")).ok());
  });
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(seen["old"], 50);
  EXPECT_GT(seen["new"], 50);
}

TEST(SimFileSystem, ReplaceFileDurablyIsAllOrNothingAtEveryCallAndDurableAfterwards) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    World world(seed);
    CreateDurably(world, "STORE", "old");
    world.disk.Arm({Fault::Kind::kCrash, 1 + seed % 9});
    Status status = ReplaceFileDurably(*world.fs, world.Path("STORE"), AsBytes("new"));
    const bool done = status.ok();
    world.Crash();
    const std::string contents = world.Contents("STORE");
    EXPECT_TRUE(contents == "new" || (!done && contents == "old")) << contents << " seed " << seed;
  }
}

// Which flush is ignored, and whether some seed must then lose the file.
TEST(SimFileSystem, IgnoringAnyFlushOfReplaceFileDurablyIsNoticed) {
  World probe(1);
  CreateDurably(probe, "STORE", "old");
  ASSERT_TRUE(ReplaceFileDurably(*probe.fs, probe.Path("STORE"), AsBytes("new")).ok());
  int classes = 0;
  for (const std::string& flush_class : probe.disk.flush_classes()) {
    if (!flush_class.starts_with("sync STORE.tmp") && !flush_class.starts_with("sync directory")) {
      continue;
    }
    ++classes;
    auto seen = AfterCrash("STORE", [&](World& world) {
      CreateDurably(world, "STORE", "old");
      world.disk.IgnoreFlushes([&](std::string_view name) { return name == flush_class; });
      ASSERT_TRUE(ReplaceFileDurably(*world.fs, world.Path("STORE"), AsBytes("new")).ok());
      world.disk.IgnoreFlushes(nullptr);
    });
    const bool is_test_flush = seen.size() == 1;  // CreateDurably's own call, not the helper's
    if (!is_test_flush) {
      EXPECT_LT(seen["new"], 300) << flush_class;
    }
    classes -= is_test_flush ? 1 : 0;
  }
  EXPECT_EQ(classes, 2);
}

TEST(SimFileSystem, AFailedFlushLosesItsWritesForGood) {
  auto seen = AfterCrash("f", [](World& world) {
    CreateDurably(world, "f", "old");
    auto file = world.Create("f");
    ASSERT_TRUE(file->WriteAt(0, AsBytes("new")).ok());
    world.disk.Arm({Fault::Kind::kErrorOnce, 1, kFlushCall});
    EXPECT_EQ(file->Sync().code(), StatusCode::kIo);
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_EQ(world.Contents("f"), "new");  // the page cache still shows it
    if (world.disk.Choose(2) == 0) {
      file->DropCache();
      EXPECT_EQ(world.Contents("f"), "old");
    }
  });
  EXPECT_GT(seen["old"], 50);
}

TEST(SimFileSystem, AfterTheCrashEveryCallFailsAndOldHandlesStayDead) {
  World world(7);
  CreateDurably(world, "f", "x");
  auto file = world.Create("f");
  auto lock = world.fs->Lock(world.Path("LOCK"), false);
  ASSERT_TRUE(lock.ok());
  world.disk.Arm({Fault::Kind::kCrash, 1});
  EXPECT_FALSE(file->WriteAt(0, AsBytes("y")).ok());
  EXPECT_TRUE(world.disk.crashed());
  uint8_t byte[1];
  EXPECT_FALSE(file->ReadAt(0, byte).ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(world.fs->Open(world.Path("f"), OpenMode::kReadOnly).ok());
  EXPECT_FALSE(world.fs->List(world.fs->real_root()).ok());
  EXPECT_FALSE(world.fs->Unlink(world.Path("f")).ok());
  EXPECT_FALSE(world.fs->SyncDirectory(world.fs->real_root()).ok());
  world.Crash();
  EXPECT_FALSE(file->ReadAt(0, byte).ok());
  EXPECT_FALSE(file->WriteAt(0, AsBytes("z")).ok());
  EXPECT_NE(world.Contents("f"), "z");
  EXPECT_TRUE(world.fs->Lock(world.Path("LOCK"), false).ok());
}

TEST(SimFileSystem, AKilledProcessLeavesThePageCacheAndAPowerCutAfterItDoesNot) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    World world(seed);
    CreateDurably(world, "f", "old");
    ASSERT_TRUE(world.Create("f")->WriteAt(0, AsBytes("new")).ok());
    world.disk.RestartProcess();
    world.Boot();
    EXPECT_EQ(world.Contents("f"), "new");
    world.Crash();
    lost += world.Contents("f") == "old";
  }
  EXPECT_GT(lost, 20);
}

TEST(SimFileSystem, TheSameSeedGivesTheSameRun) {
  auto run = [](uint64_t seed) {
    World world(seed);
    auto file = world.Create("f");
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(
          file->WriteAt(static_cast<uint64_t>(i) * 100, AsBytes(std::string(99, 'a'))).ok());
    }
    EXPECT_TRUE(world.fs->SyncDirectory(world.fs->real_root()).ok());
    world.Crash();
    return world.Contents("f");
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST(SimFileSystem, AFullDiskWritesWhatFitsAndWorksAgainWithSpace) {
  World world(1);
  auto file = world.Create("f");
  world.disk.SetCapacity(1000);
  EXPECT_EQ(world.fs->Space(world.fs->real_root())->available_bytes, 1000u);
  Status status = file->WriteAt(0, AsBytes(std::string(1500, 'x')));
  EXPECT_EQ(status.code(), StatusCode::kFull);
  EXPECT_EQ(*file->Size(), 1000u);
  EXPECT_TRUE(file->WriteAt(0, AsBytes(std::string(1000, 'y'))).ok());  // in place
  EXPECT_EQ(file->Truncate(2000).code(), StatusCode::kFull);
  world.disk.SetCapacity(5000);
  EXPECT_TRUE(file->WriteAt(0, AsBytes(std::string(1500, 'x'))).ok());
  ASSERT_TRUE(world.fs->Unlink(world.Path("f")).ok());
  EXPECT_EQ(world.disk.used_bytes(), 0u);
}

TEST(SimFileSystem, CallNFailsOnceOrForEverOrWritesShort) {
  World world(1);
  auto file = world.Create("f");
  world.disk.Arm({Fault::Kind::kErrorOnce, 2, kWriteCall});
  EXPECT_TRUE(file->WriteAt(0, AsBytes("1")).ok());
  EXPECT_TRUE(file->Sync().ok());  // not a write: not counted
  EXPECT_EQ(file->WriteAt(0, AsBytes("2")).os_errno(), EIO);
  EXPECT_TRUE(file->WriteAt(0, AsBytes("3")).ok());
  EXPECT_EQ(world.disk.calls(), 3u);
  world.disk.Arm({Fault::Kind::kErrorForever, 1, kAnyCall, ENOSPC});
  EXPECT_EQ(file->WriteAt(0, AsBytes("4")).code(), StatusCode::kFull);
  EXPECT_EQ(file->Sync().code(), StatusCode::kFull);
  world.disk.Arm({Fault::Kind::kShortWrite, 1, kWriteCall});
  EXPECT_THAT(file->WriteAt(0, AsBytes("longer")).message(), HasSubstr("short write"));
  EXPECT_TRUE(file->WriteAt(0, AsBytes("longer")).ok());
}

TEST(SimFileSystem, LocksExcludeAsTheOperatingSystemsDo) {
  World world(1);
  auto a = world.fs->Lock(world.Path("LOCK"), true);
  auto b = world.fs->Lock(world.Path("LOCK"), true);
  EXPECT_EQ(world.fs->Lock(world.Path("LOCK"), false).status().code(), StatusCode::kBusy);
  a->reset();
  b->reset();
  auto c = world.fs->Lock(world.Path("LOCK"), false);
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(world.fs->Lock(world.Path("LOCK"), true).status().code(), StatusCode::kBusy);
}

TEST(SimWriteQueue, CompletedWritesSurviveAndTheOthersMayNot) {
  int lost = 0, kept = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    World world(seed);
    CreateDurably(world, "f", std::string(4 * 4096, '.'));
    auto file = world.Create("f");
    auto queue = world.fs->NewWriteQueue();
    const std::string block(4096, 'q');
    for (uint64_t i = 0; i < 4; ++i) {
      ASSERT_TRUE(queue->Submit(i, *file, i * 4096, AsBytes(block)).ok());
    }
    auto done = queue->Wait();
    ASSERT_TRUE(done.ok() && done->status.ok());
    world.Crash();
    const std::string contents = world.Contents("f");
    for (uint64_t i = 0; i < 4; ++i) {
      const bool there = contents.substr(i * 4096, 4096) == block;
      EXPECT_TRUE(there || i != done->token) << seed;
      lost += !there;
      kept += there;
    }
  }
  EXPECT_GT(lost, 100);
  EXPECT_GT(kept, 300);
}

TEST(SimWriteQueue, CompletionsComeInSeededOrder) {
  std::set<uint64_t> first;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    World world(seed);
    auto file = world.Create("f");
    auto queue = world.fs->NewWriteQueue();
    const std::string block(512, 'q');
    for (uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(queue->Submit(i, *file, i * 512, AsBytes(block)).ok());
    }
    first.insert(queue->Wait()->token);
  }
  EXPECT_EQ(first.size(), 3u);
}

TEST(SimWriteQueue, AFailedWriteIsReportedAtSubmissionOrCompletion) {
  int at_submission = 0, at_completion = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    World world(seed);
    auto file = world.Create("f");
    auto queue = world.fs->NewWriteQueue();
    const auto kind = seed % 2 == 0 ? Fault::Kind::kErrorOnce : Fault::Kind::kShortWrite;
    world.disk.Arm({kind, 1, kWriteCall});
    if (!queue->Submit(1, *file, 0, AsBytes("bytes")).ok()) {
      ++at_submission;
    } else {
      auto done = queue->Wait();
      at_completion += done.ok() && !done->status.ok();
    }
  }
  EXPECT_GT(at_submission, 0);
  EXPECT_GT(at_completion, 0);
  EXPECT_EQ(at_submission + at_completion, 60);
}

TEST(SimDisk, FlushClassesNameVerbPatternAndPlace) {
  World world(1);
  ASSERT_TRUE(world.fs->CreateDirectory(world.Path("log")).ok());
  auto file = world.Create("log/00000000000000ab.seg");
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->WriteAtDurable(0, AsBytes("x")).ok());
  auto classes = world.disk.flush_classes();
  EXPECT_EQ(classes.size(), 3u);
  EXPECT_THAT(classes, Contains(StartsWith("sync log/*.seg @")));
  EXPECT_THAT(classes, Contains(StartsWith("durable write log/*.seg @")));
}

}  // namespace
}  // namespace engram::testing
