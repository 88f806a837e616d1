#include "migration/source_stamps.h"

#include <algorithm>

#include "migration/source_registry.h"

namespace engram::migration {
namespace {

constexpr uint32_t kRowVersion = 1;
// Clocks of file systems tick in milliseconds; two seconds are more than any of them needs.
constexpr int64_t kSettledNs = 2'000'000'000;

}  // namespace

std::string StampsRowName(uint32_t source_number) {
  return SourceRowName(source_number) + ".stamps";
}

Result<std::optional<std::vector<FileStamp>>> TakeStamps(FileSystem& fs, Clock& clock,
                                                         const SourceSpace& space) {
  std::vector<FileStamp> stamps;
  const int64_t now_ns = clock.WallSeconds() * 1'000'000'000 + clock.WallNanos();
  for (const SourceFile& file : space.files) {
    ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(file.path));
    if (info.modified_ns == 0 || info.changed_ns > now_ns - kSettledNs) {
      return std::optional<std::vector<FileStamp>>();
    }
    stamps.push_back({file.relative_path, info.size_bytes, info.device, info.inode,
                      info.modified_ns, info.changed_ns});
  }
  std::sort(stamps.begin(), stamps.end(),
            [](const FileStamp& a, const FileStamp& b) { return a.path < b.path; });
  return std::optional<std::vector<FileStamp>>(std::move(stamps));
}

std::string EncodeStamps(const std::vector<FileStamp>& stamps) {
  std::string out;
  PutLe(&out, kRowVersion);
  PutLe(&out, static_cast<uint32_t>(stamps.size()));
  for (const FileStamp& stamp : stamps) {
    PutLe(&out, static_cast<uint32_t>(stamp.path.size()));
    out += stamp.path;
    PutLe(&out, stamp.size_bytes);
    PutLe(&out, stamp.device);
    PutLe(&out, stamp.inode);
    PutLe(&out, static_cast<uint64_t>(stamp.modified_ns));
    PutLe(&out, static_cast<uint64_t>(stamp.changed_ns));
  }
  return out;
}

// Equal stamps have one encoding: the row need not be decoded.
Result<uint32_t> FindUnchanged(engine::ReadView& view, const std::string& directory,
                               const std::vector<FileStamp>& stamps) {
  ENGRAM_ASSIGN_OR_RETURN(const auto known, ReadKnownSources(view));
  const std::string wanted = EncodeStamps(stamps);
  for (const KnownSource& source : known) {
    if (!source.complete || source.directory != directory) continue;
    ENGRAM_ASSIGN_OR_RETURN(const auto row, view.Meta(StampsRowName(source.number)));
    if (row && *row == wanted) return source.number;
  }
  return uint32_t{0};
}

Status KeepStamps(engine::Store& store, uint32_t source_number,
                  const std::vector<FileStamp>& stamps) {
  return KeepMeta(store, StampsRowName(source_number), EncodeStamps(stamps));
}

}  // namespace engram::migration
