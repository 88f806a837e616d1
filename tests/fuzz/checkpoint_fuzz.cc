// The checkpoint file, as it is and with size and SHA-256 repaired: what decodes encodes to the
// same bytes.
#include <cstdlib>

#include "migration/checkpoint.h"

namespace {

using namespace engram;

constexpr size_t kPrefixBytes = 16;  // magic, version, size of the body
constexpr size_t kHashBytes = 32;

void Check(Bytes bytes) {
  const auto checkpoint = migration::DecodeCheckpoint("checkpoint.bin", bytes);
  if (checkpoint.ok() && migration::EncodeCheckpoint(*checkpoint) != AsView(bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  Check(input);
  if (size < kPrefixBytes + kHashBytes) return 0;
  std::string sealed(AsView(input.first(size - kHashBytes)));
  StoreLe(sealed.data() + 12, static_cast<uint32_t>(sealed.size() - kPrefixBytes));
  PutBytes(&sealed, Sha256Of(AsBytes(sealed)));
  Check(AsBytes(sealed));
  return 0;
}
