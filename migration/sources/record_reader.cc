#include "migration/sources/record_reader.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/crc32c.h"

namespace engram::migration {
namespace {

using compat::kUpstreamHeaderSizeBytes;

// Bytes between two wanted records that are read along rather than skipped.
constexpr uint64_t kGapBytesMax = 16u << 10;

uint64_t End(const RecordRef& ref) {
  return ref.offset + kUpstreamHeaderSizeBytes + ref.payload_size_bytes;
}

}  // namespace

Status RecordReader::Load(const std::vector<RecordRef>& refs) {
  order_.resize(refs.size());
  std::iota(order_.begin(), order_.end(), 0u);
  auto place = [&](uint32_t i) { return std::make_tuple(refs[i].file, refs[i].offset); };
  if (!std::is_sorted(order_.begin(), order_.end(),
                      [&](uint32_t a, uint32_t b) { return place(a) < place(b); })) {
    std::sort(order_.begin(), order_.end(),
              [&](uint32_t a, uint32_t b) { return place(a) < place(b); });
  }
  places_.resize(refs.size());
  filled_ = 0;
  for (size_t first = 0; first < order_.size();) {
    size_t last = first + 1;
    while (last < order_.size() && refs[order_[last]].file == refs[order_[first]].file &&
           refs[order_[last]].offset <= End(refs[order_[last - 1]]) + kGapBytesMax) {
      ++last;
    }
    ENGRAM_TRY(ReadRun(refs, first, last));
    first = last;
  }
  return Status::Ok();
}

// Reads order_[first, last), which lie close together in one file, at once.
Status RecordReader::ReadRun(const std::vector<RecordRef>& refs, size_t first, size_t last) {
  const RecordRef& head = refs[order_[first]];
  uint64_t size = End(refs[order_[last - 1]]) - head.offset;
  if (buffer_.size() < filled_ + size) buffer_.resize(filled_ + size);
  File& file = index_.file(head.file);
  ENGRAM_ASSIGN_OR_RETURN(uint64_t count,
                          file.ReadAt(head.offset, std::span(buffer_).subspan(filled_, size)));
  for (size_t i = first; i < last; ++i) {
    const RecordRef& ref = refs[order_[i]];
    Place& place = places_[order_[i]];
    place.begin = filled_ + (ref.offset - head.offset) + kUpstreamHeaderSizeBytes;
    place.size = ref.payload_size_bytes;
    bool complete = End(ref) - head.offset <= count;
    if (!complete || Crc32c(Bytes(buffer_).subspan(place.begin, place.size)) != ref.payload_crc) {
      return Status::Corruption(file.path() + " changed while it was ingested: the record at " +
                                    std::to_string(ref.offset) + " is not what it was",
                                "stop whatever writes to the source and run again");
    }
  }
  filled_ += size;
  return Status::Ok();
}

}  // namespace engram::migration
