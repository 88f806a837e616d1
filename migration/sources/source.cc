#include "migration/sources/source.h"

#include <algorithm>
#include <map>

#include "base/ids.h"
#include "base/utf8.h"

namespace engram::migration {
namespace {

constexpr std::string_view kLogPrefix = "wal-";
constexpr std::string_view kLogSuffix = ".log";
constexpr std::string_view kArchivePrefix = ".archive-";
constexpr std::string_view kWalDirectory = "wal";

bool IsLogName(std::string_view name) {
  return name.size() > kLogPrefix.size() + kLogSuffix.size() && name.starts_with(kLogPrefix) &&
         name.ends_with(kLogSuffix);
}

// Sorts log names by their hex number, whatever its length; names without one come last, by bytes.
struct LogOrder {
  bool is_number = false;
  std::string digits;  // without leading zeros, lower case
  std::string name;
  auto Key() const { return std::make_tuple(!is_number, digits.size(), digits, name); }
};

LogOrder OrderOf(const std::string& name) {
  LogOrder order{true, "", name};
  std::string_view middle = name;
  middle.remove_prefix(kLogPrefix.size());
  middle.remove_suffix(kLogSuffix.size());
  for (char c : middle) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return {false, "", name};
    if (c != '0' || !order.digits.empty()) order.digits.push_back(c);
  }
  return order;
}

class Discovery {
 public:
  // `skipped` outlives it.
  Discovery(FileSystem& fs, const std::string& directory, std::vector<std::string>* skipped)
      : fs_(fs), directory_(directory), skipped_(*skipped) {}

  void Skip(const std::string& relative, std::string_view reason) {
    skipped_.push_back(PathText(relative) + ": " + std::string(reason));
  }

  // What is listed and not there: a link to a disk that is not mounted.
  void SkipLink(const std::string& relative) {
    Skip(relative, "a link to a directory that is not there");
  }
  Status SkipLinkIn(const std::string& relative, std::string_view name) {
    ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs_.List(Full(relative)));
    for (const DirectoryEntry& entry : entries) {
      if (entry.name == name) SkipLink(Below(relative, entry.name));
    }
    return Status::Ok();
  }

  // Appends the log files of one `wal` directory: archives by path bytes, then live files.
  Status AddWalDirectory(const std::string& relative, std::vector<SourceFile>* out) {
    ENGRAM_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, fs_.List(Full(relative)));
    for (const DirectoryEntry& entry : entries) {  // sorted by name bytes
      if (!entry.is_directory || !entry.name.starts_with(kArchivePrefix)) continue;
      std::string archive = Below(relative, entry.name);
      ENGRAM_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> archived, fs_.List(Full(archive)));
      ENGRAM_TRY(AddLogs(archive, archived, out));
    }
    return AddLogs(relative, entries, out);
  }

  std::string Full(const std::string& relative) const {
    return relative.empty() ? directory_ : JoinPath(directory_, relative);
  }
  static std::string Below(const std::string& relative, const std::string& name) {
    return relative.empty() ? name : JoinPath(relative, name);
  }

 private:
  Status AddLogs(const std::string& relative, const std::vector<DirectoryEntry>& entries,
                 std::vector<SourceFile>* out) {
    std::vector<LogOrder> names;
    for (const DirectoryEntry& entry : entries) {
      if (!IsLogName(entry.name)) continue;
      if (entry.is_directory) {
        Skip(Below(relative, entry.name), "has the name of a log and is a directory");
      } else {
        names.push_back(OrderOf(entry.name));
      }
    }
    std::sort(names.begin(), names.end(),
              [](const LogOrder& a, const LogOrder& b) { return a.Key() < b.Key(); });
    for (const LogOrder& order : names) {
      SourceFile file;
      file.relative_path = Below(relative, order.name);
      file.path = Full(file.relative_path);
      Result<FileInfo> info = fs_.Stat(file.path);
      if (info.status().code() == StatusCode::kNotFound) {
        Skip(file.relative_path, "a link to a file that is not there");
        continue;
      }
      ENGRAM_TRY(info.status());
      if (!info->is_regular) {
        Skip(file.relative_path, "has the name of a log and is no regular file");
        continue;
      }
      file.size_bytes = info->size_bytes;
      out->push_back(std::move(file));
    }
    return Status::Ok();
  }

  FileSystem& fs_;
  const std::string& directory_;
  std::vector<std::string>& skipped_;
};

Status NoLog(const std::string& directory) {
  return Status::NotFound(
      "no upstream log in " + directory +
          ": expected <space>/wal/wal-*.log, wal/wal-*.log or wal-*.log there",
      "give the upstream data root (what ENGRAM_DATA_DIR named, by default engram-data), or the "
      "directory that holds its wal-*.log files");
}

Status CheckDirectory(FileSystem& fs, const std::string& directory) {
  if (directory.empty()) {
    return Status::InvalidArgument("the path of the source is empty",
                                   "give the path of an upstream data root with --source");
  }
  Result<FileInfo> info = fs.Stat(directory);
  if (!info.ok()) {
    if (info.status().code() != StatusCode::kNotFound) {
      return info.status().WithHint("check that you may read " + directory);
    }
    return Status::NotFound("the source " + directory + " does not exist",
                            "give the path of an upstream data root or of its log directory");
  }
  if (info->is_directory) return Status::Ok();
  return Status::InvalidArgument("the source " + directory + " is not a directory",
                                 "give the directory that holds the file, not the file itself");
}

