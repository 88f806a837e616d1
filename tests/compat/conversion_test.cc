#include "compat/conversion.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/rows.h"
#include "tests/testing/record_generator.h"

namespace engram::compat {
namespace {

using engine::DecayKind;
using engine::DualNode;
using engine::Extension;
using engine::Layout;
using engine::Memory;
using engram::testing::BareMemory;
using engram::testing::GoldenConcept;
using engram::testing::GoldenMemory;
using engram::testing::NumberFromEnvironment;
using engram::testing::PropertyRecordCount;
using engram::testing::RecordGenerator;
using engram::testing::SameBits;

// Slice and seed: ENGRAM_PROPERTY_RECORDS (else by ENGRAM_TEST_SCALE), ENGRAM_TEST_SEED.
TEST(ConversionTest, MemoryToDualAndBackIsTheSameInEveryBit) {
  const uint64_t seed = NumberFromEnvironment("ENGRAM_TEST_SEED", 1);
  const uint64_t count = PropertyRecordCount();
  RecordGenerator random(seed);
  const Result<SpaceId> space = SpaceId::Parse("default");
  for (uint64_t i = 0; i < count; ++i) {
    const Memory memory = random.Memory();
    const Extension extension = random.Extension();
    const DualNode node = ToDual(memory, engine::NodeUuid(*space, memory.text.id), extension);
    ASSERT_TRUE(SameBits(ToMemory(node), memory)) << "seed " << seed << ", record " << i;
    ASSERT_TRUE(SameBits(node.extension, extension)) << "seed " << seed << ", record " << i;
  }
}

// The same through the rows: what is stored in the one form and converted reads as the other.
TEST(ConversionTest, ConvertingStoredHeadsLosesNothing) {
  RecordGenerator random(2);
  const std::string key = engine::EncodeU64Key(5);
  const Bytes k = AsBytes(key);
  engine::OldHead old_head;
  engine::DualHead dual_head;
  DualNode converted;
  Memory back;
  for (int i = 0; i < 100000; ++i) {
    Memory memory = random.Memory();
    const Extension extension = random.Extension();
    const Sha256Digest digest = MemoryDigest(memory, extension);
    std::string old_row, dual_row;
    engine::EncodeOldHead(k, {}, memory, &old_row);
    ASSERT_TRUE(engine::DecodeOldHead(k, AsBytes(old_row), &old_head).ok());
    ToDualHead(old_head.memory, Uuid{}, extension, &converted);
    engine::EncodeDualHead(k, {}, converted, &dual_row);
    ASSERT_TRUE(engine::DecodeDualHead(k, AsBytes(dual_row), &dual_head).ok());
    dual_head.node.extension = extension;
    ASSERT_EQ(engine::RecordDigest(dual_head.node, memory.text), digest) << i;
    ToMemoryHead(dual_head.node, &back);
    back.text = memory.text;
    ASSERT_TRUE(SameBits(back, memory)) << i;
  }
}

TEST(ConversionTest, EveryLayoutAndDecayKindIsVisited) {
  RecordGenerator random(3);
  std::map<Layout, int> layouts;
  std::map<DecayKind, int> kinds;
  for (int i = 0; i < 2000; ++i) {
    const Memory memory = random.Memory();
    ++layouts[memory.layout];
    if (memory.decay_function) ++kinds[memory.decay_function->kind];
  }
  EXPECT_EQ(layouts.size(), 6u);
  EXPECT_EQ(kinds.size(), 4u);
}

TEST(ConversionTest, TheDigestOfAMemoryIsThatOfItsDualForm) {
  RecordGenerator random(4);
  for (int i = 0; i < 20000; ++i) {
    const Memory memory = random.Memory();
    const Extension extension = random.Extension();
    Uuid uuid;
    uuid.bytes[0] = static_cast<uint8_t>(i);
    ASSERT_EQ(MemoryDigest(memory, extension),
              engine::RecordDigest(ToDual(memory, uuid, extension)));
  }
}

TEST(ConversionTest, NodeFieldsHoldWhatDualMemoryNodeHasAFieldFor) {
  const Memory memory = GoldenMemory();
  const DualNode node = ToDual(memory, Uuid{}, {});
  EXPECT_EQ(node.text.id, memory.text.id);
  EXPECT_EQ(node.activation, memory.activation);
  EXPECT_EQ(node.confidence, memory.confidence_encoding);
  EXPECT_EQ(node.last_access, memory.last_access);
  EXPECT_EQ(node.created_at, memory.created_at);
  EXPECT_EQ(node.embedding_sha256, memory.embedding_sha256);
}

TEST(ConversionTest, TypedEditsShowThroughToMemory) {
  DualNode node = ToDual(GoldenMemory(), Uuid{}, {});
  node.activation = 0.125f;
  node.confidence = 0.25f;
  node.created_at = engine::Timestamp{5, 0};
  const Memory memory = ToMemory(node);
  EXPECT_EQ(memory.activation, 0.125f);
  EXPECT_EQ(memory.confidence_encoding, 0.25f);
  EXPECT_EQ(memory.created_at, (engine::Timestamp{5, 0}));
}

TEST(ConversionTest, NothingIsDerived) {
  const DualNode node = ToDual(BareMemory(), Uuid{}, {});
  EXPECT_FALSE(node.extension.strength.has_value());
  EXPECT_FALSE(node.extension.consolidation_score.has_value());
  EXPECT_FALSE(node.created_at.has_value());
  EXPECT_FALSE(node.last_access.has_value());
  Memory with_when = BareMemory();
  with_when.when = engine::Timestamp{7, 0};
  with_when.last_recall = engine::Timestamp{8, 0};
  const DualNode later = ToDual(with_when, Uuid{}, {});
  EXPECT_FALSE(later.created_at.has_value());
  EXPECT_FALSE(later.last_access.has_value());
}

TEST(ConversionTest, AReusedTargetKeepsNothingOfAnEarlierRecord) {
  DualNode node = ToDual(GoldenMemory(), Uuid{}, GoldenConcept());
  ToDualHead(BareMemory(), Uuid{}, {}, &node);
  node.text = {};
  EXPECT_TRUE(SameBits(node, ToDual(BareMemory(), Uuid{}, {})));
  Memory memory = GoldenMemory();
  ToMemoryHead(ToDual(BareMemory(), Uuid{}, {}), &memory);
  memory.text = {};
  EXPECT_TRUE(SameBits(memory, BareMemory()));
}

TEST(ConversionTest, AConceptIsProjectedWithItsCentroidAsEmbedding) {
  const DualNode node = ToDual(GoldenMemory(), Uuid{}, GoldenConcept());
  EXPECT_EQ(ToMemory(node).embedding_sha256, node.embedding_sha256);
  EXPECT_NE(MemoryDigest(GoldenMemory(), GoldenConcept()), MemoryDigest(GoldenMemory(), {}));
}

}  // namespace
}  // namespace engram::compat
