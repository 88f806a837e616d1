// The time parser accepts a text only if the writer prints exactly that text for the value; and
// every value that the input can be read as has a text within the bound.
#include <cstdlib>

#include "base/coding.h"
#include "engine/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace engram;
  using namespace engram::engine;
  const std::string_view text = AsView(Bytes(data, size));
  const Result<Timestamp> parsed = ParseTimestamp(text);
  if (parsed.ok() && FormatTimestamp(*parsed) != text) std::abort();
  Timestamp any;
  if (size >= 12) any = {LoadLe<int64_t>(data), LoadLe<uint32_t>(data + 8)};
  if (FormatTimestamp(any).size() > kTimestampSizeBytesMax) std::abort();
  return 0;
}
