// Random appends, groups, reopens, releases and closes against a vector of what was written.
#include "tests/testing/random.h"
#include "tests/wal/log_fixture.h"

namespace engram::wal {
namespace {

class LogModel {
 public:
  LogModel(uint64_t seed, LogIo io)
      : random_(seed), dir_(testing::TempDir::InMemory()), directory_(dir_.path() + "/log") {
    options_.io = io;
    options_.segment_size_bytes_min = (3 + random_.Below(6)) * kPageSizeBytes;
    options_.segment_size_bytes_max = options_.segment_size_bytes_min * (1 + random_.Below(4));
    options_.group_size_bytes_max = kPageSizeBytes * (1 + random_.Below(8));
  }

  void Run(int operations) {
    Reopen();
    for (int i = 0; i < operations && !::testing::Test::HasFatalFailure(); ++i) Step();
    Reopen();
  }

 private:
  void Step() {
    const uint64_t dice = random_.Below(100);
    if (dice < 60) return Append();
    if (dice < 85) return Wait();
    if (dice < 93) return Apply();
    if (dice < 97) {
      ASSERT_TRUE(log_->CloseClean().ok());
      durable_ = written_.size();
      // A life that wrote nothing leaves the log as it found it.
      clean_ = wrote_ || opened_clean_;
    }
    Reopen();
  }

  void Append() {
    const uint64_t size = random_.OneIn(10) ? random_.Below(40000) : random_.Below(600);
    Found record{written_.size() + 1, static_cast<uint8_t>(1 + random_.Below(255)),
                 std::string(size, static_cast<char>(random_.Next()))};
    const auto lsn = log_->Append(record.type, AsBytes(record.payload), {random_.OneIn(3)});
    ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
    ASSERT_EQ(lsn->value, record.lsn);
    written_.push_back(std::move(record));
    wrote_ = true;
  }

  void Wait() {
    if (written_.empty()) return;
    const uint64_t lsn = written_.size() - random_.Below(written_.size() - durable_ + 1);
    if (lsn == 0) return;
    ASSERT_TRUE(log_->WaitDurable({lsn}).ok());
    durable_ = std::max(durable_, lsn);
    ASSERT_GE(log_->durable().value, durable_);
    durable_ = log_->durable().value;
  }

  void Apply() {
    applied_ += random_.Below(durable_ - applied_ + 1);
    ASSERT_TRUE(log_->ReleaseBelow({applied_}).ok());
  }

  // What is durable comes back, exactly; what was only queued is gone with the process.
  void Reopen() {
    durable_ = log_ ? log_->durable().value : 0;
    log_.reset();
    const Recovered recovered = RecoverAll(FileSystem::Posix(), directory_, applied_);
    ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
    ASSERT_FALSE(recovered.result.torn) << recovered.result.detail;
    if (clean_) {
      ASSERT_TRUE(recovered.result.clean_shutdown);
    }
    opened_clean_ = recovered.result.clean_shutdown;
    clean_ = wrote_ = false;
    written_.resize(durable_);
    ASSERT_EQ(recovered.records.size(), durable_ - applied_);
    for (const Found& record : recovered.records) ASSERT_EQ(record, written_[record.lsn - 1]);
    log_ = OpenLog(FileSystem::Posix(), directory_, options_, applied_);
    ASSERT_EQ(log_->next_lsn().value, durable_ + 1);
  }

  testing::Random random_;
  testing::TempDir dir_;
  const std::string directory_;
  LogOptions options_;
  std::unique_ptr<Log> log_;
  std::vector<Found> written_;  // by LSN - 1
  uint64_t durable_ = 0;
  uint64_t applied_ = 0;
  bool clean_ = false;  // the next recovery must find a clean shutdown
  bool opened_clean_ = false;
  bool wrote_ = false;  // since it was opened
};

class LogPropertyTest : public ::testing::TestWithParam<LogIo> {};
INSTANTIATE_TEST_SUITE_P(Io, LogPropertyTest, ::testing::Values(LogIo::kPwrite, LogIo::kUring),
                         IoName);

TEST_P(LogPropertyTest, RandomLivesMatchTheModel) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    LogModel(seed, GetParam()).Run(150);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace engram::wal
