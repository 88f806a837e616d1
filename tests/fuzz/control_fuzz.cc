// The control file, which another process may be writing or somebody may have changed: any bytes
// read as a state or as none.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/control_block.h"

constexpr size_t kSlotsOffset = 64;  // docs/format/control.md

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace engram::engine;
  if (DecodeControl({data, size}) && size < kControlFileSizeBytes) std::abort();
  // Behind a good header.
  std::string file = internal::NewControlFile({});
  std::memcpy(file.data() + kSlotsOffset, data, std::min(size, file.size() - kSlotsOffset));
  const auto state = DecodeControl(engram::AsBytes(file));
  if (state && DecodeControl(engram::AsBytes(file))->lsn != state->lsn) std::abort();
  return 0;
}
