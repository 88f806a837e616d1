#include "wal/log_directory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

namespace engram::wal {
namespace {

constexpr std::string_view kSegmentSuffix = ".seg";
constexpr std::string_view kSpareSuffix = ".spare";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr size_t kNumberDigits = 16;

std::string NumberedPath(const std::string& directory, uint64_t number, std::string_view suffix) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name(kNumberDigits, '0');
  for (size_t i = kNumberDigits; i-- > 0; number >>= 4) name[i] = kDigits[number & 15];
  return JoinPath(directory, name.append(suffix));
}

// The number in "<16 lowercase hex><suffix>".
std::optional<uint64_t> ParseName(std::string_view name, std::string_view suffix) {
  if (name.size() != kNumberDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  const std::string_view digits = name.substr(0, kNumberDigits);
  if (digits.find_first_not_of("0123456789abcdef") != digits.npos) return std::nullopt;
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

// By a writer that releases segments while a follower lists them.
bool WasRemoved(const Status& status) { return status.code() == StatusCode::kNotFound; }

Result<SegmentFile> DescribeSegment(FileSystem& fs, const std::string& path, uint64_t number) {
  SegmentFile segment;
  segment.number = number;
  segment.path = path;
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kReadOnly));
  ENGRAM_ASSIGN_OR_RETURN(segment.file_size_bytes, file->Size());
  Result<SegmentHeader> header = ReadSegmentHeader(*file);
  if (header.ok() && header->segment != number) {
    segment.header_error =
        Status::Corruption(path + " at offset 32: segment number expected " +
                           std::to_string(number) + ", actual " + std::to_string(header->segment));
  } else if (header.ok()) {
    segment.header = *header;
  } else if (header.status().code() == StatusCode::kCorruption) {
    segment.header_error = header.status();
  } else {
    return header.status();
  }
  return segment;
}

}  // namespace

std::string SegmentPath(const std::string& directory, uint64_t number) {
  return NumberedPath(directory, number, kSegmentSuffix);
}

std::string SparePath(const std::string& directory, uint64_t serial) {
  return NumberedPath(directory, serial, kSpareSuffix);
}

Result<SegmentHeader> ReadSegmentHeader(File& file) {
  std::vector<uint8_t> page(kPageSizeBytes);
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t count, file.ReadAt(0, page));
  Result<SegmentHeader> header = DecodeSegmentHeader(Bytes(page).first(count));
  if (!header.ok()) return header.status().WithContext(file.path() + " at offset 0");
  return header;
}

Result<LogListing> ListLog(FileSystem& fs, const std::string& directory) {
  LogListing listing;
  auto entries = fs.List(directory);
  if (!entries.ok() && entries.status().code() == StatusCode::kNotFound) return listing;
  if (!entries.ok()) return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    const std::string path = JoinPath(directory, entry.name);
    if (auto number = ParseName(entry.name, kSegmentSuffix)) {
      auto segment = DescribeSegment(fs, path, *number);
      if (WasRemoved(segment.status())) continue;
      if (!segment.ok()) return segment.status();
      listing.segments.push_back(std::move(*segment));
    } else if (auto serial = ParseName(entry.name, kSpareSuffix)) {
      const auto info = fs.Stat(path);
      if (WasRemoved(info.status())) continue;
      if (!info.ok()) return info.status();
      listing.spares.push_back({*serial, path, info->size_bytes});
    } else if (entry.name.ends_with(kTemporarySuffix)) {
      listing.temporaries.push_back(path);
    }
  }
  return listing;
}

Result<std::optional<SegmentHeader>> GuessSegmentHeader(FileSystem& fs, const SegmentFile& file,
                                                        const Uuid& store_uuid,
                                                        uint64_t first_lsn) {
  SegmentHeader guess;
  guess.store_uuid = store_uuid;
  guess.segment = file.number;
  guess.size_bytes =
      std::min(file.file_size_bytes / kPageSizeBytes * kPageSizeBytes, kSegmentSizeBytesMax);
  guess.recycled = true;  // nothing is known about what is unwritten
  ENGRAM_ASSIGN_OR_RETURN(auto handle, fs.Open(file.path, OpenMode::kReadOnly));
  std::array<uint8_t, kGroupHeaderSizeBytes> bytes;
  for (uint64_t at = kPageSizeBytes; at < guess.size_bytes; at += kPageSizeBytes) {
    ENGRAM_ASSIGN_OR_RETURN(const uint64_t count, handle->ReadAt(at, bytes));
    if (count < bytes.size()) break;
    const auto group = std::bit_cast<GroupHeader>(bytes);
    const GroupPlace place{StoreTag(store_uuid), file.number, group.epoch, at, guess.size_bytes};
    if (!CheckGroupHeader(group, place).empty()) continue;
    guess.epoch = group.epoch;
    guess.checksum = group.chain;
    guess.first_lsn = std::max(first_lsn, group.first_lsn);
    return std::optional(guess);
  }
  return std::optional<SegmentHeader>();
}

}  // namespace engram::wal
