#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/json_text.h"

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

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// A message is one line: what would end it, or move a terminal's cursor, becomes a blank.
std::string OneLine(std::string_view message) {
  std::string line(message);
  std::replace_if(line.begin(), line.end(), IsControl, ' ');
  return line;
}

class StderrLogger final : public LevelLogger {
 public:
  StderrLogger(LogLevel level, LogFormat format)
      : format_(format), logger_("engram", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(ToSpdlog(level));
    logger_.set_pattern(format == LogFormat::kJson
                            ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                            : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                        spdlog::pattern_time_type::utc);
    logger_.set_error_handler([](const std::string&) {});
  }
  using Logger::Write;
  void Write(LogLevel level, std::string_view message) override { Write(level, message, {}); }
  void Write(LogLevel level, std::string_view message, LogFields fields) override {
    if (!Enabled(level)) return;
    std::string line;
    if (format_ == LogFormat::kJson) {
      line = "\"message\":";
      AppendJsonString(message, &line);
    } else {
      line = OneLine(message);
    }
    for (const LogField& field : fields) {
      line += format_ == LogFormat::kJson ? ',' : ' ';
      format_ == LogFormat::kJson ? field.AppendJson(&line) : field.AppendText(&line);
    }
    logger_.log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
  }
  bool Enabled(LogLevel level) const override { return logger_.should_log(ToSpdlog(level)); }
  void SetLevel(LogLevel level) override { logger_.set_level(ToSpdlog(level)); }

 private:
  const LogFormat format_;
  spdlog::logger logger_;
};

class NullLogger final : public Logger {
 public:
  using Logger::Write;
  void Write(LogLevel, std::string_view) override {}
  void Write(LogLevel, std::string_view, LogFields) override {}
  bool Enabled(LogLevel) const override { return false; }
};

}  // namespace

void LogField::AppendText(std::string* out) const {
  *out += key_;
  *out += '=';
  if (!is_text_) {
    AppendJsonInteger(number_, out);
    return;
  }
  const bool plain = !text_.empty() && std::none_of(text_.begin(), text_.end(), [](char c) {
    return IsControl(c) || c == ' ' || c == '"' || c == '=';
  });
  plain ? static_cast<void>(*out += text_) : AppendJsonString(text_, out);
}

void LogField::AppendJson(std::string* out) const {
  AppendJsonString(key_, out);
  *out += ':';
  is_text_ ? AppendJsonString(text_, out) : AppendJsonInteger(number_, out);
}

void Logger::Write(LogLevel level, std::string_view message, LogFields fields) {
  std::string line(message);
  for (const LogField& field : fields) {
    line += ' ';
    field.AppendText(&line);
  }
  Write(level, line);
}

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

Result<LogFormat> ParseLogFormat(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return Status::InvalidArgument("unknown log format \"" + std::string(name) + "\"",
                                 "use text or json");
}

std::unique_ptr<LevelLogger> MakeStderrLogger(LogLevel level, LogFormat format) {
  return std::make_unique<StderrLogger>(level, format);
}

}  // namespace engram
