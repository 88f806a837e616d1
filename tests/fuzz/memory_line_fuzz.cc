// Lines of `memory put` and `memory delete`: any text is a record or a Status, and a record can be
// shown to the engine.
#include <cstdlib>

#include "base/coding.h"
#include "plugin/loader/memory_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace engram;
  const std::string_view line = AsView(Bytes(data, size));
  const auto input = plugin::ParseMemoryLine(line, "2024-02-29T12:00:00Z");
  if (input.ok()) {
    const plugin::MemoryInputView view(*input);
    if (view.memory().struct_size != sizeof(engram_se_memory)) std::abort();
  }
  IgnoreError(plugin::ParseIdLine(line).status(), "any refusal is fine");
  return 0;
}
