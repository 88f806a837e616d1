#include "engine/rows.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/crc32c.h"
#include "tests/testing/golden.h"
#include "tests/testing/record_generator.h"

namespace engram::engine {
namespace {

using engram::testing::BareMemory;
using engram::testing::ExpectGolden;
using engram::testing::GoldenConcept;
using engram::testing::GoldenEmbedding;
using engram::testing::GoldenMemory;
using engram::testing::ReadGolden;
using engram::testing::RecordGenerator;
using engram::testing::SameBits;

std::string KeyString(uint64_t value = 42) { return EncodeU64Key(value); }

HeadCommon GoldenCommon() {
  HeadCommon common;
  common.seq = Lsn{0x0102030405060708};
  common.vector_key = VectorKey{0x1112131415161718};
  for (size_t i = 0; i < common.digest.size(); ++i) {
    common.digest[i] = static_cast<uint8_t>(0xd0 + i);
  }
  common.tier = Tier::kHot;
  common.origin = 3;
  return common;
}

DualNode GoldenNode() {
  const Memory memory = GoldenMemory();
  DualNode node;
  for (size_t i = 0; i < node.uuid.bytes.size(); ++i) {
    node.uuid.bytes[i] = static_cast<uint8_t>(0xe0 + i);
  }
  node.embedding_sha256 = memory.embedding_sha256;
  node.activation = memory.activation;
  node.confidence = memory.confidence_encoding;
  node.last_access = memory.last_access;
  node.created_at = memory.created_at;
  node.residual = {memory.when,         memory.confidence_vividness, memory.confidence_reliability,
                   memory.decay_rate,   memory.decay_function,       memory.last_recall,
                   memory.recall_count, memory.access_count,         memory.layout};
  return node;
}

Bytes EmbeddingBytes(const Embedding& embedding) {
  return {reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding};
}

bool SameCommon(const HeadCommon& a, const HeadCommon& b) {
  return a.seq == b.seq && a.vector_key == b.vector_key && a.digest == b.digest &&
         a.tier == b.tier && a.origin == b.origin;
}

HeadCommon RandomCommon(RecordGenerator* random) {
  HeadCommon common;
  common.seq = Lsn{random->Bits()};
  common.vector_key = VectorKey{random->Bits()};
  for (size_t i = 0; i < common.digest.size(); i += 8) StoreLe(&common.digest[i], random->Bits());
  common.tier = static_cast<Tier>(1 + random->Below(kTierCount));
  common.origin = static_cast<uint32_t>(random->Bits());
  return common;
}

// One row type behind one shape, so that every row is tested for the same faults.
struct RowKind {
  const char* name;
  std::string encoded;  // under KeyString()
  std::function<Status(Bytes key, Bytes value)> decode;
};

template <typename T>
std::function<Status(Bytes, Bytes)> DecodeWith(Status (*decode)(Bytes, Bytes, T*)) {
  return [decode](Bytes key, Bytes value) {
    T out;
    return decode(key, value, &out);
  };
}

std::vector<RowKind> AllRows() {
  const std::string key = KeyString();
  const Bytes k = AsBytes(key);
  std::vector<RowKind> rows(7);
  rows[0] = {"old head", "", DecodeWith(DecodeOldHead)};
  EncodeOldHead(k, GoldenCommon(), GoldenMemory(), &rows[0].encoded);
  rows[1] = {"dual head", "", DecodeWith(DecodeDualHead)};
  EncodeDualHead(k, GoldenCommon(), GoldenNode(), &rows[1].encoded);
  rows[2] = {"extension", "", DecodeWith(DecodeExtension)};
  EncodeExtension(k, GoldenConcept(), &rows[2].encoded);
  rows[3] = {"text", "", DecodeWith(DecodeTextFields)};
  EncodeTextFields(k, GoldenMemory().text, &rows[3].encoded);
  rows[4] = {"embedding", "", [](Bytes row_key, Bytes value) {
               NodeKey owner;
               Bytes floats;
               return DecodeEmbedding(row_key, value, &owner, &floats);
             }};
  EncodeEmbedding(k, NodeKey{7}, EmbeddingBytes(GoldenEmbedding()), &rows[4].encoded);
  rows[5] = {"checked", "",
             [](Bytes row_key, Bytes value) { return DecodeChecked(row_key, value).status(); }};
  EncodeChecked(k, AsBytes("value"), &rows[5].encoded);
  rows[6] = {"copied embedding", rows[4].encoded, [](Bytes row_key, Bytes value) {
               NodeKey owner;
               Embedding floats;
               return CopyEmbedding(row_key, value, &owner, &floats);
             }};
  return rows;
}

// Gives a changed row a right checksum again.
void Reseal(std::string* row) {
  const std::string key = KeyString();
  const size_t body = row->size() - 4;
  StoreLe(row->data() + body,
          Crc32cExtend(Crc32c(AsBytes(key)), AsBytes(std::string_view(*row).substr(0, body))));
}

TEST(RowsTest, GoldenBytes) {
  const std::vector<RowKind> rows = AllRows();
  ExpectGolden("row-old-head.bin", rows[0].encoded);
  ExpectGolden("row-dual-head.bin", rows[1].encoded);
  ExpectGolden("row-extension-concept.bin", rows[2].encoded);
  ExpectGolden("row-text.bin", rows[3].encoded);
  ExpectGolden("row-embedding.bin", rows[4].encoded);
  ExpectGolden("row-checked.bin", rows[5].encoded);
  const std::string key = KeyString();
  std::string bare_old, bare_dual, bare_text, episode;
  EncodeOldHead(AsBytes(key), HeadCommon{}, BareMemory(), &bare_old);
  EncodeDualHead(AsBytes(key), HeadCommon{}, DualNode{}, &bare_dual);
  EncodeTextFields(AsBytes(key), TextFields{}, &bare_text);
  Extension extension;
  extension.strength = -0.0f;
  EncodeExtension(AsBytes(key), extension, &episode);
  ExpectGolden("row-old-head-bare.bin", bare_old);
  ExpectGolden("row-dual-head-bare.bin", bare_dual);
  ExpectGolden("row-text-bare.bin", bare_text);
  ExpectGolden("row-extension-episode.bin", episode);
}

TEST(RowsTest, GoldenFilesAreStillRead) {
  const std::string key = KeyString();
  const Bytes k = AsBytes(key);
  OldHead old_head;
  DualHead dual_head;
  TextFields text;
  Extension extension;
  const std::string old_row = ReadGolden("row-old-head.bin");
  const std::string dual_row = ReadGolden("row-dual-head.bin");
  ASSERT_TRUE(DecodeOldHead(k, AsBytes(old_row), &old_head).ok());
  ASSERT_TRUE(DecodeDualHead(k, AsBytes(dual_row), &dual_head).ok());
  ASSERT_TRUE(DecodeTextFields(k, AsBytes(ReadGolden("row-text.bin")), &text).ok());
  ASSERT_TRUE(
      DecodeExtension(k, AsBytes(ReadGolden("row-extension-concept.bin")), &extension).ok());
  Memory expected = GoldenMemory();
  EXPECT_TRUE(SameBits(text, expected.text));
  expected.text = {};
  EXPECT_TRUE(SameBits(old_head.memory, expected));
  EXPECT_TRUE(SameBits(dual_head.node, GoldenNode()));
  EXPECT_TRUE(SameCommon(old_head.common, GoldenCommon()));
  EXPECT_TRUE(SameCommon(dual_head.common, GoldenCommon()));
  EXPECT_TRUE(SameBits(extension, GoldenConcept()));
}

TEST(RowsTest, TheTwoHeadsAreDifferentLayouts) {
  const std::vector<RowKind> rows = AllRows();
  EXPECT_EQ(rows[0].encoded.size(), kOldHeadSizeBytes);
  EXPECT_EQ(rows[1].encoded.size(), kDualHeadSizeBytes);
  const std::string key = KeyString();
  EXPECT_FALSE(rows[0].decode(AsBytes(key), AsBytes(rows[1].encoded)).ok());
  EXPECT_FALSE(rows[1].decode(AsBytes(key), AsBytes(rows[0].encoded)).ok());
}

TEST(RowsTest, AnyFlippedBitIsCorruption) {
  const std::string key = KeyString();
  for (const RowKind& row : AllRows()) {
    ASSERT_TRUE(row.decode(AsBytes(key), AsBytes(row.encoded)).ok()) << row.name;
    for (size_t bit = 0; bit < row.encoded.size() * 8; ++bit) {
      std::string damaged = row.encoded;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_EQ(row.decode(AsBytes(key), AsBytes(damaged)).code(), StatusCode::kCorruption)
          << row.name << " bit " << bit;
    }
  }
}

TEST(RowsTest, AValueUnderAnotherKeyIsCorruption) {
  for (const RowKind& row : AllRows()) {
    for (uint64_t other : {uint64_t{0}, uint64_t{43}, uint64_t{42} << 56}) {
      const std::string key = KeyString(other);
      EXPECT_EQ(row.decode(AsBytes(key), AsBytes(row.encoded)).code(), StatusCode::kCorruption)
          << row.name;
    }
  }
}

TEST(RowsTest, AnyOtherSizeIsCorruption) {
  const std::string key = KeyString();
  for (const RowKind& row : AllRows()) {
    for (size_t size = 0; size < row.encoded.size(); ++size) {
      const Bytes shorter = AsBytes(std::string_view(row.encoded).substr(0, size));
      ASSERT_EQ(row.decode(AsBytes(key), shorter).code(), StatusCode::kCorruption)
          << row.name << " size " << size;
    }
    const std::string longer = row.encoded + '\0';
    EXPECT_EQ(row.decode(AsBytes(key), AsBytes(longer)).code(), StatusCode::kCorruption);
  }
}

TEST(RowsTest, ARowThatWasExtendedUnderARightChecksumIsRefused) {
  const std::string key = KeyString();
  for (const RowKind& row : AllRows()) {
    if (std::string_view(row.name) == "checked") continue;  // has no structure
    std::string longer = row.encoded;
    longer.insert(longer.size() - 4, 1, '\0');
    Reseal(&longer);
    EXPECT_EQ(row.decode(AsBytes(key), AsBytes(longer)).code(), StatusCode::kCorruption)
        << row.name;
  }
}

struct Forgery {
  int row;  // index in AllRows()
  size_t offset;
  uint8_t value;
  const char* complaint;
};

TEST(RowsTest, UnknownVersionsAndValuesUnderARightChecksumAreRefused) {
  const Forgery forgeries[] = {
      {0, 0, 2, "version"},       {0, 1, 2, "kind"},       {0, 2, 0, "tier"},
      {0, 2, 4, "tier"},          {0, 3, 6, "layout"},     {0, 5, 3, "presence"},
      {0, 7, 1, "presence"},      {0, 115, 0x80, "range"}, {0, 140, 4, "range"},
      {0, 192, 1, "range"},       {1, 0, 2, "version"},    {1, 1, 1, "kind"},
      {1, 2, 4, "tier"},          {1, 3, 4, "presence"},   {1, 131, 0x80, "range"},
      {1, 136, 0x80, "presence"}, {1, 137, 6, "layout"},   {1, 138, 4, "range"},
      {1, 139, 1, "range"},       {2, 0, 0, "version"},    {2, 1, 2, "kind"},
      {2, 2, 3, "type"},          {2, 3, 4, "range"},      {2, 23, 0x80, "range"},
      {2, 32, 1, "range"},        {3, 0, 2, "version"},    {3, 1, 0x40, "flags"},
      {3, 1, 0x37, "flags"},  // language and quality without provenance
  };
  const std::vector<RowKind> rows = AllRows();
  const std::string key = KeyString();
  for (const Forgery& forgery : forgeries) {
    std::string forged = rows[forgery.row].encoded;
    forged[forgery.offset] = static_cast<char>(forgery.value);
    Reseal(&forged);
    const Status status = rows[forgery.row].decode(AsBytes(key), AsBytes(forged));
    EXPECT_EQ(status.code(), StatusCode::kCorruption);
    EXPECT_NE(status.message().find(forgery.complaint), std::string::npos)
        << rows[forgery.row].name << " offset " << forgery.offset << ": " << status.message();
  }
}

TEST(RowsTest, AnAbsentFieldThatIsNotZeroIsRefused) {
  const std::string key = KeyString();
  std::string old_row, dual_row, extension_row;
  EncodeOldHead(AsBytes(key), HeadCommon{}, BareMemory(), &old_row);
  EncodeDualHead(AsBytes(key), HeadCommon{}, DualNode{}, &dual_row);
  EncodeExtension(AsBytes(key), Extension{}, &extension_row);
  struct Case {
    std::string* row;
    std::vector<size_t> offsets;
    std::function<Status(Bytes, Bytes)> decode;
  };
  const Case cases[] = {
      {&old_row,
       {68, 72, 80, 88, 96, 104, 112, 116, 120, 124, 128, 136, 140, 144, 148, 152},
       DecodeWith(DecodeOldHead)},
      {&dual_row,
       {112, 120, 128, 132, 138, 144, 152, 160, 164, 168, 172, 176, 184, 192, 196, 200},
       DecodeWith(DecodeDualHead)},
      {&extension_row, {4, 8}, DecodeWith(DecodeExtension)},
  };
  for (const Case& c : cases) {
    for (const size_t offset : c.offsets) {
      std::string forged = *c.row;
      forged[offset] = 1;
      Reseal(&forged);
      EXPECT_EQ(c.decode(AsBytes(key), AsBytes(forged)).code(), StatusCode::kCorruption)
          << "offset " << offset;
    }
  }
}

TEST(RowsTest, HostileCountsAllocateNothing) {
  const std::string key = KeyString();
  // version, flags, then what follows: an id that ends beyond the row, a list and a map of 2^32-1.
  const std::string bodies[] = {
      std::string("\1\0\xff\xff\xff\xff", 6),
      std::string("\1\4\0\0\0\0\xff\xff\xff\xff", 10),
      std::string("\1\0\0\0\0\0\xff\xff\xff\xff", 10),
      std::string("\1\0\0\0\0\0\1\0\0\0\0\0\0\0", 14),
  };
  for (const std::string& body : bodies) {
    std::string row = body + std::string(4, '\0');
    Reseal(&row);
    TextFields text;
    const Status status = DecodeTextFields(AsBytes(key), AsBytes(row), &text);
    EXPECT_EQ(status.code(), StatusCode::kCorruption);
    EXPECT_LT(text.metadata.capacity(), 16u);
    EXPECT_TRUE(!text.who || text.who->capacity() < 16);
  }
}

TEST(RowsTest, ChecksumErrorsSayWhatWasFoundAndExpected) {
  const std::string key = KeyString();
  std::string row = AllRows()[0].encoded;
  row[60] = static_cast<char>(row[60] ^ 1);
  OldHead head;
  const Status status = DecodeOldHead(AsBytes(key), AsBytes(row), &head);
  EXPECT_NE(status.message().find("old head: checksum "), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(", expected "), std::string::npos);
}

TEST(RowsTest, RandomHeadsAndExtensionsRoundTrip) {
  RecordGenerator random(31);
  OldHead old_head;  // reused: nothing of an earlier record may stay
  DualHead dual_head;
  Extension extension_out;
  for (int i = 0; i < 100000; ++i) {
    const std::string key = KeyString(random.Bits());
    const Bytes k = AsBytes(key);
    Memory memory = random.Memory();
    memory.text = {};
    const HeadCommon common = RandomCommon(&random);
    std::string row;
    EncodeOldHead(k, common, memory, &row);
    ASSERT_TRUE(DecodeOldHead(k, AsBytes(row), &old_head).ok());
    ASSERT_TRUE(SameBits(old_head.memory, memory) && SameCommon(old_head.common, common)) << i;
    std::string again;
    EncodeOldHead(k, old_head.common, old_head.memory, &again);
    ASSERT_EQ(again, row);

    DualNode node;
    node.uuid.bytes[3] = static_cast<uint8_t>(i);
    node.activation = memory.activation;
    node.confidence = random.Float();
    node.last_access = memory.last_access;
    node.created_at = memory.created_at;
    node.embedding_sha256 = memory.embedding_sha256;
    node.residual = {
        memory.when,         memory.confidence_vividness, memory.confidence_reliability,
        memory.decay_rate,   memory.decay_function,       memory.last_recall,
        memory.recall_count, memory.access_count,         memory.layout};
    row.clear();
    EncodeDualHead(k, common, node, &row);
    ASSERT_TRUE(DecodeDualHead(k, AsBytes(row), &dual_head).ok());
    ASSERT_TRUE(SameBits(dual_head.node, node) && SameCommon(dual_head.common, common)) << i;

    const Extension extension = random.Extension();
    row.clear();
    EncodeExtension(k, extension, &row);
    ASSERT_TRUE(DecodeExtension(k, AsBytes(row), &extension_out).ok());
    ASSERT_TRUE(SameBits(extension_out, extension)) << i;
  }
}

TEST(RowsTest, RandomTextFieldsRoundTripThroughAReusedObject) {
  RecordGenerator random(32);
  TextFields decoded;
  for (int i = 0; i < 50000; ++i) {
    const std::string key = KeyString(random.Bits());
    const TextFields text = random.TextFields();
    std::string row = "before";
    EncodeTextFields(AsBytes(key), text, &row);
    row.erase(0, 6);
    ASSERT_TRUE(DecodeTextFields(AsBytes(key), AsBytes(row), &decoded).ok());
    ASSERT_TRUE(SameBits(decoded, text)) << i;
    std::string again;
    EncodeTextFields(AsBytes(key), decoded, &again);
    ASSERT_EQ(again, row);
  }
}

TEST(RowsTest, EmbeddingsKeepEveryBit) {
  RecordGenerator random(33);
  Embedding embedding;
  random.FillEmbedding(&embedding);
  std::string row;
  const std::string key = KeyString();
  EncodeEmbedding(AsBytes(key), NodeKey{9}, EmbeddingBytes(embedding), &row);
  EXPECT_EQ(row.size(), kEmbeddingRowSizeBytes);
  EXPECT_LE(row.size(), 4080u);
  NodeKey owner;
  Bytes floats;
  ASSERT_TRUE(DecodeEmbedding(AsBytes(key), AsBytes(row), &owner, &floats).ok());
  EXPECT_EQ(owner, NodeKey{9});
  EXPECT_EQ(AsView(floats), AsView(EmbeddingBytes(embedding)));
  Embedding copy;
  NodeKey owner_of_copy;
  ASSERT_TRUE(CopyEmbedding(AsBytes(key), AsBytes(row), &owner_of_copy, &copy).ok());
  EXPECT_EQ(owner_of_copy, NodeKey{9});
  EXPECT_EQ(AsView(EmbeddingBytes(copy)), AsView(EmbeddingBytes(embedding)));
}

TEST(RowsTest, AnEmptyCheckedValueIsARow) {
  const std::string key = KeyString();
  std::string row;
  EncodeChecked(AsBytes(key), {}, &row);
  auto value = DecodeChecked(AsBytes(key), AsBytes(row));
  ASSERT_TRUE(value.ok());
  EXPECT_TRUE(value->empty());
}

// ---- keys ----

TEST(IdKeyTest, IsNeverEmptyAndFitsLmdb) {
  for (size_t size : {0, 1, 439, 440, 441, 442, 4096}) {
    const std::string key = EncodeIdKey(std::string(size, 'x'));
    EXPECT_GE(key.size(), 1u);
    EXPECT_LE(key.size(), 511u);
    EXPECT_EQ(IdKeyIsTruncated(AsBytes(key)), size > 440) << size;
    if (size <= 440) {
      EXPECT_EQ(IdOfIdKey(AsBytes(key)), std::string(size, 'x'));
    }
  }
  EXPECT_EQ(EncodeIdKey("m1"), "im1");
}

TEST(IdKeyTest, SortsAsTheBytesOfTheIds) {
  RecordGenerator random(34);
  auto sign = [](int c) { return (c > 0) - (c < 0); };
  for (int i = 0; i < 100000; ++i) {
    std::string a = random.Id();
    std::string b = random.Id();
    if (random.OneIn(3)) b = a + random.Text();
    if (random.OneIn(3)) a.resize(436 + random.Below(8), '\x01');
    if (random.OneIn(3)) b.resize(436 + random.Below(8), '\x01');
    const std::string key_a = EncodeIdKey(a);
    const std::string key_b = EncodeIdKey(b);
    ASSERT_EQ(a == b, key_a == key_b);
    const bool settled_by_the_full_id =
        a.size() > 440 && b.size() > 440 && a.substr(0, 440) == b.substr(0, 440);
    if (settled_by_the_full_id) continue;
    ASSERT_EQ(sign(a.compare(b)), sign(key_a.compare(key_b)));
  }
}

TEST(IdKeyTest, LongIdsThatDifferAtTheEndHaveTheirOwnKeys) {
  const std::string prefix(440, 'p');
  std::set<std::string> keys;
  for (const char* end : {"", "a", "b", "aa"}) keys.insert(EncodeIdKey(prefix + end));
  keys.insert(EncodeIdKey(prefix + std::string(4096, 'a')));
  EXPECT_EQ(keys.size(), 5u);
}

TEST(U64KeyTest, IsBigEndian) {
  EXPECT_EQ(EncodeU64Key(0x0102030405060708), "\1\2\3\4\5\6\7\x08");
  EXPECT_LT(EncodeU64Key(255), EncodeU64Key(256));
}

}  // namespace
}  // namespace engram::engine
