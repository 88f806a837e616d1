// The STORE file, as it is and under a right checksum: a store that is named is named the same
// after a rewrite.
#include <cstdlib>

#include "base/crc32c.h"
#include "engine/internal/store_file.h"

namespace {

using namespace engram;

void Check(Bytes bytes) {
  const auto file = engine::DecodeStoreFile("STORE", bytes);
  if (!file.ok()) return;
  const std::string rewritten = engine::EncodeStoreFile(*file);
  const auto again = engine::DecodeStoreFile("STORE", AsBytes(rewritten));
  if (!again.ok() || again->store_uuid != file->store_uuid ||
      again->generation != file->generation) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  Check(input);
  std::string sealed(AsView(input));
  sealed.resize(60);
  PutLe(&sealed, Crc32c(AsBytes(sealed)));
  Check(AsBytes(sealed));
  return 0;
}
