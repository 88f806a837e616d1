#include "server/config/pid_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/config/paths.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Identity = ServerProcess::Identity;

// A child that runs a copy of the shell under a name of our choice; killed and reaped at the end.
class Child {
 public:
  // `open_file`: a file it keeps open, "" for none.
  Child(const std::string& program, const std::string& argument, const std::string& open_file) {
    fs::copy_file("/bin/sh", program, fs::copy_options::overwrite_existing);
    int pipes[2];
    int never[2];  // the child reads from it, and holds its other end
    EXPECT_EQ(pipe(pipes) + pipe(never), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(pipes[1], STDOUT_FILENO);
      dup2(never[0], STDIN_FILENO);
      if (!open_file.empty()) dup2(open(open_file.c_str(), O_RDWR | O_CREAT, 0600), 9);
      execl(program.c_str(), program.c_str(), "-c", "echo; read x", argument.c_str(), nullptr);
      _exit(1);
    }
    char byte = 0;
    EXPECT_EQ(read(pipes[0], &byte, 1), 1) << "the child did not get to run";
    for (const int fd : {pipes[0], pipes[1], never[0], never[1]}) close(fd);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    Reap();
  }
  void Reap() {
    if (!reaped_) waitpid(pid_, nullptr, 0);
    reaped_ = true;
  }
  int32_t pid() const { return pid_; }

 private:
  int32_t pid_ = 0;
  bool reaped_ = false;
};

class PidFileTest : public ::testing::Test {
 protected:
  PidFileTest() {
    config_.storage.data_root = folder_.Join("data");
    config_.server.pid_file = folder_.Join("engram.pid");
    fs::create_directories(ControlFolder(config_.storage.data_root));
  }
  std::string root_file() const { return ControlFolder(config_.storage.data_root) + "/server.pid"; }
  static void Write(const std::string& file, int32_t pid) { std::ofstream(file) << pid << ":7432"; }
  std::unique_ptr<Child> StartServer(const std::string& open_file = "") {
    return std::make_unique<Child>(folder_.Join("engram"), "start", open_file);
  }

  testing::TempDir folder_;
  Config config_;
};

TEST_F(PidFileTest, OnlyPidColonPortIsAPidRecord) {
  const auto record = ParsePidRecord("4242:7432\n");
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->pid, 4242);
  EXPECT_EQ(record->http_port, 7432);
  for (const char* text : {"", "4242", "4242:", ":7432", "0:7432", "-1:7432", "x:7432", "1:65536",
                           "1:7432:50051", "1 :7432"}) {
    EXPECT_FALSE(ParsePidRecord(text).has_value()) << text;
  }
}

TEST_F(PidFileTest, AServerIsFoundByEitherFile) {
  auto server = StartServer();
  Write(root_file(), server->pid());
  EXPECT_EQ(FindServer(config_, false).file, root_file());
  fs::rename(root_file(), config_.server.pid_file);
  EXPECT_EQ(FindServer(config_, true).file, config_.server.pid_file);
}

TEST_F(PidFileTest, TheServerOfAnotherDataRootDoesNotCountUnlessNobodyNamedOne) {
  auto other = StartServer();
  Write(config_.server.pid_file, other->pid());
  const FoundServer found = FindServer(config_, false);
  EXPECT_EQ(found.process, nullptr);
  EXPECT_THAT(found.stale, HasSubstr("another data root"));
  EXPECT_NE(FindServer(config_, true).process, nullptr);
}

TEST_F(PidFileTest, AServerOfNoNamedRootIsFoundWithTheRootThatItHasLocked) {
  const std::string root = fs::canonical(config_.storage.data_root).string();
  auto server = StartServer(root + "/.engram/LOCK");
  Write(config_.server.pid_file, server->pid());
  config_.storage.data_root = folder_.Join("engram-data");
  EXPECT_EQ(FindServer(config_, true).data_root, root);
  server.reset();
  auto other = StartServer(folder_.Join("LOCK"));
  Write(config_.server.pid_file, other->pid());
  EXPECT_EQ(FindServer(config_, true).data_root, config_.storage.data_root) << "cannot be told";
}

TEST_F(PidFileTest, AddressAndConfigurationFileAreWhatTheServerSaidOfItself) {
  auto server = StartServer();
  Write(root_file(), server->pid());
  config_.server.http_bind = "127.0.0.1";
  EXPECT_EQ(FindServer(config_, false).address, "127.0.0.1");
  EXPECT_EQ(FindServer(config_, false).config_file, std::nullopt);
  const std::string file = ControlFolder(config_.storage.data_root) + "/server.info";
  std::ofstream(file) << server->pid() << "\n::1\n/etc/engram.toml\n";
  EXPECT_EQ(FindServer(config_, false).address, "::1");
  EXPECT_EQ(FindServer(config_, false).config_file, "/etc/engram.toml");
  std::ofstream(file) << server->pid() + 1 << "\n127.0.0.9\n\n";
  EXPECT_EQ(FindServer(config_, false).address, "127.0.0.1") << "another process's";
}

TEST_F(PidFileTest, AServerThatHasTheDataRootOpenCountsByThePidFileAlone) {
  auto server = StartServer(config_.storage.data_root + "/.engram/LOCK");
  Write(config_.server.pid_file, server->pid());
  EXPECT_NE(FindServer(config_, false).process, nullptr);
}

