// The command line's grammar: which commands and flags there are, what they say about themselves,
// and what runs.
#ifndef ENGRAM_CLI_ARGUMENTS_H_
#define ENGRAM_CLI_ARGUMENTS_H_

#include <string>
#include <vector>

namespace engram::cli {

// Runs the command of `words` (argv, the program's name first) and returns the exit code.
int RunCommandLine(const std::vector<std::string>& words);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_ARGUMENTS_H_
