#include "engine/control_block.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include "tests/testing/golden.h"
#include "tests/testing/random.h"
#include "tests/testing/temp_dir.h"

namespace engram::engine {
namespace {

// Every field follows from `n`, so that a mixture of two states shows.
ControlState StateOf(uint64_t n) {
  ControlState state;
  state.mode = static_cast<uint32_t>(1 + n % 5);
  state.phase = static_cast<uint32_t>(n % 6);
  state.pid = static_cast<uint32_t>(n + 1);
  state.lsn = state.count = state.converted = n * 1000003;
  state.old_count = n + 7;
  state.rate_per_second = static_cast<double>(n) / 3;
  std::snprintf(state.throttle_reason, sizeof state.throttle_reason, "reason %zu", size_t{n});
  std::memset(state.digest, static_cast<int>(n & 0xff), sizeof state.digest);
  return state;
}
bool Same(const ControlState& a, const ControlState& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

alignas(8) uint8_t g_page[kControlFileSizeBytes];
Bytes NewPage() {
  const std::string fresh = internal::NewControlFile(Uuid{});
  std::memcpy(g_page, fresh.data(), fresh.size());
  return {g_page, sizeof g_page};
}

class ControlBlockTest : public ::testing::Test {
 protected:
  std::unique_ptr<ControlBlock> Open(const Uuid& uuid = Uuid{}) {
    auto block = ControlBlock::Open(fs_, path_, uuid);
    EXPECT_TRUE(block.ok()) << block.status().ToString();
    return block.ok() ? std::move(*block) : nullptr;
  }
  Result<ControlState> Read() { return ReadControl(fs_, path_); }

  FileSystem& fs_ = FileSystem::Posix();
  testing::TempDir directory_ = testing::TempDir::InMemory();
  const std::string path_ = ControlPath(directory_.path());
};

TEST_F(ControlBlockTest, INV_CTL_1_AnOwnerStoppedAtAnyStoreLeavesAStateThatWasPublishedWhole) {
  for (uint64_t last = 0; last < 4; ++last) {
    for (uint64_t stores = 0; stores <= internal::kControlStoresPerPublication; ++stores) {
      const Bytes page = NewPage();
      for (uint64_t n = 1; n <= last; ++n) {
        internal::PublishInto(g_page, n, StateOf(n), UINT64_MAX);
      }
      internal::PublishInto(g_page, last + 1, StateOf(last + 1), stores);
      const auto found = DecodeControl(page);
      const bool all = stores == internal::kControlStoresPerPublication;
      ASSERT_EQ(found.has_value(), all || last > 0) << last << " " << stores;
      if (found) {
        EXPECT_TRUE(Same(*found, StateOf(all ? last + 1 : last))) << last << " " << stores;
      }
      // The next owner goes on.
      internal::PublishInto(g_page, last + 2, StateOf(last + 2), UINT64_MAX);
      EXPECT_TRUE(Same(*DecodeControl(page), StateOf(last + 2)));
    }
  }
}

TEST_F(ControlBlockTest, GoldenPage) {
  const Bytes page = NewPage();
  for (uint64_t n = 1; n <= 3; ++n) internal::PublishInto(g_page, n, StateOf(n), UINT64_MAX);
  testing::ExpectGolden("control-1.bin", std::string(AsView(page)));
  const std::string golden = testing::ReadGolden("control-1.bin");
  const auto state = DecodeControl(AsBytes(golden));
  ASSERT_TRUE(state.has_value());
  EXPECT_TRUE(Same(*state, StateOf(3)));
}

TEST_F(ControlBlockTest, INV_CTL_3_AFlippedBitNeverShowsAStateThatWasNotPublished) {
  const Bytes page = NewPage();
  internal::PublishInto(g_page, 1, StateOf(1), UINT64_MAX);
  internal::PublishInto(g_page, 2, StateOf(2), UINT64_MAX);
  uint64_t previous = 0, none = 0;
  for (size_t bit = 0; bit < sizeof g_page * 8; ++bit) {
    g_page[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const auto found = DecodeControl(page);
    if (!found) {
      ++none;
    } else if (Same(*found, StateOf(1))) {
      ++previous;
    } else {
      EXPECT_TRUE(Same(*found, StateOf(2))) << "bit " << bit;
    }
    g_page[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  EXPECT_EQ(previous, 27u * 64);  // all of the newer slot
  EXPECT_EQ(none, 36u * 8);       // all of the header
}

TEST_F(ControlBlockTest, ShortForeignAndMissingFilesReadAsNotFoundAndAreWrittenAnew) {
  EXPECT_EQ(Read().status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(Exists(fs_, path_));  // looking creates nothing
  for (const std::string& bytes : {std::string(), std::string(100, 'x'), std::string(5000, 'x'),
                                   internal::NewControlFile(Uuid{}).substr(0, 400)}) {
    ASSERT_TRUE(ReplaceFileDurably(fs_, path_, AsBytes(bytes)).ok());
    EXPECT_EQ(Read().status().code(), StatusCode::kNotFound) << bytes.size();
    Open()->Publish(StateOf(3));
    EXPECT_TRUE(Same(Read().value(), StateOf(3))) << bytes.size();
  }
}

TEST_F(ControlBlockTest, AFileThatIsCutUnderItsOwnerShowsNothingAndEndsNobody) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer stores under a lock of its own, which the fault leaves locked";
#endif
  {
    auto block = Open();
    block->Publish(StateOf(1));
    std::filesystem::resize_file(path_, 0);
    block->Publish(StateOf(2));
    EXPECT_EQ(Read().status().code(), StatusCode::kNotFound);
    block->Retire();
  }
  Open()->Publish(StateOf(3));
  EXPECT_TRUE(Same(Read().value(), StateOf(3)));
}

TEST_F(ControlBlockTest, TheNextOwnerGoesOnAndAnotherStoreBeginsAnew) {
  Open()->Publish(StateOf(1));
  {
    auto block = Open();
    EXPECT_TRUE(Same(Read().value(), StateOf(1)));
    block->Publish(StateOf(2));
    EXPECT_TRUE(Same(Read().value(), StateOf(2)));
    block->Retire();
    EXPECT_EQ(Read()->pid, 0u);
    EXPECT_EQ(Read()->lsn, StateOf(2).lsn);
  }
  Uuid other;
  other.bytes[0] = 1;
  auto block = Open(other);
  EXPECT_EQ(Read().status().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.Stat(path_)->mode & 0777, 0600u);
}

TEST_F(ControlBlockTest, ReadersBesideAQuickOwnerSeeOnlyWholeStatesThatNeverGoBack) {
  auto block = Open();
  block->Publish(StateOf(1));
  std::atomic<bool> stop{false};
  std::thread owner([&] {
    for (uint64_t n = 2; !stop; ++n) block->Publish(StateOf(n));
  });
  uint64_t newest = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto state = Read();
    if (!state.ok()) continue;  // sixteen times in the middle of a store
    const uint64_t n = state->old_count - 7;
    ASSERT_TRUE(Same(*state, StateOf(n)));
    ASSERT_GE(n, newest);
    newest = n;
  }
  stop = true;
  owner.join();
  EXPECT_GT(newest, 1u);
}

}  // namespace
}  // namespace engram::engine
