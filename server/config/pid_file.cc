#include "server/config/pid_file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "server/config/paths.h"

namespace engram::server {
namespace {

constexpr char kProgramName[] = "engram";
constexpr char kCommand[] = "start";
constexpr char kLockFile[] = "LOCK";
constexpr uint64_t kProcFileSizeBytesMax = 1 << 20;
constexpr uint64_t kInfoSizeBytesMax = 16 << 10;

std::string RootPidFile(const std::string& data_root) {
  return JoinPath(ControlFolder(data_root), "server.pid");
}

// Lines: pid, address, configuration file. They count for that process alone.
std::string InfoFile(const std::string& data_root) {
  return JoinPath(ControlFolder(data_root), "server.info");
}

std::string ProcPath(int32_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// Files of /proc have no size; they are read to their end.
Result<std::string> ReadProcFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Status::FromErrno(errno, "open " + path);
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(fd, buffer, sizeof buffer)) > 0 && text.size() < kProcFileSizeBytesMax) {
    text.append(buffer, static_cast<size_t>(count));
  }
  const int error = errno;
  close(fd);
  if (count < 0) return Status::FromErrno(error, "read " + path);
  return text;
}

// The letter behind the name in /proc/<pid>/stat; the name may hold anything, also ')'.
char ProcessState(int32_t pid) {
  const auto stat = ReadProcFile(ProcPath(pid, "stat"));
  if (!stat.ok()) return 'X';
  const size_t name_end = stat->rfind(')');
  return name_end == std::string::npos || name_end + 2 >= stat->size() ? 'X'
                                                                       : (*stat)[name_end + 2];
}

bool HasArgument(int32_t pid, std::string_view argument) {
  const auto line = ReadProcFile(ProcPath(pid, "cmdline"));
  if (!line.ok()) return false;
  std::string_view rest = *line;
  bool first = true;
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    if (!first && rest.substr(0, end) == argument) return true;
    if (end == std::string_view::npos) return false;
    rest.remove_prefix(end + 1);
    first = false;
  }
  return false;
}

ServerProcess::Identity IdentityOf(int32_t pid) {
  using Identity = ServerProcess::Identity;
  const char state = ProcessState(pid);
  if (state == 'Z' || state == 'X') return Identity::kGone;
  std::error_code error;
  const auto program = std::filesystem::read_symlink(ProcPath(pid, "exe"), error);
  if (error == std::errc::permission_denied) return Identity::kUnreadable;
  if (error) return ProcessState(pid) == 'X' ? Identity::kGone : Identity::kForeign;
  std::string name = program.filename().string();
  // What the kernel says of a program that was replaced on disk, as every upgrade does.
  constexpr std::string_view kDeleted = " (deleted)";
  if (name.ends_with(kDeleted)) name.resize(name.size() - kDeleted.size());
  const bool is_server = name == kProgramName && HasArgument(pid, kCommand);
  return is_server ? Identity::kServer : Identity::kForeign;
}

std::string WhyStale(const std::string& file, const ServerProcess& process) {
  const std::string pid = std::to_string(process.pid());
  switch (process.identity()) {
    case ServerProcess::Identity::kGone:
      return file + " names process " + pid + ", which is gone";
    case ServerProcess::Identity::kForeign:
      return file + " names process " + pid + ", which is not an engram server";
    case ServerProcess::Identity::kUnreadable:
      return file + " names process " + pid +
             " of another user, which cannot be told to be an engram server";
    case ServerProcess::Identity::kServer:
      break;
  }
  return file + " names process " + pid + ", the server of another data root";
}

Result<PidRecord> ReadPidFile(const std::string& path) {
  // A pipe that someone put there must not hold up its reader.
  ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, FileSystem::Posix().Stat(path));
  if (!info.is_regular) return Status::Corruption(path + " is not a file", "remove it");
  ENGRAM_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(FileSystem::Posix(), path, kProcFileSizeBytesMax));
  if (const auto record = ParsePidRecord(text)) return *record;
  return Status::Corruption(path + " is not a pid file: expected PID:PORT",
                            "remove it if no server runs");
}

// What the server said of itself; as `config` has it if it has not.
void ReadInfo(const Config& config, FoundServer* found) {
  found->address = config.server.http_bind;
  const auto text = ReadFile(FileSystem::Posix(), InfoFile(found->data_root), kInfoSizeBytesMax);
  if (!text.ok()) return;
  std::istringstream lines(*text);
  std::string pid, address, file;
  std::getline(lines, pid);
  std::getline(lines, address);
  std::getline(lines, file);
  if (pid != std::to_string(found->record.pid) || address.empty()) return;
  found->address = std::move(address);
  found->config_file = std::move(file);
}

