// The log alone on the simulated disk: every acknowledged record is there after any crash, and what
// recovery gives is a prefix of what was issued.
#include <gtest/gtest.h>

#include "base/ids.h"
#include "tests/crash/crash_support.h"
#include "wal/log.h"

namespace engram::wal {
namespace {

using testing::Fault;
using testing::kDirectoryFlushCall;
using testing::kNamespaceCall;
using testing::kPageBytes;
using testing::Random;
using testing::SeedOutcome;
using testing::SimMachine;

constexpr uint64_t kOperationsMin = 200;

// One seed: a random life after the other until enough operations were done.
class LogSimulation {
 public:
  LogSimulation(uint64_t seed, const std::string& ignored_flush)
      : machine_(seed), random_(seed ^ 0x9e3779b97f4a7c15u) {
    uuid_.bytes[0] = static_cast<uint8_t>(seed);
    uuid_.bytes[15] = 1;
    if (ignored_flush.empty()) return;
    machine_.disk().IgnoreFlushes([=](std::string_view name) { return name == ignored_flush; });
  }

  SeedOutcome Run() {
    while (outcome_.failure.empty() && outcome_.operations < kOperationsMin) {
      ArmCrash();
      if (OpenLog() && outcome_.failure.empty()) Work();
      EndLife();
    }
    // The last life must always come up: nothing is armed any more.
    if (outcome_.failure.empty() && !OpenLog() && outcome_.failure.empty()) {
      Fail("the log did not open after the last crash: " + open_error_);
    }
    log_.reset();
    outcome_.flush_classes = machine_.disk().flush_classes();
    return outcome_;
  }

 private:
  void Fail(const std::string& what) {
    if (outcome_.failure.empty()) outcome_.failure = what;
  }
  // Anywhere, or on purpose where names change or become durable.
  void ArmCrash() {
    Fault crash = {Fault::Kind::kCrash, 1 + random_.Below(random_.OneIn(2) ? 40 : 400)};
    if (random_.OneIn(2)) {
      crash.calls = random_.OneIn(4) ? kNamespaceCall : kDirectoryFlushCall;
      crash.call = 1 + random_.Below(8);
    }
    machine_.disk().Arm(crash);
  }

  std::string Payload(uint64_t lsn) {
    Random random(lsn * 31 + uuid_.bytes[0]);
    const uint64_t size = random.OneIn(12) ? random.Below(3 * kPageBytes) : random.Below(400);
    std::string payload(size, '\0');
    for (char& c : payload) c = static_cast<char>(random.Next());
    // A page of the payload may look like a group header to a careless reader.
    if (size > 4 && random.OneIn(4)) payload.replace(0, 4, "EGRP");
    return payload;
  }

  // True if the log is open. A crash in here is no failure; anything else is.
  bool OpenLog() {
    log_.reset();
    RecoverOptions recover;
    recover.directory = machine_.Path("log");
    recover.store_uuid = uuid_;
    recover.applied = Lsn{applied_};
    uint64_t next = applied_ + 1;
    auto recovered = Recover(machine_.fs(), recover, [&](const LogRecord& record) {
      if (record.lsn.value != next) Fail("LSN " + std::to_string(record.lsn.value) + " delivered");
      const std::string expected = Payload(next);
      if (record.type != 1 + next % 5 || AsView(record.payload) != expected) {
        Fail("record " + std::to_string(next) + " has other bytes");
      }
      ++next;
      return Status::Ok();
    });
    if (!recovered.ok()) return OpenFailed(recovered.status());
    const uint64_t last = next - 1;
    if (last < acknowledged_) {
      Fail("acknowledged up to " + std::to_string(acknowledged_) + ", recovered up to " +
           std::to_string(last) + (recovered->torn ? ", " + recovered->detail : ""));
    }
    if (last > issued_) Fail("recovered " + std::to_string(last) + ", never issued");
    return OpenWriter(*recovered, last);
  }

