// The process itself, as Prometheus' client libraries name it.
#ifndef ENGRAM_SERVER_METRICS_PROCESS_FAMILIES_H_
#define ENGRAM_SERVER_METRICS_PROCESS_FAMILIES_H_

#include <cstdint>
#include <string>

#include "server/metrics/families.h"

namespace engram::server {

struct ProcessFigures {
  double cpu_seconds = 0;
  double start_time_unix_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t resident_anon_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_files = 0;
  uint64_t open_files_max = 0;
  uint64_t threads = 0;
};
// From /proc/self; what cannot be read stays 0.
ProcessFigures ReadProcessFigures();

void CollectProcess(const std::string& version, Families* families);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_PROCESS_FAMILIES_H_