// Calls `visit` with the path of each file that the process has open, until it returns false.
template <typename Visit>
void ForEachOpenFile(int32_t pid, const Visit& visit) {
  std::error_code error;
  std::filesystem::directory_iterator fds(ProcPath(pid, "fd"), error);
  for (const auto end = std::filesystem::directory_iterator(); !error && fds != end;
       fds.increment(error)) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(fds->path(), gone).string();
    if (!gone && !visit(target)) return;
  }
}

// Fills `found` if `file` names a living server that `accept` takes.
template <typename Accept>
bool Try(const std::string& file, const Accept& accept, FoundServer* found) {
  const auto record = ReadPidFile(file);
  if (!record.ok()) {
    if (record.status().code() != StatusCode::kNotFound) found->stale = record.status().message();
    return false;
  }
  auto process = ServerProcess::Look(record->pid);
  if (process->identity() != ServerProcess::Identity::kServer || !accept(*process)) {
    found->stale = WhyStale(file, *process);
    return false;
  }
  *found = {*record, file, std::move(process), "", "", "", std::nullopt};
  return true;
}

bool NamesAnotherServer(const std::string& file) {
  const auto record = ReadPidFile(file);
  if (!record.ok() || record->pid == getpid()) return false;
  return ServerProcess::Look(record->pid)->identity() == ServerProcess::Identity::kServer;
}

Status CheckPidFileIsFree(const std::string& file) {
  if (!NamesAnotherServer(file)) return Status::Ok();
  return Status::FailedPrecondition(
      "the pid file " + file + " belongs to a running server",
      "stop it with `engram stop`, or give this one its own server.pid_file (ENGRAM_PID_PATH)");
}

// By way of a file that is created here and nowhere else: in a folder that others may write to,
// what lies there already could lead anywhere.
Status WriteForAll(const std::string& path, const std::string& text) {
  FileSystem& fs = FileSystem::Posix();
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  IgnoreError(fs.Unlink(temporary), "it need not be there");
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(temporary, OpenMode::kCreateExclusive));
  Status status = file->WriteAt(0, AsBytes(text));
  if (status.ok()) status = file->Sync();
  // Scripts of other users may read it.
  if (status.ok() && chmod(temporary.c_str(), 0644) != 0) {
    status = Status::FromErrno(errno, "chmod " + temporary);
  }
  if (status.ok()) status = fs.Rename(temporary, path);
  if (!status.ok()) IgnoreError(fs.Unlink(temporary), "the error that is reported matters");
  return status;
}

void RemoveIfOwn(const std::string& file) {
  const auto record = ReadPidFile(file);
  if (!record.ok() || record->pid != getpid()) return;
  IgnoreError(FileSystem::Posix().Unlink(file), "a file that stays is recognised as stale");
}

}  // namespace

std::optional<PidRecord> ParsePidRecord(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  PidRecord record;
  const char* const end = text.data() + text.size();
  const auto pid = std::from_chars(text.data(), end, record.pid);
  if (pid.ec != std::errc() || record.pid <= 0 || pid.ptr == end || *pid.ptr != ':') {
    return std::nullopt;
  }
  const auto port = std::from_chars(pid.ptr + 1, end, record.http_port);
  if (port.ec != std::errc() || port.ptr != end) return std::nullopt;
  return record;
}

ServerProcess::ServerProcess(int32_t pid, int descriptor) : pid_(pid), descriptor_(descriptor) {
  if (descriptor_ >= 0) identity_ = IdentityOf(pid);
}

ServerProcess::~ServerProcess() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::unique_ptr<ServerProcess> ServerProcess::Look(int32_t pid) {
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  return std::unique_ptr<ServerProcess>(new ServerProcess(pid, descriptor));
}

bool ServerProcess::Serves(const std::string& data_root) const {
  std::error_code error;
  const std::string root = std::filesystem::canonical(data_root, error).string();
  if (error) return false;
  bool serves = false;
  ForEachOpenFile(pid_, [&](const std::string& path) {
    serves = path.starts_with(JoinPath(root, ""));
    return !serves;
  });
  return serves;
}

std::optional<std::string> ServerProcess::DataRoot() const {
  const std::string lock = std::string("/") + kLockFile;
  std::optional<std::string> root;
  ForEachOpenFile(pid_, [&](const std::string& path) {
    const std::string folder = path.ends_with(lock) ? ParentPath(path) : "";
    // Of every data root: the folder above the one that ControlFolder() names.
    if (!folder.empty() && ControlFolder(ParentPath(folder)) == folder) root = ParentPath(folder);
    return !root;
  });
  return root;
}

