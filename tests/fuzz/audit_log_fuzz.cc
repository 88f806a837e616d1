// The audit log, as it is and with its chain of hashes repaired, so that the fuzzer gets behind
// them: verification counts complete lines and reports anything else as a Status.
#include <algorithm>
#include <cstdlib>

#include "migration/checkpoint.h"
#include "tests/testing/memory_directory.h"

namespace {

using namespace engram;

constexpr char kPath[] = "migration/audit.log";

void Check(const std::string& text) {
  testing::MemoryDirectory fs({{kPath, text}});
  const auto chain = migration::VerifyAuditLog(fs, kPath);
  if (!chain.ok()) return;
  const auto lines = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  const bool torn = !text.empty() && text.back() != '\n';
  if (chain->lines != lines || chain->torn_tail != torn) std::abort();
}

// Each line of the input is the beginning of an entry; its predecessor and hash are added.
std::string Chained(std::string_view input) {
  std::string out;
  Sha256Digest last{};
  while (!input.empty()) {
    const size_t end = std::min(input.find('\n'), input.size());
    std::string line(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
    line += "\"prev\":\"" + ToHex(last) + "\",";
    last = Sha256Of(AsBytes(line));
    out += line + "\"hash\":\"" + ToHex(last) + "\"}\n";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Check(text);
  Check(Chained(text));
  return 0;
}
