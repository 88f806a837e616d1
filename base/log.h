// Logging for state changes. Library code takes a Logger& and never prints; payloads and ids are
// never logged. spdlog is behind it and appears in log.cc only.
#ifndef ENGRAM_BASE_LOG_H_
#define ENGRAM_BASE_LOG_H_

#include <memory>
#include <string_view>

#include "base/result.h"

namespace engram {

enum class LogLevel : int32_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3, kOff = 4 };

// Thread-safe; a failing sink never throws into the caller.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void Write(LogLevel level, std::string_view message) = 0;
  void Debug(std::string_view message) { Write(LogLevel::kDebug, message); }
  void Info(std::string_view message) { Write(LogLevel::kInfo, message); }
  void Warning(std::string_view message) { Write(LogLevel::kWarning, message); }
  void Error(std::string_view message) { Write(LogLevel::kError, message); }

  static Logger& Null();  // drops everything
};

Result<LogLevel> ParseLogLevel(std::string_view name);  // debug info warn error off

// Lines on stderr at `level` and above.
std::unique_ptr<Logger> MakeStderrLogger(LogLevel level);

}  // namespace engram

#endif  // ENGRAM_BASE_LOG_H_