  bool OpenWriter(const RecoveryResult& recovered, uint64_t last) {
    Log::OpenOptions options;
    options.directory = machine_.Path("log");
    options.store_uuid = uuid_;
    options.recovered = recovered;
    options.applied = Lsn{applied_};
    options.log.segment_size_bytes_min = 4 * kPageBytes;
    options.log.segment_size_bytes_max = 16 * kPageBytes;
    options.log.group_size_bytes_max = 6 * kPageBytes;
    auto log = Log::Open(machine_.fs(), Logger::Null(), options);
    if (!log.ok()) return OpenFailed(log.status());
    log_ = std::move(*log);
    // What was recovered has been served from now on, so it counts as acknowledged.
    issued_ = acknowledged_ = last;
    if (log_->next_lsn().value != last + 1) Fail("the log does not continue after recovery");
    return true;
  }

  bool OpenFailed(const Status& status) {
    open_error_ = status.ToString();
    if (!machine_.disk().crashed()) Fail("open: " + open_error_);
    return false;
  }

  void Work() {
    const uint64_t operations = 1 + random_.Below(120);
    for (uint64_t i = 0; i < operations && !machine_.disk().crashed(); ++i) {
      ++outcome_.operations;
      const uint64_t dice = random_.Below(100);
      Status status;
      if (dice < 55) {
        status = Append();
      } else if (dice < 85) {
        status = Acknowledge(random_.OneIn(3) ? issued_ : acknowledged_ + 1);
      } else if (dice < 97) {
        status = Apply();
      } else {
        status = CloseAndReopen();
      }
      if (!status.ok() && !machine_.disk().crashed()) Fail(status.ToString());
      if (!outcome_.failure.empty()) return;
    }
  }

  Status Append() {
    const uint64_t lsn = issued_ + 1;
    const std::string payload = Payload(lsn);
    Log::AppendOptions options;
    options.use_reserve = random_.OneIn(5);
    auto appended = log_->Append(static_cast<uint8_t>(1 + lsn % 5), AsBytes(payload), options);
    if (!appended.ok()) return appended.status();
    if (appended->value != lsn) Fail("LSN " + std::to_string(appended->value) + " given");
    issued_ = lsn;
    return Status::Ok();
  }

  Status Acknowledge(uint64_t lsn) {
    lsn = std::min(lsn, issued_);
    if (lsn == 0) return Status::Ok();
    ENGRAM_TRY(log_->WaitDurable(Lsn{lsn}));
    acknowledged_ = std::max(acknowledged_, log_->durable().value);
    ++outcome_.acknowledged;
    return Status::Ok();
  }

  // The owner has made some durable records part of its own durable state.
  Status Apply() {
    applied_ += random_.Below(acknowledged_ - applied_ + 1);
    return log_->ReleaseBelow(Lsn{applied_});
  }

  Status CloseAndReopen() {
    ENGRAM_TRY(log_->CloseClean());
    acknowledged_ = issued_;
    if (!OpenLog() && !machine_.disk().crashed()) return Status::Io("reopen: " + open_error_);
    return Status::Ok();
  }

  void EndLife() {
    log_.reset();
    ++outcome_.crashes;
    // A power cut soon after a kill shows whether recovery flushed what it found in the page cache.
    killed_ = !killed_ && random_.OneIn(3);
    killed_ ? machine_.KillProcess() : machine_.CutPower();
  }

  SimMachine machine_;
  Random random_;
  Uuid uuid_;
  std::unique_ptr<Log> log_;
  std::string open_error_;
  uint64_t issued_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t applied_ = 0;
  bool killed_ = false;
  SeedOutcome outcome_;
};

SeedOutcome RunSeed(uint64_t seed, const std::string& ignored_flush) {
  return LogSimulation(seed, ignored_flush).Run();
}

TEST(LogCrashTest, NoAcknowledgedRecordIsLostAndRecoveryIsAPrefix) {
  testing::ExpectEverySeedPasses("log", testing::SeedsFromEnvironment(2000), RunSeed);
}

TEST(LogCrashTest, WithoutAnyOneFlushSomeSeedFails) {
  testing::ExpectEveryFlushIsNeeded(
      "log", 20, 10000, RunSeed,
      [](const std::string&, const std::string&) { return std::string(); });
}

}  // namespace
}  // namespace engram::wal
