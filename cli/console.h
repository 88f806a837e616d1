// Where a command's output goes. With --json stdout carries one JSON object and nothing else;
// human text goes to the terminal, or to stderr when stdout is not one.
#ifndef ENGRAM_CLI_CONSOLE_H_
#define ENGRAM_CLI_CONSOLE_H_

#include <string>
#include <string_view>

#include "base/result.h"

namespace engram::cli {

enum ExitCode { kExitDone = 0, kExitFailed = 1, kExitUsage = 2 };

// One thread.
class Console {
 public:
  struct Options {
    bool json = false;
    bool quiet = false;
  };
  explicit Console(const Options& options) : options_(options) {}

  bool json() const { return options_.json; }
  bool quiet() const { return options_.quiet; }

  // Raw bytes on stdout, unbuffered. kIo when stdout is closed or full.
  Status Write(std::string_view bytes);
  // One line for people; dropped with --json or --quiet.
  void Say(std::string_view line);
  // As Say(), also with --quiet: what was asked for.
  void Answer(std::string_view line);
  // Reports the error in the form that was asked for and returns the exit code. `extra` are more
  // members for the JSON object, each as `"key":value,`.
  int Fail(const Status& error, std::string_view extra = "");
  int FailUsage(const Status& error);

 private:
  void Print(std::string_view line);
  void ReportError(const Status& error, std::string_view extra);
  const Options options_;
};

// The hint of the error, or one that fits its code: never empty.
std::string HintOf(const Status& error);

// 1,234,567
std::string WithThousands(uint64_t value);
// Text for one line of a terminal: control characters shown as \xNN, cut at the first character
// behind `size_max` bytes.
std::string Printable(std::string_view text, size_t size_max);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_CONSOLE_H_
