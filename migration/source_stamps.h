// Whether the files of a source are still those that were read, as far as the file system knows.
// Format: docs/format/ingest.md.
#ifndef ENGRAM_MIGRATION_SOURCE_STAMPS_H_
#define ENGRAM_MIGRATION_SOURCE_STAMPS_H_

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/store.h"
#include "migration/sources/source.h"

namespace engram::migration {

struct FileStamp {
  std::string path;  // below the source directory
  uint64_t size_bytes = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

std::string StampsRowName(uint32_t source_number);

// Sorted by path. Empty where a later change might not show: the file system knows no times, or a
// file changed within the last two seconds.
Result<std::optional<std::vector<FileStamp>>> TakeStamps(FileSystem& fs, Clock& clock,
                                                         const SourceSpace& space);
std::string EncodeStamps(const std::vector<FileStamp>& stamps);

// The number of the known source that was taken in whole from `directory` and whose stamps are
// `stamps`; 0 if there is none.
Result<uint32_t> FindUnchanged(engine::ReadView& view, const std::string& directory,
                               const std::vector<FileStamp>& stamps);

// Leaves the stamps with the source, durably, unless they are there already.
Status KeepStamps(engine::Store& store, uint32_t source_number,
                  const std::vector<FileStamp>& stamps);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCE_STAMPS_H_
