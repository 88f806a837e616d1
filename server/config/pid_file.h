// Which server serves a data root: the lock that lets only one in, and the files that tell others
// its process and port. Every answer is checked against the process itself: a pid alone proves
// nothing, it may belong to anyone by now.
#ifndef ENGRAM_SERVER_CONFIG_PID_FILE_H_
#define ENGRAM_SERVER_CONFIG_PID_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "server/config/config.h"

namespace engram::server {

// What a pid file holds: "PID:HTTP_PORT", upstream's format.
struct PidRecord {
  int32_t pid = 0;
  uint16_t http_port = 0;
};
// nullopt if `text` is not of that form.
std::optional<PidRecord> ParsePidRecord(std::string_view text);

// A process that was looked at once. Signals go through the descriptor, so they reach this process
// or nobody, even if its pid is taken over in between.
class ServerProcess {
 public:
  enum class Identity {
    kGone,        // no such process, or it is dead and unreaped
    kServer,      // runs the program `engram`, its command is `start`
    kForeign,     // another program
    kUnreadable,  // of another user: cannot be told
  };
  static std::unique_ptr<ServerProcess> Look(int32_t pid);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int32_t pid() const { return pid_; }
  Identity identity() const { return identity_; }
  // Whether it has files below the data root open.
  bool Serves(const std::string& data_root) const;
  // The data root that it has locked, without links; nullopt if that cannot be told.
  std::optional<std::string> DataRoot() const;
  bool IsAlive() const;
  // kNotFound if it is gone; kFailedPrecondition unless identity() is kServer.
  Status Signal(int signal) const;
  // True once it has ended, false after `timeout_ms`.
  bool WaitForEnd(uint32_t timeout_ms) const;

 private:
  ServerProcess(int32_t pid, int descriptor);
  const int32_t pid_;
  const int descriptor_;  // of the process, -1 if it was gone at once
  Identity identity_ = Identity::kGone;
};

// What the files of `config` say about its server.
struct FoundServer {
  PidRecord record;
  std::string file;                        // that names it; "" if there is none
  std::unique_ptr<ServerProcess> process;  // null: none of the files names a server of this root
  std::string stale;                       // why a file that is there does not count; "" if none is
  // With a process only: what it serves and where it listens, by what it keeps itself, else as
  // `config` has them.
  std::string data_root;
  std::string address;
  // The configuration file that it read, "" if none; nullopt if that cannot be told.
  std::optional<std::string> config_file;
};
// `any_root`: the pid file's server counts whatever data root it serves (nobody has named one).
FoundServer FindServer(const Config& config, bool any_root);

// One server's hold on its data root, from before it opens a space until after it has closed the
// last. Not thread-safe.
class ServerClaim {
 public:
  // Locks .engram/LOCK below the data root, creating both. kBusy if another server has it (the text
  // names it), kFailedPrecondition if `server.pid_file` is set and names another living server.
  // Nothing of theirs is touched.
  static Result<std::unique_ptr<ServerClaim>> Take(const Config& config);
  ~ServerClaim();  // as Withdraw()
  ServerClaim(const ServerClaim&) = delete;
  ServerClaim& operator=(const ServerClaim&) = delete;

  // Call when the port is open. Writes .engram/server.pid below the data root, server.info beside
  // it (what the form of a pid file has no room for: the address, and `config_file`, "" if none was
  // read), and the pid file. The default pid file is a courtesy: it stays as it is if it names
  // another living server, and a failure to write it is none.
  Status Publish(uint16_t http_port, const std::string& config_file);
  // Removes the files that are still this process's.
  void Withdraw();

 private:
  ServerClaim(const Config& config, std::unique_ptr<FileLock> lock);
  const std::string root_file_;
  const std::string info_file_;
  const std::string address_;
  const std::string pid_file_;
  const bool pid_file_is_chosen_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_PID_FILE_H_
