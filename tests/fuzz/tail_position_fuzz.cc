// The stored position of a tailer, as it is and under a right checksum: what decodes encodes to the
// same bytes.
#include <cstdlib>

#include "base/crc32c.h"
#include "wal/log.h"

namespace {

using namespace engram;

void Check(Bytes bytes) {
  const Result<wal::TailPosition> position = wal::DecodeTailPosition(bytes);
  if (position.ok() && wal::EncodeTailPosition(*position) != AsView(bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  Check(input);
  std::string sealed(AsView(input));
  sealed.resize(56);
  PutLe(&sealed, Crc32c(AsBytes(sealed)));
  Check(AsBytes(sealed));
  return 0;
}
