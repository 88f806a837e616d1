// Reads one upstream log file front to back: yields every intact record and classifies everything
// else. Resynchronises past damage (engram-formats.md 2.9), so an untouched record is found
// whatever surrounds it. Holds one window of a few MB; a record larger than that is held while it
// is current.
#ifndef ENGRAM_MIGRATION_SOURCES_LOG_SCANNER_H_
#define ENGRAM_MIGRATION_SOURCES_LOG_SCANNER_H_

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "compat/upstream_codec.h"

namespace engram::migration {

enum class DamageKind : uint8_t {
  kTornHeader,       // the file ends inside a header
  kTornPayload,      // the file ends inside a payload whose header is good
  kZeroTail,         // zeros to the end of the file
  kHeaderChecksum,   // magic, wrong checksum
  kPayloadChecksum,  // good header, wrong payload checksum
  kOrphanHeader,     // good header, directly followed by the next one (a failed batch leaves it)
  kForeignBytes,     // no magic
};
std::string_view DamageKindName(DamageKind kind);  // as cli.md names it: "torn-header", ...

// A window over a file that moves forward, and back a little, with few reads.
class FileWindow {
 public:
  FileWindow(File& file, uint64_t size_bytes, uint64_t capacity_bytes,
             const std::atomic<bool>* cancel);
  // The bytes [offset, offset+size), cut at the end of the file. Valid until the next call.
  // kCancelled instead of a read once `cancel` is set.
  Result<Bytes> Get(uint64_t offset, uint64_t size);
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t capacity_bytes() const { return capacity_bytes_; }

 private:
  File& file_;
  const uint64_t size_bytes_;
  const uint64_t capacity_bytes_;
  const std::atomic<bool>* const cancel_;  // may be null
  std::vector<uint8_t> buffer_;
  uint64_t start_ = 0;  // file offset of buffer_[0]
  uint64_t filled_ = 0;
};

class LogScanner {
 public:
  struct Options {
    uint64_t window_size_bytes = 2u << 20;
    const std::atomic<bool>* cancel = nullptr;
  };
  struct Event {
    bool is_record = false;
    uint64_t offset = 0;
    uint64_t length = 0;  // header and payload, or the damaged stretch
    // Records only. `bytes` is header and payload, borrowed until the next call of Next.
    compat::UpstreamHeader header;
    Bytes bytes;
    // Damage only.
    DamageKind kind = DamageKind::kForeignBytes;
    Bytes payload() const { return bytes.subspan(compat::kUpstreamHeaderSizeBytes); }
  };

  // Scans the first `size_bytes` bytes of `file`, which must outlive the scanner.
  LogScanner(File& file, uint64_t size_bytes, const Options& options);
  // The next record or damaged stretch, in file order and without gaps; false at the end. An error
  // is one of the operating system, or kCancelled.
  Result<bool> Next(Event* out);
  uint64_t position() const { return position_; }

 private:
  struct Header {
    bool fits = false;  // 64 bytes are there
    compat::HeaderCheck check = compat::HeaderCheck::kNoMagic;
    compat::UpstreamHeader value;
    uint64_t end(uint64_t offset) const {
      return offset + compat::kUpstreamHeaderSizeBytes + value.payload_size_bytes;
    }
  };
  Result<Header> HeaderAt(uint64_t offset);
  Result<bool> PayloadIsGood(uint64_t offset, const compat::UpstreamHeader& header);
  Result<bool> ZeroToEnd(uint64_t offset);
  Result<bool> ClaimedPayloadIsGood(uint64_t offset, uint64_t* end);
  Result<bool> IsBorder(uint64_t offset);
  Result<bool> StartsRecord(uint64_t offset);
  Result<uint64_t> FindSync(uint64_t from, uint64_t end);
  Result<uint64_t> FindChain(uint64_t from, uint64_t end);
  Result<uint64_t> NextMagic(uint64_t from, uint64_t end);

  Status Classify(Event* out);
  Status ClassifyTail(Event* out);
  Status ClassifyForeign(Event* out);
  Status ClassifyBadHeader(Event* out);
  Status ClassifyBadPayload(const Header& header, Event* out);
  Status YieldRecord(const Header& header, Event* out);

  FileWindow window_;
  uint64_t position_ = 0;
  uint64_t speculative_bytes_left_;  // see ClaimedPayloadIsGood
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_LOG_SCANNER_H_