bool ServerProcess::IsAlive() const { return descriptor_ >= 0 && !WaitForEnd(0); }

Status ServerProcess::Signal(int signal) const {
  const std::string what = "process " + std::to_string(pid_);
  if (identity_ == Identity::kGone) return Status::NotFound(what + " is gone");
  if (identity_ != Identity::kServer) {
    return Status::FailedPrecondition(what + " is not an engram server; it gets no signal",
                                      "remove the pid file that names it");
  }
  if (syscall(SYS_pidfd_send_signal, descriptor_, signal, nullptr, 0) == 0) return Status::Ok();
  if (errno == ESRCH) return Status::NotFound(what + " is gone");
  return Status::FromErrno(errno, "signal " + what);
}

bool ServerProcess::WaitForEnd(uint32_t timeout_ms) const {
  if (descriptor_ < 0) return true;
  pollfd poll_fd{descriptor_, POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&poll_fd, 1, static_cast<int>(timeout_ms));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

FoundServer FindServer(const Config& config, bool any_root) {
  FoundServer found;
  const auto anyone = [](const ServerProcess&) { return true; };
  const auto same_root = [&](const ServerProcess& process) {
    return any_root || process.Serves(config.storage.data_root);
  };
  const std::string& root = config.storage.data_root;
  if (Try(RootPidFile(root), anyone, &found)) {
    found.data_root = root;
  } else if (Try(PidFilePath(config), same_root, &found)) {
    found.data_root = any_root ? found.process->DataRoot().value_or(root) : root;
  } else {
    return found;
  }
  ReadInfo(config, &found);
  return found;
}

ServerClaim::ServerClaim(const Config& config, std::unique_ptr<FileLock> lock)
    : root_file_(RootPidFile(config.storage.data_root)),
      info_file_(InfoFile(config.storage.data_root)),
      address_(config.server.http_bind),
      pid_file_(PidFilePath(config)),
      pid_file_is_chosen_(!config.server.pid_file.empty()),
      lock_(std::move(lock)) {}

ServerClaim::~ServerClaim() { Withdraw(); }

Result<std::unique_ptr<ServerClaim>> ServerClaim::Take(const Config& config) {
  const std::string& root = config.storage.data_root;
  if (!config.server.pid_file.empty()) ENGRAM_TRY(CheckPidFileIsFree(config.server.pid_file));
  FileSystem& fs = FileSystem::Posix();
  ENGRAM_TRY(CreateDirectories(fs, ControlFolder(root)));
  auto lock = fs.Lock(JoinPath(ControlFolder(root), kLockFile), /*shared=*/false);
  if (!lock.ok() && lock.status().code() == StatusCode::kBusy) {
    const auto record = ReadPidFile(RootPidFile(root));
    const std::string who = record.ok() ? " (process " + std::to_string(record->pid) + ", port " +
                                              std::to_string(record->http_port) + ")"
                                        : "";
    return Status::Busy("another server" + who + " serves the data root " + root,
                        "stop it with `engram stop`, or name another --data-root");
  }
  if (!lock.ok()) return lock.status();
  return std::unique_ptr<ServerClaim>(new ServerClaim(config, std::move(*lock)));
}

Status ServerClaim::Publish(uint16_t http_port, const std::string& config_file) {
  std::error_code error;
  const std::string file =
      config_file.empty() ? "" : std::filesystem::absolute(config_file, error).string();
  ENGRAM_TRY(
      WriteForAll(info_file_, std::to_string(getpid()) + "\n" + address_ + "\n" + file + "\n"));
  const std::string text = std::to_string(getpid()) + ":" + std::to_string(http_port);
  ENGRAM_TRY(WriteForAll(root_file_, text));
  if (pid_file_is_chosen_) {
    ENGRAM_TRY(CheckPidFileIsFree(pid_file_));  // one that started meanwhile has it
    return WriteForAll(pid_file_, text);
  }
  if (!NamesAnotherServer(pid_file_)) {
    IgnoreError(WriteForAll(pid_file_, text),
                "nobody asked for it, and the one below the data root is there");
  }
  return Status::Ok();
}

void ServerClaim::Withdraw() {
  RemoveIfOwn(pid_file_);
  RemoveIfOwn(root_file_);
  // The lock is still held: nobody else's can lie there.
  IgnoreError(FileSystem::Posix().Unlink(info_file_), "it counts for this process alone");
}

}  // namespace engram::server
