// The log reader on hostile bytes: recovery, salvage, the tailer and inspection of a directory with
// up to two segments. It must not crash, read out of bounds, loop or allocate beyond its bounds,
// and what recovery delivers must be dense.
//
// Input: one byte of choices, then the segments' bytes, split at half. Choice bit 0: repair the
// checksums of the headers, so that the fuzzer gets behind them. Bit 1: one segment only.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/crc32c.h"
#include "tests/testing/memory_directory.h"
#include "wal/log.h"
#include "wal/log_directory.h"
#include "wal/log_format.h"

namespace engram::wal {
namespace {

constexpr size_t kInputBytesMax = 1u << 17;

Uuid StoreOf(const std::string& segment) {
  Uuid uuid;
  if (segment.size() >= 32) std::memcpy(uuid.bytes.data(), segment.data() + 16, 16);
  return uuid;
}

void RepairChecksums(std::string* segment) {
  if (segment->size() < kPageSizeBytes) return;
  auto* bytes = reinterpret_cast<uint8_t*>(segment->data());
  constexpr size_t kAt = offsetof(SegmentHeaderPage, checksum);
  StoreLe(bytes + kAt, Crc32c({bytes, kAt}));
  for (size_t at = kPageSizeBytes; at + kPageSizeBytes <= segment->size(); at += kPageSizeBytes) {
    if (LoadLe<uint32_t>(bytes + at) != kGroupMagic) continue;
    GroupHeader header;
    std::memcpy(&header, bytes + at, sizeof header);
    const uint64_t size = GroupSizeOnDisk(header.body_size_bytes);
    if (size > segment->size() - at) continue;
    SealGroupHeader(&header, {bytes + at + sizeof header, size - sizeof header});
    std::memcpy(bytes + at, &header, sizeof header);
  }
}

void Check(FileSystem& fs, const Uuid& store_uuid, bool salvage) {
  RecoverOptions options;
  options.directory = "log";
  options.store_uuid = store_uuid;
  options.salvage = salvage;
  uint64_t last = 0;
  const auto result = Recover(fs, options, [&](const LogRecord& record) {
    const bool in_order = salvage ? record.lsn.value > last : record.lsn.value == last + 1;
    if (!in_order || record.type == 0) std::abort();
    last = record.lsn.value;
    return Status::Ok();
  });
  if (result.ok() && result->last.value < last) std::abort();
}

void Follow(FileSystem& fs) {
  auto tailer = Tailer::Open(fs, "log", {});
  if (!tailer.ok()) return;
  uint64_t last = (*tailer)->position().next.value - 1;
  const auto polled = (*tailer)->Poll({UINT64_MAX}, 1000, [&](const LogRecord& record) {
    if (record.lsn.value != ++last) std::abort();
    return Status::Ok();
  });
  IgnoreError(polled.status(), "any refusal is fine");
}

void Run(const uint8_t* data, size_t size) {
  if (size < 1 || size > kInputBytesMax) return;
  const uint8_t choices = data[0];
  const std::string all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t half = all.size() / 2 / kPageSizeBytes * kPageSizeBytes;
  std::vector<std::string> segments;
  if (choices & 2) {
    segments = {all};
  } else {
    segments = {all.substr(0, half), all.substr(half)};
  }
  if (choices & 1) {
    for (std::string& segment : segments) RepairChecksums(&segment);
  }
  std::map<std::string, std::string> files;
  for (size_t i = 0; i < segments.size(); ++i) files[SegmentPath("log", i + 1)] = segments[i];
  testing::MemoryDirectory fs(files);
  Check(fs, StoreOf(segments[0]), false);
  Check(fs, StoreOf(segments[0]), true);
  Follow(fs);
  const Status inspected =
      InspectLog(fs, "log", [](const InspectedRecord&) { return Status::Ok(); });
  IgnoreError(inspected, "any refusal is fine");
}

}  // namespace
}  // namespace engram::wal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  engram::wal::Run(data, size);
  return 0;
}
