#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace engram {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

class StderrLogger final : public Logger {
 public:
  explicit StderrLogger(LogLevel level)
      : logger_("engram", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(ToSpdlog(level));
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    logger_.set_error_handler([](const std::string&) {});
  }
  void Write(LogLevel level, std::string_view message) override {
    logger_.log(ToSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
  }

 private:
  spdlog::logger logger_;
};

class NullLogger final : public Logger {
 public:
  void Write(LogLevel, std::string_view) override {}
};

}  // namespace

Logger& Logger::Null() {
  static NullLogger logger;
  return logger;
}

Result<LogLevel> ParseLogLevel(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warn") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  if (name == "off") return LogLevel::kOff;
  return Status::InvalidArgument("unknown log level \"" + std::string(name) + "\"",
                                 "use one of debug, info, warn, error, off");
}

std::unique_ptr<Logger> MakeStderrLogger(LogLevel level) {
  return std::make_unique<StderrLogger>(level);
}

}  // namespace engram