using SpaceFiles = std::map<std::string, std::vector<SourceFile>>;

// The spaces' own directories below a data root. The legacy wal/ is not one of them.
Status AddSpaceDirectories(Discovery& discovery, FileSystem& fs,
                           const std::vector<DirectoryEntry>& entries, SpaceFiles* spaces) {
  for (const DirectoryEntry& entry : entries) {
    Result<SpaceId> space = SpaceId::Parse(entry.name);
    if (!entry.is_directory) {
      const Result<FileInfo> target = fs.Stat(discovery.Full(entry.name));
      const bool gone = target.status().code() == StatusCode::kNotFound;
      if (space.ok() && gone) discovery.SkipLink(entry.name);
      continue;
    }
    std::string wal = Discovery::Below(entry.name, std::string(kWalDirectory));
    Result<FileInfo> info = fs.Stat(discovery.Full(wal));
    Status looked = info.status();
    if (looked.code() == StatusCode::kNotFound) {
      looked = discovery.SkipLinkIn(entry.name, kWalDirectory);
    }
    if (!looked.ok()) {
      if (space.ok()) return looked;
      discovery.Skip(entry.name, looked.message());
      continue;
    }
    if (!info.ok() || !info->is_directory) continue;
    std::vector<SourceFile> files;
    ENGRAM_TRY(discovery.AddWalDirectory(wal, &files));
    if (files.empty()) continue;
    if (!space.ok()) {
      discovery.Skip(entry.name, space.status().message());
      continue;
    }
    std::vector<SourceFile>& all = (*spaces)[space->str()];
    all.insert(all.end(), std::make_move_iterator(files.begin()),
               std::make_move_iterator(files.end()));
  }
  return Status::Ok();
}

// The legacy wal/, whose logs are older than the space's own.
Status AddLegacyLogs(Discovery& discovery, const std::vector<DirectoryEntry>& entries,
                     std::vector<SourceFile>* files) {
  std::vector<SourceFile> legacy;
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory || entry.name != kWalDirectory) continue;
    ENGRAM_TRY(discovery.AddWalDirectory(entry.name, &legacy));
  }
  for (SourceFile& file : legacy) file.is_legacy = true;
  files->insert(files->begin(), std::make_move_iterator(legacy.begin()),
                std::make_move_iterator(legacy.end()));
  return Status::Ok();
}

Status NoSuchSpace(const std::string& directory, const std::string& space,
                   const SpaceFiles& spaces) {
  std::string names;
  for (const auto& [name, files] : spaces) names += (names.empty() ? "" : ", ") + name;
  return Status::NotFound("the source " + directory + " has no log of the space " + space,
                          "it has logs of: " + names);
}

}  // namespace

uint64_t SourceSpace::size_bytes() const {
  uint64_t sum = 0;
  for (const SourceFile& file : files) sum += file.size_bytes;
  return sum;
}

Result<Source> DiscoverSource(FileSystem& fs, const std::string& directory,
                              const std::optional<std::string>& space) {
  std::string unnamed_space(kUnnamedSpace);
  if (space) {
    ENGRAM_ASSIGN_OR_RETURN(SpaceId id, SpaceId::Parse(*space));
    unnamed_space = id.str();
  }
  ENGRAM_TRY(CheckDirectory(fs, directory));
  Source source;
  source.directory = directory;
  Discovery discovery(fs, directory, &source.skipped);
  SpaceFiles spaces;
  ENGRAM_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, fs.List(directory));
  ENGRAM_TRY(AddSpaceDirectories(discovery, fs, entries, &spaces));
  ENGRAM_TRY(AddLegacyLogs(discovery, entries, &spaces[unnamed_space]));
  std::vector<SourceFile> bare;
  ENGRAM_TRY(discovery.AddWalDirectory("", &bare));
  if (spaces[unnamed_space].empty()) spaces.erase(unnamed_space);
  if (spaces.empty() && !bare.empty()) {
    source.kind = SourceKind::kLogDirectory;
    spaces[unnamed_space] = std::move(bare);
  } else {
    for (const SourceFile& file : bare) {
      discovery.Skip(file.relative_path,
                     "lies beside the spaces; to read it, put it into a directory of its own and "
                     "give that as --source with --space");
    }
  }
  if (spaces.empty()) {
    Status status = NoLog(directory);
    if (source.skipped.empty()) return status;
    return Status::InvalidArgument(
        "no log in " + directory + " that can be read as a space: " + source.skipped.front(),
        "rename the directory to a legal space id, or give its wal/ "
        "directory as the source together with --space");
  }
  if (space && !spaces.contains(unnamed_space)) {
    return NoSuchSpace(directory, unnamed_space, spaces);
  }
  for (auto& [name, files] : spaces) {
    if (!space || name == unnamed_space) source.spaces.push_back({name, std::move(files)});
  }
  return source;
}

}  // namespace engram::migration
