// The scanner covers any bytes without gap or overlap, and yields only records that are intact.
#include <cstdlib>
#include <string>

#include "base/crc32c.h"
#include "migration/sources/log_scanner.h"
#include "tests/testing/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  engram::testing::MemoryFile file(std::string(reinterpret_cast<const char*>(data), size));
  engram::migration::LogScanner scanner(file, size, {.window_size_bytes = 4096});
  engram::migration::LogScanner::Event event;
  uint64_t position = 0;
  while (true) {
    engram::Result<bool> more = scanner.Next(&event);
    if (!more.ok()) std::abort();
    if (!*more) break;
    if (event.offset != position || event.length == 0) std::abort();
    position += event.length;
    if (event.is_record && engram::Crc32c(event.payload()) != event.header.payload_crc)
      std::abort();
  }
  if (position != size) std::abort();
  return 0;
}
