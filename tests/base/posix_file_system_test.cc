#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "base/file_system.h"
#include "tests/testing/temp_dir.h"

namespace engram {
namespace {

using ::testing::HasSubstr;

class PosixFileSystemTest : public ::testing::Test {
 protected:
  std::unique_ptr<File> Create(const std::string& name) {
    auto file = fs_.Open(dir_.Join(name), OpenMode::kCreate);
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return std::move(file).value();
  }
  std::string Contents(const std::string& name) {
    auto contents = ReadFile(fs_, dir_.Join(name), 1 << 20);
    EXPECT_TRUE(contents.ok()) << contents.status().ToString();
    return contents.ok() ? *contents : "";
  }
  uint32_t ModeOf(const std::string& name) { return fs_.Stat(dir_.Join(name))->mode; }

  FileSystem& fs_ = FileSystem::Posix();
  testing::TempDir dir_;
};

TEST_F(PosixFileSystemTest, WhatIsWrittenIsReadBack) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, AsBytes("hello")).ok());
  ASSERT_TRUE(file->WriteAt(8, AsBytes("world")).ok());
  ASSERT_TRUE(file->WriteAtDurable(5, AsBytes("!")).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(*file->Size(), 13u);
  EXPECT_EQ(Contents("f"), std::string("hello!\0\0world", 13));
  ASSERT_TRUE(file->Truncate(2).ok());
  EXPECT_EQ(Contents("f"), "he");
}

bool IsDirect(const File& file) { return (fcntl(file.native_fd(), F_GETFL) & O_DIRECT) != 0; }

TEST_F(PosixFileSystemTest, DirectWritesAreReadThroughOtherHandles) {
  ASSERT_TRUE(Create("f")->WriteAtDurable(0, AsBytes(std::string(8192, 'o'))).ok());
  auto direct = std::move(*fs_.Open(dir_.Join("f"), OpenMode::kReadWriteDirect));
  alignas(kDirectAlignmentBytes) uint8_t page[kDirectAlignmentBytes];
  std::fill(std::begin(page), std::end(page), 'n');
  EXPECT_EQ(Contents("f"), std::string(8192, 'o'));  // in the cache before the write
  const bool was_direct = IsDirect(*direct);         // some file systems cannot
  ASSERT_TRUE(direct->WriteAtDurable(4096, page).ok());
  EXPECT_EQ(IsDirect(*direct), was_direct);
  EXPECT_EQ(Contents("f"), std::string(4096, 'o') + std::string(4096, 'n'));
}

// As on a device with larger blocks than the callers align to.
TEST_F(PosixFileSystemTest, DirectWritesThatTheDeviceRefusesTakeTheCache) {
  ASSERT_TRUE(Create("f")->WriteAt(0, AsBytes(std::string(8192, 'o'))).ok());
  auto direct = std::move(*fs_.Open(dir_.Join("f"), OpenMode::kReadWriteDirect));
  ASSERT_TRUE(direct->WriteAtDurable(1, AsBytes("one")).ok());
  EXPECT_FALSE(IsDirect(*direct));
  ASSERT_TRUE(direct->WriteAtDurable(4096, AsBytes("two")).ok());
  EXPECT_EQ(Contents("f").substr(0, 5), "ooneo");
  EXPECT_EQ(Contents("f").substr(4096, 4), "twoo");
}

TEST_F(PosixFileSystemTest, ReadIsShortOnlyAtTheEndOfTheFile) {
  auto file = Create("f");
  ASSERT_TRUE(file->WriteAt(0, AsBytes("12345")).ok());
  uint8_t buffer[8];
  EXPECT_EQ(*file->ReadAt(2, buffer), 3u);
  EXPECT_EQ(buffer[0], '3');
  EXPECT_EQ(*file->ReadAt(5, buffer), 0u);
  EXPECT_EQ(*file->ReadAt(500, buffer), 0u);
}

