#include "server/metrics/process_families.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <vector>

namespace engram::server {
namespace {

using prometheus::MetricType;

uint64_t CountOpenFiles() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count > 3 ? count - 3 : 0;  // ".", ".." and the directory itself
}

double BootUnixSeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  while (file >> word) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

// Fields 3... of /proc/self/stat: what is behind the name in parentheses.
std::vector<double> StatFields() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t behind_name = text.rfind(')');
  std::vector<double> fields;
  if (behind_name == std::string::npos) return fields;
  std::istringstream rest(text.substr(behind_name + 1));
  std::string field;
  while (rest >> field) fields.push_back(std::strtod(field.c_str(), nullptr));
  return fields;
}

uint64_t StatusKib(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(key)) return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

}  // namespace

ProcessFigures ReadProcessFigures() {
  ProcessFigures figures;
  const auto fields = StatFields();
  const auto field = [&](size_t number) {  // as proc(5) counts them
    return fields.size() > number - 3 ? fields[number - 3] : 0.0;
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  figures.cpu_seconds = (field(14) + field(15)) / ticks;
  figures.start_time_unix_seconds = BootUnixSeconds() + field(22) / ticks;
  figures.threads = static_cast<uint64_t>(field(20));
  figures.virtual_bytes = static_cast<uint64_t>(field(23));
  figures.resident_bytes =
      static_cast<uint64_t>(field(24)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  figures.resident_anon_bytes = StatusKib("RssAnon:") * 1024;
  figures.open_files = CountOpenFiles();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.open_files_max = limit.rlim_cur;
  return figures;
}

void CollectProcess(const std::string& version, Families* families) {
  const ProcessFigures figures = ReadProcessFigures();
  const auto gauge = [&](const char* name, const char* help, double value) {
    families->Declare(name, MetricType::Gauge, help);
    families->Gauge(name, value);
  };
  families->Declare("engram_build_info", MetricType::Gauge, "1; the version is the label");
  families->Gauge("engram_build_info", 1, {{"version", version}});
  families->Declare("process_cpu_seconds_total", MetricType::Counter, "User and system CPU time");
  families->Counter("process_cpu_seconds_total", figures.cpu_seconds);
  gauge("process_start_time_seconds", "When the process started, since the Unix epoch",
        figures.start_time_unix_seconds);
  gauge("process_resident_memory_bytes", "Resident memory",
        static_cast<double>(figures.resident_bytes));
  gauge("process_resident_anon_memory_bytes", "Resident memory that no file is behind",
        static_cast<double>(figures.resident_anon_bytes));
  gauge("process_virtual_memory_bytes", "Address space",
        static_cast<double>(figures.virtual_bytes));
  gauge("process_open_fds", "Open file descriptors", static_cast<double>(figures.open_files));
  gauge("process_max_fds", "Limit of open file descriptors",
        static_cast<double>(figures.open_files_max));
  gauge("process_threads", "Threads", static_cast<double>(figures.threads));
}

}  // namespace engram::server
