// UUIDs and digests as text: what parses prints as the same text, and what is printed parses.
#include <cstdlib>

#include "base/coding.h"
#include "base/crypto.h"
#include "base/ids.h"

namespace {

using namespace engram;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const Result<Uuid> uuid = Uuid::Parse(AsView(input));
  if (uuid.ok()) Require(uuid->ToString() == AsView(input));
  const Result<Sha256Digest> digest = ParseSha256Hex(AsView(input));
  if (digest.ok()) Require(ToHex(*digest) == AsView(input));
  Uuid any;
  for (size_t i = 0; i < any.bytes.size() && i < size; ++i) any.bytes[i] = data[i];
  const Result<Uuid> parsed = Uuid::Parse(any.ToString());
  Require(parsed.ok() && *parsed == any);
  const Sha256Digest hash = Sha256Of(input);
  const Result<Sha256Digest> again = ParseSha256Hex(ToHex(hash));
  Require(again.ok() && *again == hash);
  return 0;
}