TEST_F(PosixFileSystemTest, FilesAreForTheOwnerOnlyAndCloseOnExec) {
  umask(0);
  auto file = Create("f");
  ASSERT_TRUE(fs_.CreateDirectory(dir_.Join("d")).ok());
  umask(022);
  EXPECT_EQ(ModeOf("f"), 0600u);
  EXPECT_EQ(ModeOf("d"), 0700u);
  EXPECT_NE(fcntl(file->native_fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(PosixFileSystemTest, OpenModesSayWhetherTheFileMustExist) {
  EXPECT_EQ(fs_.Open(dir_.Join("f"), OpenMode::kReadOnly).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.Open(dir_.Join("f"), OpenMode::kReadWrite).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(fs_.Open(dir_.Join("f"), OpenMode::kCreateExclusive).ok());
  auto again = fs_.Open(dir_.Join("f"), OpenMode::kCreateExclusive);
  EXPECT_EQ(again.status().os_errno(), EEXIST);
  EXPECT_TRUE(fs_.Open(dir_.Join("f"), OpenMode::kReadOnly).ok());
}

TEST_F(PosixFileSystemTest, ErrorsNameTheOperationAndThePath) {
  Status status = fs_.Open(dir_.Join("missing"), OpenMode::kReadOnly).status();
  EXPECT_THAT(status.message(), HasSubstr("open " + dir_.Join("missing")));
  EXPECT_NE(status.hint(), "");
}

TEST_F(PosixFileSystemTest, WriteToAReadOnlyHandleFailsWithTheOffset) {
  Create("f");
  auto file = fs_.Open(dir_.Join("f"), OpenMode::kReadOnly);
  Status status = (*file)->WriteAt(7, AsBytes("x"));
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_THAT(status.message(), HasSubstr("at offset 7"));
  EXPECT_FALSE((*file)->WriteAtDurable(7, AsBytes("x")).ok());
  EXPECT_FALSE((*file)->Truncate(0).ok());
}

TEST_F(PosixFileSystemTest, OnlyRegularFilesAreOpened) {
  EXPECT_EQ(fs_.Open(dir_.path(), OpenMode::kReadOnly).status().code(),
            StatusCode::kInvalidArgument);
  ASSERT_EQ(mkfifo(dir_.Join("fifo").c_str(), 0600), 0);
  EXPECT_EQ(fs_.Open(dir_.Join("fifo"), OpenMode::kReadOnly).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(PosixFileSystemTest, AFullQuotaIsReportedAsFullAfterAShortWrite) {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto file = fs_.Open(dir_.Join("f"), OpenMode::kCreate);
    std::string bytes(4096, 'x');
    Status plain = (*file)->WriteAt(0, AsBytes(bytes));
    Status durable = (*file)->WriteAtDurable(0, AsBytes(bytes));
    _exit(plain.code() == StatusCode::kFull && durable.code() == StatusCode::kFull ? 0 : 1);
  }
  int exit_status = -1;
  waitpid(child, &exit_status, 0);
  EXPECT_EQ(exit_status, 0);
}

TEST_F(PosixFileSystemTest, PathsWithNulOrWithoutBytesAreRefused) {
  const std::string bad = dir_.path() + std::string("/a\0b", 4);
  for (const std::string& path : {bad, std::string()}) {
    EXPECT_EQ(fs_.Open(path, OpenMode::kCreate).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Unlink(path).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Rename(path, dir_.Join("x")).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Rename(dir_.Join("x"), path).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.CreateDirectory(path).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.RemoveDirectory(path).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.SyncDirectory(path).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.List(path).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Stat(path).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Space(path).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(fs_.Lock(path, false).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST_F(PosixFileSystemTest, RenameReplacesAndUnlinkRemoves) {
  ASSERT_TRUE(Create("a")->WriteAt(0, AsBytes("A")).ok());
  ASSERT_TRUE(Create("b")->WriteAt(0, AsBytes("B")).ok());
  ASSERT_TRUE(fs_.Rename(dir_.Join("a"), dir_.Join("b")).ok());
  EXPECT_EQ(Contents("b"), "A");
  EXPECT_FALSE(Exists(fs_, dir_.Join("a")));
  EXPECT_EQ(fs_.Rename(dir_.Join("a"), dir_.Join("b")).code(), StatusCode::kNotFound);
  ASSERT_TRUE(fs_.Unlink(dir_.Join("b")).ok());
  EXPECT_EQ(fs_.Unlink(dir_.Join("b")).code(), StatusCode::kNotFound);
}

TEST_F(PosixFileSystemTest, DirectoriesAreCreatedListedFlushedAndRemoved) {
  const std::string d = dir_.Join("d");
  ASSERT_TRUE(fs_.CreateDirectory(d).ok());
  EXPECT_TRUE(fs_.CreateDirectory(d).ok());
  ASSERT_TRUE(fs_.CreateDirectory(d + "/sub").ok());
  Create("d/z");
  Create("d/\xff");
  auto entries = fs_.List(d);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "sub");
  EXPECT_TRUE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "z");
  EXPECT_FALSE((*entries)[1].is_directory);
  EXPECT_EQ((*entries)[2].name, "\xff");
  EXPECT_TRUE(fs_.SyncDirectory(d).ok());
  EXPECT_EQ(fs_.RemoveDirectory(d).code(), StatusCode::kIo);  // not empty
  EXPECT_TRUE(fs_.RemoveDirectory(d + "/sub").ok());
}

TEST_F(PosixFileSystemTest, LinksToDirectoriesAreListedAsDirectories) {
  ASSERT_TRUE(fs_.CreateDirectory(dir_.Join("real")).ok());
  ASSERT_EQ(symlink(dir_.Join("real").c_str(), dir_.Join("link").c_str()), 0);
  ASSERT_EQ(symlink("/nowhere", dir_.Join("dangling").c_str()), 0);
  auto entries = fs_.List(dir_.path());
  EXPECT_FALSE((*entries)[0].is_directory);
  EXPECT_TRUE((*entries)[1].is_directory);
}

TEST_F(PosixFileSystemTest, DirectoryCallsFailOnWhatIsNotADirectory) {
  Create("f");
  EXPECT_EQ(fs_.CreateDirectory(dir_.Join("f")).os_errno(), ENOTDIR);
  EXPECT_EQ(fs_.CreateDirectory(dir_.Join("no/d")).code(), StatusCode::kNotFound);
  EXPECT_FALSE(fs_.List(dir_.Join("f")).ok());
  EXPECT_FALSE(fs_.SyncDirectory(dir_.Join("f")).ok());
  EXPECT_EQ(fs_.SyncDirectory(dir_.Join("no")).code(), StatusCode::kNotFound);
  EXPECT_FALSE(fs_.RemoveDirectory(dir_.Join("f")).ok());
  EXPECT_FALSE(fs_.Space(dir_.Join("no")).ok());
}

TEST_F(PosixFileSystemTest, StatTellsKindSizeAndIdentity) {
  ASSERT_TRUE(Create("f")->WriteAt(0, AsBytes("abc")).ok());
  auto info = fs_.Stat(dir_.Join("f"));
  EXPECT_TRUE(info->is_regular);
  EXPECT_FALSE(info->is_directory);
  EXPECT_EQ(info->size_bytes, 3u);
  EXPECT_NE(info->inode, 0u);
  EXPECT_TRUE(fs_.Stat(dir_.path())->is_directory);
}

TEST_F(PosixFileSystemTest, SpaceIsThatOfTheDevice) {
  auto space = fs_.Space(dir_.path());
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->available_bytes, space->total_bytes);
}

TEST_F(PosixFileSystemTest, AnExclusiveLockExcludesEveryOtherHandle) {
  auto lock = fs_.Lock(dir_.Join("LOCK"), false);
  ASSERT_TRUE(lock.ok());
  Status second = fs_.Lock(dir_.Join("LOCK"), false).status();
  EXPECT_EQ(second.code(), StatusCode::kBusy);
  EXPECT_THAT(second.message(), HasSubstr("pid " + std::to_string(getpid())));
  EXPECT_EQ(fs_.Lock(dir_.Join("LOCK"), true).status().code(), StatusCode::kBusy);
  lock->reset();
  EXPECT_TRUE(fs_.Lock(dir_.Join("LOCK"), false).ok());
}

TEST_F(PosixFileSystemTest, SharedLocksExcludeOnlyExclusiveOnes) {
  auto a = fs_.Lock(dir_.Join("LOCK"), true);
  auto b = fs_.Lock(dir_.Join("LOCK"), true);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(fs_.Lock(dir_.Join("LOCK"), false).status().code(), StatusCode::kBusy);
}

TEST_F(PosixFileSystemTest, TheLockFileNamesItsOwnerForPeople) {
  auto lock = fs_.Lock(dir_.Join("LOCK"), false);
  EXPECT_THAT(Contents("LOCK"), ::testing::MatchesRegex("pid [0-9]+ start_ticks [0-9]+\n"));
}

TEST_F(PosixFileSystemTest, ASharedLockDoesNotChangeTheFile) {
  std::ofstream(dir_.Join("LOCK")) << "note";
  auto lock = fs_.Lock(dir_.Join("LOCK"), true);
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(Contents("LOCK"), "note");
}

TEST_F(PosixFileSystemTest, ALockIsReleasedWhenItsProcessDies) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    auto lock = fs_.Lock(dir_.Join("LOCK"), false);
    [[maybe_unused]] ssize_t n = write(ready[1], lock.ok() ? "y" : "n", 1);
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_EQ(fs_.Lock(dir_.Join("LOCK"), false).status().code(), StatusCode::kBusy);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs_.Lock(dir_.Join("LOCK"), false).ok());
}

TEST_F(PosixFileSystemTest, LockInAMissingDirectoryIsNotFound) {
  EXPECT_EQ(fs_.Lock(dir_.Join("no/LOCK"), false).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.Lock(dir_.Join("no/LOCK"), true).status().code(), StatusCode::kNotFound);
}

TEST_F(PosixFileSystemTest, ReplaceFileDurablyLeavesTheNewContentsAndNoTemporary) {
  const std::string path = dir_.Join("STORE");
  ASSERT_TRUE(ReplaceFileDurably(fs_, path, AsBytes("a longer first version")).ok());
  std::ofstream(path + ".tmp") << "left behind by an interrupted replacement, longer than the next";
  ASSERT_TRUE(ReplaceFileDurably(fs_, path, AsBytes("second")).ok());
  EXPECT_EQ(Contents("STORE"), "second");
  EXPECT_EQ(fs_.List(dir_.path())->size(), 1u);
}

TEST_F(PosixFileSystemTest, AFailedReplacementLeavesNoTemporary) {
  ASSERT_TRUE(fs_.CreateDirectory(dir_.Join("STORE")).ok());  // cannot be replaced by a file
  EXPECT_FALSE(ReplaceFileDurably(fs_, dir_.Join("STORE"), AsBytes("x")).ok());
  EXPECT_EQ(fs_.List(dir_.path())->size(), 1u);
}

TEST_F(PosixFileSystemTest, ReadFileBoundsTheSizeBeforeItAllocates) {
  ASSERT_TRUE(Create("f")->Truncate(uint64_t{1} << 40).ok());
  Status status = ReadFile(fs_, dir_.Join("f"), 100).status();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_THAT(status.message(), HasSubstr("1099511627776 bytes, expected at most 100"));
  EXPECT_EQ(ReadFile(fs_, dir_.Join("none"), 1).status().code(), StatusCode::kNotFound);
}

TEST_F(PosixFileSystemTest, CreateDirectoriesMakesEveryMissingLevel) {
  ASSERT_TRUE(CreateDirectories(fs_, dir_.Join("a/b/c")).ok());
  EXPECT_TRUE(fs_.Stat(dir_.Join("a/b/c"))->is_directory);
  EXPECT_TRUE(CreateDirectories(fs_, dir_.Join("a/b/c")).ok());
  Create("file");
  EXPECT_FALSE(CreateDirectories(fs_, dir_.Join("file/below")).ok());
  EXPECT_FALSE(CreateDirectories(fs_, dir_.Join("file")).ok());
}

TEST(Paths, JoinPathPutsOneSlashBetween) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

TEST(Paths, ParentPathIsWhatHoldsTheName) {
  EXPECT_EQ(ParentPath("a/b"), "a");
  EXPECT_EQ(ParentPath("a//b//"), "a");
  EXPECT_EQ(ParentPath("a"), ".");
  EXPECT_EQ(ParentPath("/a"), "/");
  EXPECT_EQ(ParentPath("//a"), "/");
  EXPECT_EQ(ParentPath("/"), "/");
  EXPECT_EQ(ParentPath(""), ".");
}

}  // namespace
}  // namespace engram
