#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "base/descriptor_limit.h"
#include "base/freed_memory.h"
#include "cli/arguments.h"
#include "cli/console.h"
#include "cli/signals.h"

int main(int argc, char** argv) {
  engram::KeepFreedMemory();
  engram::RaiseDescriptorLimit();
  engram::cli::InstallSignalHandlers();
  const std::vector<std::string> words(argv, argv + argc);
  try {
    return engram::cli::RunCommandLine(words);
  } catch (const std::exception& error) {
    // Only memory running out gets here: everything else is a Status.
    const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
    engram::cli::Console console({.json = json});
    return console.Fail(engram::Status::Fatal(std::string("unexpected: ") + error.what(),
                                              "give the process more memory"));
  }
}
