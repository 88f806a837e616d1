#include "wal/log_format.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"

namespace engram::wal {
namespace {

template <typename T>
Bytes BytesOf(const T& object, uint64_t size_bytes) {
  return {reinterpret_cast<const uint8_t*>(&object), size_bytes};
}

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string Mismatch(const char* what, uint64_t expected, uint64_t actual) {
  return std::string(what) + " expected " + std::to_string(expected) + ", actual " +
         std::to_string(actual);
}

std::string MismatchHex(const char* what, uint64_t expected, uint64_t actual) {
  return std::string(what) + " expected " + Hex(expected) + ", actual " + Hex(actual);
}

Status BadHeader(const std::string& what) { return Status::Corruption("segment header: " + what); }

Status CheckSegmentBounds(const SegmentHeaderPage& page) {
  const bool size_ok = page.size_bytes % kPageSizeBytes == 0 &&
                       page.size_bytes >= kSegmentSizeBytesMin &&
                       page.size_bytes <= kSegmentSizeBytesMax;
  if (!size_ok) return BadHeader("impossible segment size " + std::to_string(page.size_bytes));
  if (page.segment == 0 || page.epoch == 0 || page.first_lsn == 0) {
    return BadHeader("segment number, epoch and first LSN must not be 0");
  }
  return Status::Ok();
}

}  // namespace

uint64_t StoreTag(const Uuid& store_uuid) { return LoadLe<uint64_t>(store_uuid.bytes.data()); }

SegmentHeaderPage EncodeSegmentHeader(SegmentHeader* header) {
  SegmentHeaderPage page{};
  page.magic = kSegmentMagic;
  page.version = kLogVersion;
  page.flags = header->recycled ? kSegmentFlagRecycled : 0;
  page.store_uuid = header->store_uuid.bytes;
  page.segment = header->segment;
  page.epoch = header->epoch;
  page.first_lsn = header->first_lsn;
  page.previous_epoch = header->previous_epoch;
  page.previous_end_bytes = header->previous_end_bytes;
  page.size_bytes = header->size_bytes;
  page.previous_chain = header->previous_chain;
  page.checksum = Crc32c(BytesOf(page, offsetof(SegmentHeaderPage, checksum)));
  header->checksum = page.checksum;
  return page;
}

Result<SegmentHeader> DecodeSegmentHeader(Bytes bytes) {
  if (bytes.size() < kPageSizeBytes) {
    return BadHeader(Mismatch("bytes", kPageSizeBytes, bytes.size()));
  }
  SegmentHeaderPage page;
  std::memcpy(&page, bytes.data(), sizeof page);
  if (page.magic != kSegmentMagic) {
    return BadHeader(MismatchHex("magic", kSegmentMagic, page.magic));
  }
  const uint32_t checksum = Crc32c(bytes.first(offsetof(SegmentHeaderPage, checksum)));
  if (page.checksum != checksum) {
    return BadHeader(MismatchHex("checksum", checksum, page.checksum));
  }
  if (page.version != kLogVersion || (page.flags & ~kSegmentFlagRecycled) != 0) {
    return Status::Unsupported("log format version " + std::to_string(page.version) + " flags " +
                                   Hex(page.flags) + "; this program reads version " +
                                   std::to_string(kLogVersion),
                               "use the program that wrote it, or a newer one");
  }
  ENGRAM_TRY(CheckSegmentBounds(page));
  SegmentHeader header;
  header.store_uuid.bytes = page.store_uuid;
  header.segment = page.segment;
  header.epoch = page.epoch;
  header.first_lsn = page.first_lsn;
  header.previous_epoch = page.previous_epoch;
  header.previous_end_bytes = page.previous_end_bytes;
  header.size_bytes = page.size_bytes;
  header.previous_chain = page.previous_chain;
  header.recycled = (page.flags & kSegmentFlagRecycled) != 0;
  header.checksum = page.checksum;
  return header;
}

void SealGroupHeader(GroupHeader* header, Bytes body_and_padding) {
  SealGroupHeader(header, Crc32c(body_and_padding));
}

void SealGroupHeader(GroupHeader* header, uint32_t body_checksum) {
  header->magic = kGroupMagic;
  header->body_checksum = body_checksum;
  header->header_checksum = Crc32c(BytesOf(*header, offsetof(GroupHeader, header_checksum)));
}

std::string CheckGroupHeader(const GroupHeader& header, const GroupPlace& place) {
  if (header.magic != kGroupMagic) return MismatchHex("group magic", kGroupMagic, header.magic);
  const uint32_t checksum = Crc32c(BytesOf(header, offsetof(GroupHeader, header_checksum)));
  if (header.header_checksum != checksum) {
    return MismatchHex("group header checksum", checksum, header.header_checksum);
  }
  if (header.store != place.store) return MismatchHex("store", place.store, header.store);
  if (header.segment != place.segment) return Mismatch("segment", place.segment, header.segment);
  if (header.epoch != place.epoch) return Mismatch("epoch", place.epoch, header.epoch);
  const uint64_t page = place.offset_bytes / kPageSizeBytes;
  if (header.page != page) return Mismatch("page", page, header.page);
  if ((header.flags & ~kGroupFlagCleanShutdown) != 0) return "unknown group flags";
  const uint64_t room = place.segment_size_bytes - place.offset_bytes - kGroupHeaderSizeBytes;
  if (header.body_size_bytes > std::min<uint64_t>(room, kGroupBodySizeBytesMax)) {
    return "body size " + std::to_string(header.body_size_bytes) + " is beyond the segment";
  }
  if (header.record_count > header.body_size_bytes / kRecordHeaderSizeBytes) {
    return "record count " + std::to_string(header.record_count) + " is beyond the body";
  }
  const bool clean = (header.flags & kGroupFlagCleanShutdown) != 0;
  if (clean != (header.record_count == 0) || (clean && header.body_size_bytes != 0)) {
    return "clean-shutdown flag and record count disagree";
  }
  if (header.first_lsn > UINT64_MAX - header.record_count) return "LSN overflow";
  return "";
}

std::string CheckGroupOrder(const GroupHeader& header, const GroupExpectation& expected) {
  if (header.first_lsn != expected.first_lsn) {
    return Mismatch("first LSN", expected.first_lsn, header.first_lsn);
  }
  if (header.durable_lsn >= header.first_lsn) return "durable LSN is not below the first LSN";
  if (header.chain != expected.chain) return MismatchHex("chain", expected.chain, header.chain);
  return "";
}

std::string CheckGroupBody(const GroupHeader& header, Bytes body_and_padding) {
  const uint32_t checksum = Crc32c(body_and_padding);
  if (checksum != header.body_checksum) {
    return MismatchHex("body checksum", header.body_checksum, checksum);
  }
  RecordCursor cursor(body_and_padding.first(header.body_size_bytes));
  uint64_t count = 0;
  uint8_t type;
  Bytes payload;
  while (cursor.Next(&type, &payload)) ++count;
  if (cursor.damaged()) return "record " + std::to_string(count) + " of the group is impossible";
  if (count != header.record_count) return Mismatch("records", header.record_count, count);
  return "";
}

bool IsWriteAttempt(const GroupHeader& header, const GroupPlace& place,
                    const GroupExpectation& expected) {
  return (header.segment == place.segment) + (header.first_lsn == expected.first_lsn) +
             (header.chain == expected.chain) >=
         2;
}

bool RecordCursor::Next(uint8_t* type, Bytes* payload) {
  if (rest_.empty() || damaged_) return false;
  RecordHeader header;
  damaged_ = true;
  if (rest_.size() < sizeof header) return false;
  std::memcpy(&header, rest_.data(), sizeof header);
  const bool zeros = header.zeros == std::array<uint8_t, 3>{};
  if (header.type == 0 || !zeros || header.payload_size_bytes > kPayloadSizeBytesMax) return false;
  if (header.payload_size_bytes > rest_.size() - sizeof header) return false;
  damaged_ = false;
  *type = header.type;
  *payload = rest_.subspan(sizeof header, header.payload_size_bytes);
  rest_ = rest_.subspan(sizeof header + header.payload_size_bytes);
  return true;
}

}  // namespace engram::wal