TEST_F(PidFileTest, AForeignProcessUnderThePidIsNeitherFoundNorSignalled) {
  Child foreign(folder_.Join("postgres"), "start", "");
  Child other_command(folder_.Join("engram"), "memory", "");
  for (const int32_t pid : {foreign.pid(), other_command.pid(), getpid()}) {
    Write(root_file(), pid);
    const FoundServer found = FindServer(config_, true);
    EXPECT_EQ(found.process, nullptr);
    EXPECT_THAT(found.stale, HasSubstr("not an engram server"));
    auto process = ServerProcess::Look(pid);
    EXPECT_EQ(process->identity(), Identity::kForeign);
    EXPECT_EQ(process->Signal(SIGKILL).code(), StatusCode::kFailedPrecondition);
    EXPECT_TRUE(process->IsAlive());
  }
}

TEST_F(PidFileTest, ADeadServerIsGoneAlsoBeforeItIsReaped) {
  auto server = StartServer();
  Write(root_file(), server->pid());
  auto process = ServerProcess::Look(server->pid());
  EXPECT_TRUE(process->IsAlive());
  EXPECT_FALSE(process->WaitForEnd(10));
  ASSERT_TRUE(process->Signal(SIGKILL).ok());
  EXPECT_TRUE(process->WaitForEnd(5000));
  EXPECT_EQ(ServerProcess::Look(server->pid())->identity(), Identity::kGone) << "a zombie";
  server->Reap();
  EXPECT_EQ(process->Signal(SIGTERM).code(), StatusCode::kNotFound);
  EXPECT_THAT(FindServer(config_, true).stale, HasSubstr("is gone"));
}

TEST_F(PidFileTest, AServerWhoseProgramWasReplacedIsStillOne) {
  auto server = StartServer();
  fs::remove(folder_.Join("engram"));
  EXPECT_EQ(ServerProcess::Look(server->pid())->identity(), Identity::kServer);
}

TEST_F(PidFileTest, GarbageInAPidFileIsSaidSo) {
  std::ofstream(root_file()) << "hello";
  const FoundServer found = FindServer(config_, true);
  EXPECT_EQ(found.process, nullptr);
  EXPECT_THAT(found.stale, HasSubstr("expected PID:PORT"));
}

TEST_F(PidFileTest, APipeInPlaceOfThePidFileHoldsNobodyUp) {
  ASSERT_EQ(mkfifo(config_.server.pid_file.c_str(), 0600), 0);
  EXPECT_THAT(FindServer(config_, true).stale, HasSubstr("is not a file"));
}

TEST_F(PidFileTest, APlantedLinkIsReplacedNotFollowed) {
  const std::string target = folder_.Join("precious");
  std::ofstream(target) << "precious";
  fs::create_symlink(target, config_.server.pid_file);
  fs::create_symlink(target, config_.server.pid_file + ".tmp");
  fs::create_symlink(target, config_.server.pid_file + "." + std::to_string(getpid()) + ".tmp");
  auto claim = ServerClaim::Take(config_);
  ASSERT_TRUE(claim.ok());
  ASSERT_TRUE((*claim)->Publish(1, "").ok());
  EXPECT_EQ(fs::file_size(target), 8u);
  EXPECT_FALSE(fs::is_symlink(config_.server.pid_file));
}

TEST_F(PidFileTest, OneClaimAtATimeAndTheSecondLeavesTheFilesAlone) {
  auto claim = ServerClaim::Take(config_);
  ASSERT_TRUE(claim.ok()) << claim.status().ToString();
  ASSERT_TRUE((*claim)->Publish(4711, "").ok());
  auto second = ServerClaim::Take(config_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kBusy);
  EXPECT_THAT(second.status().message(), HasSubstr("port 4711"));
  EXPECT_TRUE(fs::exists(config_.server.pid_file));
  EXPECT_TRUE(fs::exists(root_file()));
  claim->reset();
  EXPECT_FALSE(fs::exists(config_.server.pid_file));
  EXPECT_FALSE(fs::exists(root_file()));
  EXPECT_TRUE(ServerClaim::Take(config_).ok());
}

TEST_F(PidFileTest, AClaimTakesOverWhatADeadServerLeftAndNotALivingOnes) {
  Write(config_.server.pid_file, 2147483646);
  auto claim = ServerClaim::Take(config_);
  ASSERT_TRUE(claim.ok());
  ASSERT_TRUE((*claim)->Publish(1, "").ok());
  claim->reset();
  auto other = StartServer();
  Write(config_.server.pid_file, other->pid());
  auto refused = ServerClaim::Take(config_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::exists(config_.server.pid_file));
}

TEST_F(PidFileTest, WithdrawingLeavesAFileThatIsSomeoneElsesByNow) {
  auto claim = ServerClaim::Take(config_);
  ASSERT_TRUE(claim.ok());
  ASSERT_TRUE((*claim)->Publish(1, "").ok());
  Write(config_.server.pid_file, 1);
  (*claim)->Withdraw();
  EXPECT_TRUE(fs::exists(config_.server.pid_file));
  EXPECT_FALSE(fs::exists(root_file()));
}

}  // namespace
}  // namespace engram::server
