// The one JSON object of a command, or its text for people, and the exit code that agrees with it.
#ifndef ENGRAM_CLI_REPORT_OUTPUT_H_
#define ENGRAM_CLI_REPORT_OUTPUT_H_

#include <string>

#include "base/result.h"
#include "cli/console.h"
#include "cli/report_text.h"

namespace engram::cli {

using ReportToText = std::string (*)(const Report&);

// What the engine delivers. kFatal if it is not an object.
Result<Report> ParseReport(const std::string& json);
std::string Dump(const Report& report);
// A key that is not there counts as true.
bool IsTrue(const Report& report, const char* key);
// {"code", "message", "hint"}
Report ErrorObject(const Status& error);

// Prints the report; what is not ok says why in `error`, as every other failure does.
int PrintReport(Console& console, Report report, ReportToText to_text);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_REPORT_OUTPUT_H_
