// What a record costs on the way through conversion and verification: digest, lane sum, embedding
// hash, head codecs, times. Each beside the bare primitive it cannot be cheaper than.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <cstring>

#include "base/crc32c.h"
#include "compat/conversion.h"
#include "engine/lthash.h"
#include "engine/rows.h"

namespace engram {
namespace {

using namespace engram::engine;

// An Episode as a server writes it, with 200 bytes of text.
Memory TypicalMemory() {
  Memory memory;
  memory.text.id = "mem_0a1b2c3d";
  memory.text.content = std::string(188, 'x');
  memory.activation = 0.8f;
  memory.confidence_encoding = 0.8f;
  memory.confidence_vividness = 0.8f;
  memory.confidence_reliability = 0.8f;
  memory.decay_rate = 0.05f;
  memory.when = Timestamp{1763751433, 123456789};
  memory.last_recall = Timestamp{1763751433, 223456789};
  memory.recall_count = 0;
  memory.layout = Layout::kE3;
  return memory;
}

DualNode TypicalNode() { return compat::ToDual(TypicalMemory(), Uuid{}, {}); }

void RecordDigestOf200Bytes(benchmark::State& state) {
  const DualNode node = TypicalNode();
  for (auto _ : state) benchmark::DoNotOptimize(RecordDigest(node));
}
BENCHMARK(RecordDigestOf200Bytes);

void RawSha256OfTheSameBytes(benchmark::State& state) {
  std::string bytes;
  AppendCanonical(TypicalNode(), &bytes);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Sha256Digest digest;
  for (auto _ : state) {
    EVP_DigestInit_ex(context, md, nullptr);
    EVP_DigestUpdate(context, bytes.data(), bytes.size());
    EVP_DigestFinal_ex(context, digest.data(), nullptr);
    benchmark::DoNotOptimize(digest);
  }
  EVP_MD_free(md);
  EVP_MD_CTX_free(context);
}
BENCHMARK(RawSha256OfTheSameBytes);

void CanonicalEncodingOf200Bytes(benchmark::State& state) {
  const DualNode node = TypicalNode();
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    AppendCanonical(node, &bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
}
BENCHMARK(CanonicalEncodingOf200Bytes);

void LtHashAdd(benchmark::State& state) {
  LtHash hash;
  Sha256Digest digest = Sha256Of(AsBytes("a"));
  for (auto _ : state) {
    ++digest[0];
    hash.Add(digest);
  }
  benchmark::DoNotOptimize(hash);
}
BENCHMARK(LtHashAdd);

void RawKeystreamOf2048Bytes(benchmark::State& state) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
  EVP_EncryptInit_ex(context, cipher, nullptr, nullptr, nullptr);
  uint8_t key[32] = {}, iv[16] = {}, zeros[2048] = {}, out[2048];
  int size = 0;
  for (auto _ : state) {
    ++key[0];
    EVP_EncryptInit_ex(context, nullptr, nullptr, key, iv);
    EVP_EncryptUpdate(context, out, &size, zeros, sizeof zeros);
    benchmark::DoNotOptimize(out);
  }
  EVP_CIPHER_free(cipher);
  EVP_CIPHER_CTX_free(context);
}
BENCHMARK(RawKeystreamOf2048Bytes);

void Sha256OfAnEmbedding(benchmark::State& state) {
  const std::string embedding(kEmbeddingSizeBytes, 'e');
  for (auto _ : state) benchmark::DoNotOptimize(Sha256Of(AsBytes(embedding)));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kEmbeddingSizeBytes);
}
BENCHMARK(Sha256OfAnEmbedding);

void OldHeadEncode(benchmark::State& state) {
  const Memory memory = TypicalMemory();
  const std::string key = EncodeU64Key(42);
  std::string row;
  for (auto _ : state) {
    row.clear();
    EncodeOldHead(AsBytes(key), {}, memory, &row);
    benchmark::DoNotOptimize(row.data());
  }
}
BENCHMARK(OldHeadEncode);

void OldHeadDecode(benchmark::State& state) {
  const std::string key = EncodeU64Key(42);
  std::string row;
  EncodeOldHead(AsBytes(key), {}, TypicalMemory(), &row);
  OldHead head;
  for (auto _ : state) benchmark::DoNotOptimize(DecodeOldHead(AsBytes(key), AsBytes(row), &head));
}
BENCHMARK(OldHeadDecode);

void DualHeadEncode(benchmark::State& state) {
  const DualNode node = TypicalNode();
  const std::string key = EncodeU64Key(42);
  std::string row;
  for (auto _ : state) {
    row.clear();
    EncodeDualHead(AsBytes(key), {}, node, &row);
    benchmark::DoNotOptimize(row.data());
  }
}
BENCHMARK(DualHeadEncode);

void DualHeadDecode(benchmark::State& state) {
  const std::string key = EncodeU64Key(42);
  std::string row;
  EncodeDualHead(AsBytes(key), {}, TypicalNode(), &row);
  DualHead head;
  for (auto _ : state) benchmark::DoNotOptimize(DecodeDualHead(AsBytes(key), AsBytes(row), &head));
}
BENCHMARK(DualHeadDecode);

void RawCopyAndCrcOfAHead(benchmark::State& state) {
  const std::string from(kDualHeadSizeBytes, 'h');
  std::string to(from);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::DoNotOptimize(Crc32c(AsBytes(to)));
  }
}
BENCHMARK(RawCopyAndCrcOfAHead);

