// What the control blocks of a data root say: the mirror of each space's state that its server
// keeps up to date, readable when the server does not answer or is not there.
#ifndef ENGRAM_CLI_CONTROL_REPORT_H_
#define ENGRAM_CLI_CONTROL_REPORT_H_

#include "cli/report_text.h"
#include "cli/session.h"

namespace engram::cli {

// {"spaces": [...]}, each with the keys of `migrate-dual status` and "count", "updated_at", "pid".
// Spaces without a block are left out. --space picks one. Never waits for anyone.
Result<Report> ReadControlBlocks(Session& session);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_CONTROL_REPORT_H_
