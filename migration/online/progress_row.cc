#include "migration/online/progress_row.h"

namespace engram::migration::online {
namespace {

constexpr uint32_t kRowVersion = 1;
constexpr uint32_t kWholeHistory = 1;
constexpr uint32_t kOneMorePass = 2;
constexpr size_t kPositionSizeBytes = 60;

Status Unsupported(const char* what, uint32_t found, uint32_t known) {
  return Status::Unsupported("the meta row migration.online has " + std::string(what) + " " +
                                 std::to_string(found) + ", this build knows " +
                                 std::to_string(known),
                             "use the version of engram that wrote it");
}

}  // namespace

std::string Progress::EncodeRow() const {
  std::string out;
  PutLe(&out, kRowVersion);
  PutLe(&out, kConversionFunctionId);
  out += wal::EncodeTailPosition(position);
  for (uint64_t value : {max_key, seq_min.value, converted, quarantined, verified.value}) {
    PutLe(&out, value);
  }
  PutLe(&out, (whole_history ? kWholeHistory : 0) | (one_more_pass ? kOneMorePass : 0));
  return out;
}

Result<Progress> Progress::DecodeRow(std::string_view row) {
  ByteReader in(AsBytes(row));
  uint32_t version = 0;
  uint32_t function = 0;
  uint32_t flags = 0;
  Bytes position;
  Progress out;
  const bool begun = in.ReadLe(&version) && in.ReadLe(&function);
  if (begun && version != kRowVersion) return Unsupported("version", version, kRowVersion);
  if (begun && function != kConversionFunctionId) {
    return Unsupported("conversion function", function, kConversionFunctionId);
  }
  const bool whole = begun && in.ReadBytes(kPositionSizeBytes, &position) &&
                     in.ReadLe(&out.max_key) && in.ReadLe(&out.seq_min.value) &&
                     in.ReadLe(&out.converted) && in.ReadLe(&out.quarantined) &&
                     in.ReadLe(&out.verified.value) && in.ReadLe(&flags) && in.remaining() == 0 &&
                     flags <= (kWholeHistory | kOneMorePass);
  if (!whole) {
    return Status::Corruption("the meta row migration.online has " + std::to_string(row.size()) +
                                  " bytes or a field that it can not have",
                              "run engram verify on this space");
  }
  ENGRAM_ASSIGN_OR_RETURN(out.position, wal::DecodeTailPosition(position));
  out.whole_history = (flags & kWholeHistory) != 0;
  out.one_more_pass = (flags & kOneMorePass) != 0;
  return out;
}

Result<std::optional<Progress>> ReadProgress(engine::ReadView& view) {
  ENGRAM_ASSIGN_OR_RETURN(const auto row, view.Meta(kProgressRow));
  if (!row) return std::optional<Progress>();
  ENGRAM_ASSIGN_OR_RETURN(Progress progress, Progress::DecodeRow(*row));
  ENGRAM_ASSIGN_OR_RETURN(const auto receipts, view.Meta(kOnlineReceiptsRow));
  if (receipts) {
    ENGRAM_ASSIGN_OR_RETURN(progress.receipts, CoverageLedger::Decode(AsBytes(*receipts)));
  }
  return std::optional<Progress>(std::move(progress));
}

}  // namespace engram::migration::online
