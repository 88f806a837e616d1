#include "cli/progress_view.h"

#include <algorithm>
#include <cmath>

#include "cli/console.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::cli {
namespace {

constexpr int kBarCells = 20;
constexpr int kBlockLines = 4;
constexpr uint64_t kLineIntervalNs = 1'000'000'000;
constexpr uint64_t kMebibyte = 1u << 20;

using plugin::ToView;

std::string Fixed1(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// Indexing a source counts bytes, compaction the rows of all tables, everything else nodes.
bool CountsBytes(const engram_se_progress& p) { return ToView(p.phase) == "index"; }
bool CountsRows(const engram_se_progress& p) { return ToView(p.phase) == "compact"; }

std::string RateText(const engram_se_progress& p) {
  const double rate = std::max(0.0, p.rate_per_second);
  if (CountsBytes(p)) return Fixed1(rate / kMebibyte) + " MB/sec";
  return WithThousands(static_cast<uint64_t>(rate)) + (CountsRows(p) ? " rows/sec" : " nodes/sec");
}

std::string EtaText(const engram_se_progress& p) {
  return p.eta_seconds < 0 ? "unknown" : DurationText(p.eta_seconds);
}

std::string MemoryText(const engram_se_progress& p) {
  const std::string used = std::to_string(p.resident_anon_bytes / kMebibyte) + " MB";
  if (p.memory_budget_bytes == 0) return used;
  const double share = 100.0 * static_cast<double>(p.resident_anon_bytes) /
                       static_cast<double>(p.memory_budget_bytes);
  return used + " / " + std::to_string(p.memory_budget_bytes / kMebibyte) + " MB (" +
         Fixed1(share) + "%)";
}

std::string CheckpointText(const engram_se_progress& p) {
  if (p.checkpoint_time.size_bytes == 0) return "none yet";
  return std::string(ToView(p.checkpoint_time)) + " (" + WithThousands(p.checkpoint_nodes) +
         " nodes)";
}

double Percent(uint64_t done, uint64_t total) {
  return total == 0
             ? 0.0
             : 100.0 * static_cast<double>(std::min(done, total)) / static_cast<double>(total);
}

std::string CountText(uint64_t done, uint64_t total) {
  if (total == 0) return WithThousands(done);
  // 100.0 % is said only when it is done.
  const double percent = done < total ? std::min(Percent(done, total), 99.9) : 100.0;
  return Fixed1(percent) + "% (" + WithThousands(done) + " / " + WithThousands(total) + ")";
}

}  // namespace

std::string ProgressBar(uint64_t done, uint64_t total) {
  const auto full = static_cast<int>(Percent(done, total) / 100.0 * kBarCells);
  std::string bar = "[";
  for (int i = 0; i < kBarCells; ++i) bar += i < full ? "\u2588" : "-";
  return bar + "] " + CountText(done, total);
}

std::string DurationText(double seconds) {
  const auto whole = static_cast<uint64_t>(std::ceil(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 120) return std::to_string(whole) + " seconds";
  if (whole < 7200) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

void ProgressView::Line(const std::string& text) {
  std::fprintf(out_, "%s[%s]%s%s\n", style_.terminal ? "\x1b[2K" : "", style_.tag.c_str(),
               text.empty() ? "" : " ", text.c_str());
}

void ProgressView::Update(const engram_se_progress& progress) {
  if (ToView(progress.space) != space_) StartSpace(progress);
  if (ToView(progress.phase) != phase_) StartPhase(progress);
  style_.terminal ? DrawBlock(progress) : DrawLine(progress);
  std::fflush(out_);
}

void ProgressView::StartSpace(const engram_se_progress& progress) {
  space_ = ToView(progress.space);
  phase_.clear();
  total_told_ = false;
  block_drawn_ = false;
  Line("Starting " + style_.verb + " for space: " + space_);
}

void ProgressView::StartPhase(const engram_se_progress& progress) {
  phase_ = ToView(progress.phase);
  block_drawn_ = false;
  line_time_ns_ = 0;
  if (progress.total != 0 && !total_told_ && !CountsBytes(progress)) {
    total_told_ = true;
    Line((CountsRows(progress) ? "Total rows: " : "Total nodes: ") + WithThousands(progress.total));
    if (style_.batch_size != 0) {
      Line("Batch size: " + WithThousands(style_.batch_size) +
           " | Memory budget: " + std::to_string(style_.memory_budget_mb) + " MB | Rate limit: " +
           (style_.rate_limit_per_second == 0
                ? "none"
                : WithThousands(style_.rate_limit_per_second) + " nodes/sec"));
    }
  }
  if (style_.terminal) {
    Line("");
    Line("Phase: " + phase_);
  }
}

void ProgressView::DrawBlock(const engram_se_progress& p) {
  if (block_drawn_) std::fprintf(out_, "\x1b[%dA", kBlockLines);
  block_drawn_ = true;
  Line("Progress: " + ProgressBar(p.done, p.total) + (CountsBytes(p) ? " bytes" : ""));
  Line("Rate: " + RateText(p) + " | ETA: " + EtaText(p));
  Line("Memory: " + MemoryText(p));
  Line("Last checkpoint: " + CheckpointText(p));
}

void ProgressView::DrawLine(const engram_se_progress& p) {
  const uint64_t now_ns = clock_.MonotonicNs();
  const bool last = p.total != 0 && p.done == p.total;
  if (!last && p.done == 0) return;
  if (!last && line_time_ns_ != 0 && now_ns - line_time_ns_ < kLineIntervalNs) return;
  line_time_ns_ = now_ns;
  Line(phase_ + ": " + CountText(p.done, p.total) + (CountsBytes(p) ? " bytes" : "") +
       " | Rate: " + RateText(p) + " | ETA: " + EtaText(p) + " | Memory: " + MemoryText(p) +
       " | Last checkpoint: " + CheckpointText(p));
}

}  // namespace engram::cli
