// Progress of a job on stderr: a redrawn block with a bar on a terminal, else plain lines.
#ifndef ENGRAM_CLI_PROGRESS_VIEW_H_
#define ENGRAM_CLI_PROGRESS_VIEW_H_

#include <cstdio>
#include <string>

#include "base/clock.h"
#include "engram/engram_storage_engine.h"

namespace engram::cli {

struct ProgressStyle {
  std::string tag = "migration";  // in brackets before every line
  std::string verb;               // "offline migration": "Starting offline migration for space: s"
  uint64_t batch_size = 0;        // 0: the line with batch size, budget and rate limit is left out
  uint64_t memory_budget_mb = 0;
  uint64_t rate_limit_per_second = 0;
  bool terminal = false;
};

// One thread.
class ProgressView {
 public:
  ProgressView(std::FILE* out, const ProgressStyle& style, Clock& clock)
      : out_(out), style_(style), clock_(clock) {}
  void Update(const engram_se_progress& progress);

 private:
  void StartSpace(const engram_se_progress& progress);
  void StartPhase(const engram_se_progress& progress);
  void DrawBlock(const engram_se_progress& progress);
  void DrawLine(const engram_se_progress& progress);
  void Line(const std::string& text);

  std::FILE* out_;
  const ProgressStyle style_;
  Clock& clock_;
  std::string space_;
  std::string phase_;
  bool block_drawn_ = false;
  bool total_told_ = false;
  uint64_t line_time_ns_ = 0;
};

// "[████████████████----] 80.3% (1,001,932 / 1,247,832)"
std::string ProgressBar(uint64_t done, uint64_t total);
std::string DurationText(double seconds);  // "51 seconds", "12 min 5 s"

}  // namespace engram::cli

#endif  // ENGRAM_CLI_PROGRESS_VIEW_H_