// The whole of what converting one stored head computes.
void ConvertOneHead(benchmark::State& state) {
  const std::string key = EncodeU64Key(42);
  const Memory memory = TypicalMemory();
  std::string old_row, dual_row;
  EncodeOldHead(AsBytes(key), {}, memory, &old_row);
  OldHead old_head;
  DualHead dual_head;
  for (auto _ : state) {
    if (!DecodeOldHead(AsBytes(key), AsBytes(old_row), &old_head).ok()) state.SkipWithError("row");
    compat::ToDualHead(old_head.memory, Uuid{}, {}, &dual_head.node);
    old_head.common.digest = RecordDigest(dual_head.node, memory.text);
    dual_row.clear();
    EncodeDualHead(AsBytes(key), old_head.common, dual_head.node, &dual_row);
    benchmark::DoNotOptimize(dual_row.data());
  }
}
BENCHMARK(ConvertOneHead);

void TextRowDecode(benchmark::State& state) {
  const std::string key = EncodeU64Key(42);
  std::string row;
  EncodeTextFields(AsBytes(key), TypicalMemory().text, &row);
  TextFields text;
  for (auto _ : state) {
    benchmark::DoNotOptimize(DecodeTextFields(AsBytes(key), AsBytes(row), &text));
  }
}
BENCHMARK(TextRowDecode);

void TimestampWrite(benchmark::State& state) {
  Timestamp time{1763751433, 123456789};
  char buffer[kTimestampSizeBytesMax];
  for (auto _ : state) {
    ++time.seconds;
    benchmark::DoNotOptimize(WriteTimestamp(time, buffer));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(TimestampWrite);

void TimestampParse(benchmark::State& state) {
  const std::string text = "2025-11-21T18:57:13.123456789Z";
  for (auto _ : state) benchmark::DoNotOptimize(ParseTimestamp(text));
}
BENCHMARK(TimestampParse);

void NodeUuidOfAShortId(benchmark::State& state) {
  const Result<SpaceId> space = SpaceId::Parse("default");
  const std::string id = "mem_0a1b2c3d";
  for (auto _ : state) benchmark::DoNotOptimize(NodeUuid(*space, id));
}
BENCHMARK(NodeUuidOfAShortId);

}  // namespace
}  // namespace engram
