#include "base/file_system.h"

#include <cerrno>
#include <vector>

namespace engram {

bool Exists(FileSystem& fs, const std::string& path) { return fs.Stat(path).ok(); }

Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t size_bytes_max) {
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kReadOnly));
  ENGRAM_ASSIGN_OR_RETURN(uint64_t size, file->Size());
  if (size > size_bytes_max) {
    return Status::Corruption(path + ": the file has " + std::to_string(size) +
                              " bytes, expected at most " + std::to_string(size_bytes_max));
  }
  std::string contents(size, '\0');
  auto* data = reinterpret_cast<uint8_t*>(contents.data());
  ENGRAM_ASSIGN_OR_RETURN(uint64_t read, file->ReadAt(0, {data, contents.size()}));
  contents.resize(read);
  return contents;
}

namespace {

Status WriteWholeFile(FileSystem& fs, const std::string& path, Bytes contents) {
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kCreate));
  ENGRAM_TRY(file->Truncate(0));  // what an interrupted call left behind
  ENGRAM_TRY(file->WriteAt(0, contents));
  return file->Sync();
}

}  // namespace

Status ReplaceFileDurably(FileSystem& fs, const std::string& path, Bytes contents) {
  const std::string temporary = path + ".tmp";
  Status status = WriteWholeFile(fs, temporary, contents);
  if (status.ok()) status = fs.Rename(temporary, path);
  if (!status.ok()) {
    IgnoreError(fs.Unlink(temporary), "the error that is reported matters, not the leftover");
    return status;
  }
  return fs.SyncDirectory(ParentPath(path));
}

Status WriteCachedAgain(File& file, uint64_t offset, uint64_t size_bytes) {
  std::vector<uint8_t> bytes(size_bytes);
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t size, file.ReadAt(offset, bytes));
  return file.WriteAt(offset, Bytes(bytes).first(size));
}

Status CreateDirectories(FileSystem& fs, const std::string& path) {
  const std::string parent = ParentPath(path);
  auto info = fs.Stat(path);
  if (info.ok() && info->is_directory) {
    // Whoever created it may have been killed before the flush. Who may not even read the parent
    // has not created anything in it.
    Status flushed = fs.SyncDirectory(parent);
    return flushed.os_errno() == EACCES ? Status::Ok() : flushed;
  }
  if (parent != path) ENGRAM_TRY(CreateDirectories(fs, parent));
  ENGRAM_TRY(fs.CreateDirectory(path));
  return fs.SyncDirectory(parent);
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

std::string ParentPath(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  while (slash > 0 && path[slash - 1] == '/') --slash;
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace engram
