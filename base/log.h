// Logging for state changes. Library code takes a Logger& and never prints; payloads and ids are
// never logged. spdlog is behind it and appears in log.cc only.
#ifndef ENGRAM_BASE_LOG_H_
#define ENGRAM_BASE_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace engram {

enum class LogLevel : int32_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3, kOff = 4 };

enum class LogFormat : int32_t {
  kText,  // "2026-01-01T00:00:00.000Z info message key=value"
  kJson,  // {"time": ..., "level": ..., "message": ..., "key": value}, one object a line
};

// One value beside a message. Borrows its text for the call.
class LogField {
 public:
  LogField(std::string_view key, std::string_view text) : key_(key), text_(text), is_text_(true) {}
  LogField(std::string_view key, const char* text) : LogField(key, std::string_view(text)) {}
  LogField(std::string_view key, uint64_t number) : key_(key), number_(number) {}

  void AppendText(std::string* out) const;  // key=value, quoted where it must be
  void AppendJson(std::string* out) const;  // "key":value

 private:
  std::string_view key_;
  std::string_view text_;
  uint64_t number_ = 0;
  bool is_text_ = false;
};
using LogFields = std::span<const LogField>;

// Thread-safe; a failing sink never throws into the caller.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void Write(LogLevel level, std::string_view message) = 0;
  // The same with values: one line whatever they hold. By default they follow the message as text.
  virtual void Write(LogLevel level, std::string_view message, LogFields fields);
  void Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    Write(level, message, LogFields(fields.begin(), fields.size()));
  }
  // False: a message of this level would be dropped. For callers with costly fields.
  virtual bool Enabled(LogLevel) const { return true; }
  void Debug(std::string_view message) { Write(LogLevel::kDebug, message); }
  void Info(std::string_view message) { Write(LogLevel::kInfo, message); }
  void Warning(std::string_view message) { Write(LogLevel::kWarning, message); }
  void Error(std::string_view message) { Write(LogLevel::kError, message); }

  static Logger& Null();  // drops everything
};

Result<LogLevel> ParseLogLevel(std::string_view name);    // debug info warn error off
Result<LogFormat> ParseLogFormat(std::string_view name);  // text json

// A logger whose level can change while others use it.
class LevelLogger : public Logger {
 public:
  virtual void SetLevel(LogLevel level) = 0;
};

// Lines on stderr at `level` and above.
std::unique_ptr<LevelLogger> MakeStderrLogger(LogLevel level, LogFormat format = LogFormat::kText);

}  // namespace engram

#endif  // ENGRAM_BASE_LOG_H_
