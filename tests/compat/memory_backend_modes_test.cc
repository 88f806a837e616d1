// What each mode writes and serves: every short sequence of writes, mode switches and reads.
#include <gmock/gmock.h>

#include "compat/conversion.h"
#include "tests/compat/backend_fixture.h"

namespace engram::compat::testing {
namespace {

using engram::testing::NumberFromEnvironment;

class BackendModes : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Stores, BackendModes, ::testing::ValuesIn(AllStores()), KindName);

enum class Op {
  kPutInLegacy,
  kPutInDual,
  kToLegacy,
  kToDualWrite,
  kToShadow,
  kToDual,
  kActivate,
  kSetStrength,
  kDelete,
  kRead,
  kInstall,
};
constexpr int kOpCount = 11;
constexpr const char* kOpNames[kOpCount] = {
    "put in legacy", "put in dual",  "to legacy", "to dual_write", "to shadow", "to dual",
    "activate",      "set strength", "delete",    "read",          "install"};

// What must be there: the content, and which heads.
struct Model {
  Mode mode = Mode::kLegacy;
  std::optional<Acknowledged> record;
  bool has_old = false;
  bool has_dual = false;

  void Written() {
    has_old = mode != Mode::kFinalized;
    has_dual = mode != Mode::kLegacy;
  }
};

class SequenceRunner {
 public:
  explicit SequenceRunner(Bench& bench) : bench_(bench) {}

  void Run(const std::vector<Op>& ops) {
    id_ = "m" + std::to_string(++count_);
    Switch(Mode::kLegacy);
    Model fresh;
    fresh.mode = model_.mode;
    model_ = fresh;
    for (uint64_t i = 0; i < ops.size(); ++i) Apply(ops[i], count_ * 10 + i);
    Check(ops);
    if (model_.record) ledger_[id_] = *model_.record;
  }
  Ledger& ledger() { return ledger_; }

 private:
  void Switch(Mode mode) {
    Must(bench_.backend().SetMode(mode));
    model_.mode = mode;
  }

  void Put(uint64_t seed) {
    Acknowledged a = MakeMemory(id_, seed);
    if (model_.record) a.extension = model_.record->extension;
    Must(bench_.backend().Put(a.memory, a.embedding));
    model_.record = a;
    model_.Written();
  }

  void Apply(Op op, uint64_t seed) {
    MemoryBackend& backend = bench_.backend();
    switch (op) {
      case Op::kPutInLegacy:
        Switch(Mode::kLegacy);
        return Put(seed);
      case Op::kPutInDual:
        Switch(Mode::kDual);
        return Put(seed);
      case Op::kToLegacy:
        return Switch(Mode::kLegacy);
      case Op::kToDualWrite:
        return Switch(Mode::kDualWrite);
      case Op::kToShadow:
        return Switch(Mode::kShadow);
      case Op::kToDual:
        return Switch(Mode::kDual);
      case Op::kActivate:
        return Edit(backend.UpdateActivation(id_, 0.5f),
                    [](Acknowledged* a) { a->memory.activation = 0.5f; });
      case Op::kSetStrength:
        return Edit(backend.SetStrength(id_, 0.75f),
                    [](Acknowledged* a) { a->extension.strength = 0.75f; });
      case Op::kDelete:
        EXPECT_EQ(backend.Remove(id_).ok(), model_.record.has_value());
        model_.record.reset();
        return;
      case Op::kRead:
        EXPECT_EQ(Difference(backend, id_, model_.record), "");
        return;
      case Op::kInstall:
        EXPECT_EQ(Difference(backend, id_, model_.record), "");
        Must(backend.InstallConversions());
        if (model_.record && model_.mode == Mode::kDual) model_.has_dual = true;
        return;
    }
  }

  template <typename Change>
  void Edit(const Result<Lsn>& result, Change change) {
    EXPECT_EQ(result.ok(), model_.record.has_value());
    if (!model_.record) return;
    change(&*model_.record);
    model_.Written();
  }

  void Check(const std::vector<Op>& ops) {
    std::string trace;
    for (Op op : ops) trace += std::string(kOpNames[static_cast<int>(op)]) + ", ";
    ASSERT_EQ(Difference(bench_.backend(), id_, model_.record), "") << trace;
    if (!model_.record) return;
    engine::StoredRecord stored = bench_.Stored(id_);
    ASSERT_EQ(stored.old_head.has_value(), model_.has_old) << trace;
    ASSERT_EQ(stored.dual_head.has_value(), model_.has_dual) << trace;
    ASSERT_EQ(stored.is_dual(), model_.has_dual) << trace;
    ASSERT_EQ(ToHex(stored.current().digest),
              ToHex(MemoryDigest(model_.record->memory, model_.record->extension)))
        << trace;
    if (stored.old_head && stored.dual_head) {
      ASSERT_EQ(stored.old_head->common.seq, stored.dual_head->common.seq) << trace;
    }
  }

