// A space whose server holds it, through that server: records in the command line's own form.
#ifndef ENGRAM_CLI_REMOTE_SPACE_H_
#define ENGRAM_CLI_REMOTE_SPACE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/memory_commands.h"
#include "cli/server_link.h"
#include "cli/session.h"

namespace engram::cli {

// The running server of the session's data root, else null.
std::unique_ptr<ServerLink> RunningServer(Session& session);
// The same if `error` is one that it knows more about: kBusy, it has the space open; kNotFound, it
// may be bringing in what upstream left. Else null.
std::unique_ptr<ServerLink> ServerBeside(Session& session, const Status& error);

// kBusy because of a running server says so and what to do; other errors as they are.
Status NamingTheServer(Session& session, const Status& error);

class RemoteSpace {
 public:
  struct Acknowledgement {
    std::string id;
    uint64_t lsn = 0;  // 0: there was nothing to write
  };
  RemoteSpace(std::unique_ptr<ServerLink> link, std::string space)
      : link_(std::move(link)), space_(std::move(space)) {}

  // All lines of `flags`, page by page; each page is a snapshot, the whole is not. `visit` returns
  // false to stop.
  Status List(const MemoryReadFlags& flags, const std::function<bool(const std::string&)>& visit);
  Result<std::string> Get(const std::string& id, const MemoryReadFlags& flags);
  // Lines as `memory put` takes them. On an error `acknowledged` holds the writes before it.
  Status Put(const std::vector<std::string>& lines, std::vector<Acknowledgement>* acknowledged);
  Status Remove(const std::vector<std::string>& ids, std::vector<Acknowledgement>* acknowledged);
  // The space that the server takes where a request names none.
  Result<std::string> DefaultOfServer();
  // The JSON object of `space stats`, of `verify`.
  Result<std::string> Stats();
  Result<std::string> Verify(uint64_t sample, bool full);

 private:
  std::string Target(const std::string& path, const MemoryReadFlags* flags) const;
  Result<std::string> Text(const std::string& method, const std::string& target,
                           const std::string& body, uint32_t deadline_ms);
  Status Write(const std::string& path, const std::vector<std::string>& lines,
               std::vector<Acknowledgement>* acknowledged);

  std::unique_ptr<ServerLink> link_;
  const std::string space_;
};

}  // namespace engram::cli

#endif  // ENGRAM_CLI_REMOTE_SPACE_H_
