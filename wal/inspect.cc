// Lists what is physically in a log, damaged or not.
#include "wal/log.h"
#include "wal/log_directory.h"
#include "wal/segment_reader.h"

namespace engram::wal {
namespace {

constexpr uint64_t kReadAheadBytes = 1u << 20;
using Visitor = std::function<Status(const InspectedRecord&)>;

Status VisitGroup(const GroupRead& read, uint64_t offset_bytes, InspectedRecord* item,
                  const Visitor& visit) {
  item->damage.clear();
  item->record = {.lsn = {read.header.first_lsn}, .type = 0, .payload = {}};
  item->offset_bytes = offset_bytes;
  if (read.header.record_count == 0) return visit(*item);  // clean shutdown
  item->offset_bytes += kGroupHeaderSizeBytes;
  RecordCursor cursor(read.body);
  for (; cursor.Next(&item->record.type, &item->record.payload); ++item->record.lsn.value) {
    ENGRAM_TRY(visit(*item));
    item->offset_bytes += kRecordHeaderSizeBytes + item->record.payload.size();
  }
  return Status::Ok();
}

Status VisitDamage(std::string damage, uint64_t offset_bytes, uint64_t lsn, InspectedRecord* item,
                   const Visitor& visit) {
  item->offset_bytes = offset_bytes;
  item->record = {.lsn = {lsn}, .type = 0, .payload = {}};
  item->damage = std::move(damage);
  return visit(*item);
}

Status VisitGroups(SegmentReader& reader, InspectedRecord* item, const Visitor& visit) {
  uint64_t offset = kPageSizeBytes;
  GroupExpectation expected{reader.header().first_lsn, reader.header().checksum};
  for (;;) {
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read, reader.ReadGroup(offset, expected));
    if (read.state == GroupState::kValid) {
      ENGRAM_TRY(VisitGroup(read, offset, item, visit));
      offset = read.end_bytes;
      expected = {read.header.first_lsn + read.header.record_count, read.header.header_checksum};
      continue;
    }
    ENGRAM_ASSIGN_OR_RETURN(const auto next,
                            reader.FindGroup(offset + kPageSizeBytes, expected.first_lsn));
    if (!next && read.state != GroupState::kDamaged) return Status::Ok();
    const std::string reason = read.reason.empty() ? "nothing was written here" : read.reason;
    if (!next) return VisitDamage(reason, offset, expected.first_lsn, item, visit);
    ENGRAM_TRY(VisitDamage(reason + "; valid again at offset " + std::to_string(next->offset_bytes),
                           offset, expected.first_lsn, item, visit));
    offset = next->offset_bytes;
    expected = {next->header.first_lsn, next->header.chain};
  }
}

Status VisitSegment(FileSystem& fs, const SegmentFile& file, const Uuid& store_uuid,
                    const Visitor& visit) {
  InspectedRecord item;
  item.file = file.path;
  std::optional<SegmentHeader> header = file.header;
  if (!header) {
    ENGRAM_TRY(VisitDamage(file.header_error.message(), 0, 0, &item, visit));
    ENGRAM_ASSIGN_OR_RETURN(header, GuessSegmentHeader(fs, file, store_uuid, 0));
    if (!header) return Status::Ok();
  }
  item.epoch = header->epoch;
  ENGRAM_ASSIGN_OR_RETURN(auto handle, fs.Open(file.path, OpenMode::kReadOnly));
  SegmentReader reader(std::move(handle), *header, kReadAheadBytes);
  return VisitGroups(reader, &item, visit);
}

}  // namespace

Status InspectLog(FileSystem& fs, const std::string& directory, const Visitor& visit) {
  ENGRAM_ASSIGN_OR_RETURN(const LogListing listing, ListLog(fs, directory));
  Uuid store_uuid;
  for (const SegmentFile& file : listing.segments) {
    if (file.header) store_uuid = file.header->store_uuid;
  }
  for (const SegmentFile& file : listing.segments) {
    ENGRAM_TRY(VisitSegment(fs, file, store_uuid, visit));
  }
  return Status::Ok();
}

}  // namespace engram::wal
