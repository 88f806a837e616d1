// SIGINT and SIGTERM as a flag and a readable descriptor; SIGPIPE becomes a write error.
#ifndef ENGRAM_CLI_SIGNALS_H_
#define ENGRAM_CLI_SIGNALS_H_

#include <atomic>

namespace engram::cli {

// Installs the handlers, once, before any thread. A second SIGINT or SIGTERM ends the process at
// once, which every command survives: it is what kill -9 does.
void InstallSignalHandlers();

// Set by the first signal.
const std::atomic<bool>& CancelFlag();
// Becomes readable with the flag; for poll().
int CancelDescriptor();

}  // namespace engram::cli

#endif  // ENGRAM_CLI_SIGNALS_H_
