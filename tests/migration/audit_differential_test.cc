// The engine's codecs and the audit's, written apart, on the same random records: wherever they
// disagree one of them has left docs/format. Random in every field, where the fixtures are not.
#include <gtest/gtest.h>

#include "compat/conversion.h"
#include "compat/upstream_codec.h"
#include "engine/rows.h"
#include "migration/audit_decoder.h"
#include "migration/audit_rows.h"
#include "tests/testing/record_generator.h"

namespace engram::migration {
namespace {

using engine::Layout;
using engine::Memory;
using engram::testing::PropertyRecordCount;
using engram::testing::RecordGenerator;

constexpr Layout kLayouts[] = {Layout::kE0, Layout::kE1, Layout::kE2, Layout::kE3, Layout::kM};

Bytes BytesOf(const engine::Embedding& embedding) {
  return {reinterpret_cast<const uint8_t*>(embedding.data()), engine::kEmbeddingSizeBytes};
}

uint64_t Slice(uint64_t divisor) { return PropertyRecordCount() / divisor; }

TEST(AuditDifferential, StoredRowsOfBothFormsReadAlike) {
  RecordGenerator random(41);
  const std::string key = engine::EncodeU64Key(7);
  const Bytes k = AsBytes(key);
  AuditRecord record;
  std::string old_row, dual_row, text_row, extension_row, expected, actual;
  for (uint64_t i = 0; i < Slice(20); ++i) {
    const Memory memory = random.Memory();
    const engine::Extension extension = random.Extension();
    const engine::DualNode node = compat::ToDual(memory, Uuid{}, extension);
    for (std::string* row : {&old_row, &dual_row, &text_row, &extension_row, &expected})
      row->clear();
    engine::EncodeOldHead(k, {}, memory, &old_row);
    engine::EncodeDualHead(k, {}, node, &dual_row);
    engine::EncodeTextFields(k, memory.text, &text_row);
    engine::EncodeExtension(k, extension, &extension_row);
    engine::AppendCanonical(node, &expected);
    for (const bool dual : {false, true}) {
      AuditHead head;
      AuditExtension audit_extension;
      record.Clear();
      ASSERT_EQ(dual ? ReadDualHead(k, AsBytes(dual_row), &head)
                     : ReadOldHead(k, AsBytes(old_row), &head),
                "");
      ASSERT_EQ(ReadText(k, AsBytes(text_row), &record), "");
      ASSERT_EQ(ReadExtension(k, AsBytes(extension_row), &audit_extension), "");
      ApplyHead(head, &record);
      ApplyExtension(audit_extension, &record);
      actual.clear();
      AppendAuditCanonical(record, &actual);
      ASSERT_EQ(actual, expected) << "record " << i << (dual ? ", dual head" : ", old head");
      ASSERT_EQ(record.layout, engine::LayoutName(memory.layout));
    }
  }
}

// An Episode's activation is its encoding confidence; the rest is as decoded.
Sha256Digest ConverterDigest(compat::UpstreamRecord& record) {
  Memory& memory = record.memory;
  if (memory.layout != Layout::kM) memory.activation = memory.confidence_encoding;
  memory.embedding_sha256 = Sha256Of(record.embedding);
  return compat::MemoryDigest(memory, {});
}

TEST(AuditDifferential, RandomPayloadsOfEveryLayoutReadAlike) {
  RecordGenerator random(42);
  compat::UpstreamRecord record;
  AuditDecoder audit;
  engine::Embedding embedding;
  random.FillEmbedding(&embedding);
  std::string payload, again;
  for (uint64_t i = 0; i < Slice(20); ++i) {
    const Layout layout = kLayouts[i % 5];
    const uint32_t type = layout == Layout::kM ? 2 : 1;
    embedding[random.Below(embedding.size())] = random.Float();
    payload.clear();
    ASSERT_TRUE(
        compat::EncodeUpstreamPayload(random.UpstreamMemory(layout), BytesOf(embedding), &payload)
            .ok());
    ASSERT_TRUE(compat::DecodeUpstreamPayload(type, AsBytes(payload), &record).ok()) << i;
    const AuditPayload contribution{type, AsBytes(payload)};
    ASSERT_TRUE(audit.Fold({&contribution, 1}).ok()) << i;
    ASSERT_EQ(audit.record().layout, engine::LayoutName(record.memory.layout)) << i;
    again.clear();
    ASSERT_TRUE(compat::EncodeUpstreamPayload(record.memory, record.embedding, &again).ok());
    ASSERT_EQ(again, payload) << i;
    ASSERT_EQ(audit.digest(), ConverterDigest(record)) << i;
  }
}

TEST(AuditDifferential, DamagedPayloadsAreRefusedByBothOrReadAlike) {
  RecordGenerator random(43);
  compat::UpstreamRecord record;
  AuditDecoder audit;
  engine::Embedding embedding{};
  std::string payload;
  uint64_t refused = 0, accepted = 0;
  for (uint64_t i = 0; i < Slice(20); ++i) {
    const Layout layout = kLayouts[i % 5];
    const uint32_t type = layout == Layout::kM ? 2 : 1;
    payload.clear();
    const Memory memory = random.UpstreamMemory(layout);
    ASSERT_TRUE(compat::EncodeUpstreamPayload(memory, BytesOf(embedding), &payload).ok());
    // Not within the embedding, where every bit is legal: the damage falls on the small fields.
    size_t at = random.Below(payload.size() - engine::kEmbeddingSizeBytes);
    if (at > 8 + memory.text.id.size()) at = payload.size() - 1 - random.Below(80);
    payload[at] = static_cast<char>(random.OneIn(2) ? payload[at] ^ (1 << random.Below(8))
                                                    : static_cast<int>(random.Below(256)));
    if (random.OneIn(8)) payload.resize(payload.size() - 1 - random.Below(40));
    const bool decoded = compat::DecodeUpstreamPayload(type, AsBytes(payload), &record).ok();
    const AuditPayload contribution{type, AsBytes(payload)};
    ASSERT_EQ(audit.Decodable(contribution), decoded) << i;
    ++(decoded ? accepted : refused);
    if (!decoded) continue;
    ASSERT_TRUE(audit.Fold({&contribution, 1}).ok()) << i;
    ASSERT_EQ(audit.digest(), ConverterDigest(record)) << i;
  }
  EXPECT_GT(refused, Slice(20) / 20);
  EXPECT_GT(accepted, Slice(20) / 20);
}

TEST(AuditDifferential, TimesUuidsAndIdKeysAgree) {
  RecordGenerator random(44);
  const Result<SpaceId> space = SpaceId::Parse("team-a");
  for (uint64_t i = 0; i < Slice(10); ++i) {
    const engine::Timestamp time = random.Time();
    ASSERT_EQ(AuditTimeOf(time.seconds, time.nanos).view(), engine::FormatTimestamp(time));
    const std::string id = random.Id();
    ASSERT_EQ(AuditUuid("team-a", id), engine::NodeUuid(*space, id).bytes) << id;
    ASSERT_EQ(AuditIdKey(id), engine::EncodeIdKey(id)) << id;
    const float activation = random.Float();
    const auto tier = static_cast<int>(engine::TierOf(activation)) - 1;
    ASSERT_EQ(AuditTierOf(std::bit_cast<uint32_t>(activation)), tier);
  }
}

}  // namespace
}  // namespace engram::migration