  Bench& bench_;
  std::string id_;
  uint64_t count_ = 0;
  Model model_;
  Ledger ledger_;
};

void RunAll(uint64_t length, std::vector<Op>* prefix, const std::function<void()>& run) {
  if (!prefix->empty()) run();
  if (prefix->size() == length) return;
  for (int op = 0; op < kOpCount; ++op) {
    prefix->push_back(static_cast<Op>(op));
    RunAll(length, prefix, run);
    prefix->pop_back();
  }
}

// Slice: ENGRAM_MODE_SEQUENCE_LENGTH. The fake copies its state for every write, so it is cleared
// often.
TEST_P(BackendModes, EverySequenceOfWritesSwitchesAndReadsServesWhatWasAcknowledged) {
  uint64_t length = NumberFromEnvironment("ENGRAM_MODE_SEQUENCE_LENGTH", 4);
  bool fake = GetParam() == StoreKind::kFake;
  bench_.Reopen({.lazy_install_batch = 0});
  SequenceRunner runner(bench_);
  std::vector<Op> ops;
  uint64_t runs = 0;
  RunAll(length, &ops, [&] {
    if (HasFatalFailure()) return;
    runner.Run(ops);
    if (fake && ++runs % 50 == 0) {
      Must(backend().Clear());
      runner.ledger().clear();
    }
  });
  ExpectStoreEquals(bench_, runner.ledger());
  bench_.Reopen();
  ExpectStoreEquals(bench_, runner.ledger());
}

TEST_P(BackendModes, SpaceThatIsOnlyEverLegacyHoldsOldHeadsAlone) {
  for (uint64_t i = 0; i < 20; ++i) Put("m" + std::to_string(i), i);
  Must(backend().UpdateActivation("m1", 0.5f));
  Must(backend().SetStrength("m2", 0.5f));
  for (uint64_t i = 0; i < 20; ++i) Must(backend().Get("m" + std::to_string(i), nullptr));
  Must(backend().InstallConversions());
  EXPECT_EQ(bench_.Counts().old, 20u);
  EXPECT_EQ(bench_.Counts().dual, 0u);
  EXPECT_EQ(backend().Stats().converted_on_read, 0u);
}

TEST_P(BackendModes, ConceptHasAProjectedOldHeadUntilFinalized) {
  Acknowledged c = MakeMemory("c", 1);
  c.extension = MakeConcept(3);
  for (Mode mode : {Mode::kLegacy, Mode::kDualWrite, Mode::kDual}) {
    Must(backend().SetMode(mode));
    Must(backend().PutNode(ToDual(c.memory, Uuid{}, c.extension), c.embedding));
    EXPECT_TRUE(bench_.Stored("c").old_head.has_value());
    EXPECT_TRUE(bench_.Stored("c").has_extension);
    ExpectServed(backend(), "c", c);
  }
  Must(backend().SetMode(Mode::kLegacy));  // rollback: nothing of the Concept is lost
  ExpectServed(backend(), "c", c);
}

TEST_P(BackendModes, FinalizedNeedsEveryRecordConvertedAndIsFinal) {
  Ledger ledger;
  ledger["a"] = Put("a", 1);
  ledger["b"] = Put("b", 2);
  Must(backend().SetMode(Mode::kDual));
  Status refused = backend().SetMode(Mode::kFinalized);
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(refused.hint().empty());
  for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
  Must(backend().InstallConversions());
  Must(backend().SetMode(Mode::kFinalized));
  ledger["a"] = Put("a", 3);
  ledger["c"] = Put("c", 4);
  EXPECT_FALSE(bench_.Stored("a").old_head.has_value());
  EXPECT_FALSE(bench_.Stored("c").old_head.has_value());
  EXPECT_EQ(backend().SetMode(Mode::kLegacy).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(backend().SetMode(Mode::kDual).code(), StatusCode::kFailedPrecondition);
  Must(backend().SetMode(Mode::kFinalized));
  ExpectStoreEquals(bench_, ledger);
  bench_.Reopen();
  EXPECT_EQ(bench_.store().mode(), Mode::kFinalized);
  ExpectStoreEquals(bench_, ledger);
}

TEST_P(BackendModes, ModeSurvivesAReopen) {
  for (Mode mode : {Mode::kDualWrite, Mode::kShadow, Mode::kDual, Mode::kLegacy}) {
    Must(backend().SetMode(mode));
    EXPECT_EQ(bench_.store().mode(), mode);
    bench_.Reopen();
    EXPECT_EQ(bench_.store().mode(), mode);
  }
}

TEST_P(BackendModes, ShadowServesTheOldHeadAndFindsBothEqual) {
  Must(backend().SetMode(Mode::kShadow));
  Acknowledged a = Put("m", 1);
  Acknowledged c = MakeMemory("c", 2);
  c.extension = MakeConcept(2);
  Must(backend().PutNode(ToDual(c.memory, Uuid{}, c.extension), c.embedding));
  Must(backend().SetStrength("m", 0.5f));
  a.extension.strength = 0.5f;
  ExpectServed(backend(), "m", a);
  ExpectServed(backend(), "c", c);
  EXPECT_EQ(backend().Stats().shadow_compared, 2u);
  EXPECT_EQ(backend().Stats().shadow_mismatches, 0u);
}

TEST(BackendShadow, MismatchIsCountedNamedAndTheOldHeadIsServed) {
  Bench bench(StoreKind::kFake);
  Must(bench.backend().SetMode(Mode::kShadow));
  for (const char* id : {"confidence", "layout", "same"}) {
    Acknowledged a = MakeMemory(id, 1);
    Must(bench.backend().Put(a.memory, a.embedding));
  }
  bench.fake().Tamper([](FakeState* s) {
    float& confidence = s->rows[s->ids["confidence"]].dual_head->node.confidence;
    confidence = std::bit_cast<float>(std::bit_cast<uint32_t>(confidence) ^ 1);
    engine::Layout& layout = s->rows[s->ids["layout"]].dual_head->node.residual.layout;
    layout = layout == engine::Layout::kM ? engine::Layout::kE0 : engine::Layout::kM;
  });
  for (const char* id : {"confidence", "layout", "same"}) {
    ExpectServed(bench.backend(), id, MakeMemory(id, 1));
  }
  BackendStats stats = bench.backend().Stats();
  EXPECT_EQ(stats.shadow_compared, 3u);
  EXPECT_EQ(stats.shadow_mismatches, 2u);
  EXPECT_THAT(stats.shadow_mismatch_ids, ::testing::ElementsAre("confidence", "layout"));
}

}  // namespace
}  // namespace engram::compat::testing
