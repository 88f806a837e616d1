#include "server/http/access_log.h"

namespace engram::server {
namespace {

constexpr uint64_t kSlowNs = 1'000'000'000;

LogLevel LevelOf(const RequestRecord& record) {
  if (record.status >= 500 && !record.expected) return LogLevel::kWarning;
  return record.duration_ns >= kSlowNs ? LogLevel::kInfo : LogLevel::kDebug;
}

}  // namespace

void LogRequest(Logger& logger, const RequestRecord& record) {
  const LogLevel level = LevelOf(record);
  if (!logger.Enabled(level)) return;
  const std::string_view route =
      record.route != nullptr ? std::string_view(record.route->pattern) : "unmatched";
  const LogField fields[] = {
      {"method", MethodName(record.method)},
      {"route", route},
      {"status", static_cast<uint64_t>(record.status)},
      {"duration_us", record.duration_ns / 1000},
      {"request_bytes", record.request_size_bytes},
      {"response_bytes", record.response_size_bytes},
      {"request_id", record.request_id},
      {"detail", record.log_detail},
  };
  const size_t count = std::size(fields) - (record.log_detail.empty() ? 1 : 0);
  logger.Write(level, "request", LogFields(fields, count));
}

}  // namespace engram::server
