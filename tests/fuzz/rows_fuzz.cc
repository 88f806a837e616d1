// Every row decoder on arbitrary bytes, and on the same bytes under a right checksum: no crash, no
// allocation beyond the input's order of size, and what is accepted encodes to the same bytes.
#include <cstdlib>
#include <cstring>

#include "base/crc32c.h"
#include "engine/rows.h"

namespace {

using namespace engram;
using namespace engram::engine;

void Require(bool condition) {
  if (!condition) std::abort();
}

void DecodeAll(Bytes key, Bytes value) {
  const std::string_view original = AsView(value);
  std::string again;
  OldHead old_head;
  if (DecodeOldHead(key, value, &old_head).ok()) {
    EncodeOldHead(key, old_head.common, old_head.memory, &again);
    Require(again == original);
  }
  again.clear();
  DualHead dual_head;
  if (DecodeDualHead(key, value, &dual_head).ok()) {
    EncodeDualHead(key, dual_head.common, dual_head.node, &again);
    Require(again == original);
  }
  again.clear();
  Extension extension;
  if (DecodeExtension(key, value, &extension).ok()) {
    EncodeExtension(key, extension, &again);
    Require(again == original);
  }
  again.clear();
  TextFields text;
  if (DecodeTextFields(key, value, &text).ok()) {
    EncodeTextFields(key, text, &again);
    Require(again == original);
    DualNode node;
    RecordDigest(node, text);
  }
  again.clear();
  NodeKey owner;
  Bytes floats;
  if (DecodeEmbedding(key, value, &owner, &floats).ok()) {
    EncodeEmbedding(key, owner, floats, &again);
    Require(again == original);
    Embedding copy;
    Require(CopyEmbedding(key, value, &owner, &copy).ok());
    Require(std::memcmp(copy.data(), floats.data(), floats.size()) == 0);
  }
  again.clear();
  const Result<Bytes> checked = DecodeChecked(key, value);
  if (checked.ok()) {
    EncodeChecked(key, *checked, &again);
    Require(again == original);
  }
}

void CheckIdKey(std::string_view id) {
  const std::string key = EncodeIdKey(id);
  Require(!key.empty() && key.size() <= 511);
  Require(IdKeyIsTruncated(AsBytes(key)) || IdOfIdKey(AsBytes(key)) == id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string key = EncodeU64Key(42);
  const Bytes input(data, size);
  DecodeAll(AsBytes(key), input);
  std::string sealed(AsView(input));
  PutLe(&sealed, Crc32cExtend(Crc32c(AsBytes(key)), input));
  DecodeAll(AsBytes(key), AsBytes(sealed));
  CheckIdKey(AsView(input));
  return 0;
}
