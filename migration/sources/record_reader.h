// Reads indexed records back for pass 2: many at a time, neighbours in one read, each checked
// again.
#ifndef ENGRAM_MIGRATION_SOURCES_RECORD_READER_H_
#define ENGRAM_MIGRATION_SOURCES_RECORD_READER_H_

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "migration/sources/source_index.h"

namespace engram::migration {

// One per thread.
class RecordReader {
 public:
  explicit RecordReader(const SourceIndex& index) : index_(index) {}
  // Reads the records of `refs`, in any order, into memory. kCorruption if the source no longer has
  // the bytes that were indexed.
  Status Load(const std::vector<RecordRef>& refs);
  // The payload of refs[i] of the last Load, valid until the next one.
  Bytes payload(size_t i) const {
    return Bytes(buffer_).subspan(places_[i].begin, places_[i].size);
  }
  // Header and payload.
  Bytes record(size_t i) const {
    uint64_t header = compat::kUpstreamHeaderSizeBytes;
    return Bytes(buffer_).subspan(places_[i].begin - header, places_[i].size + header);
  }

 private:
  struct Place {
    uint64_t begin = 0;  // of the payload in buffer_
    uint64_t size = 0;
  };
  Status ReadRun(const std::vector<RecordRef>& refs, size_t first, size_t last);
  const SourceIndex& index_;
  std::vector<uint32_t> order_;  // indices into refs, by file and offset
  std::vector<Place> places_;
  std::vector<uint8_t> buffer_;
  uint64_t filled_ = 0;
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_RECORD_READER_H_
