#include "server/metrics/families.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "base/check.h"

namespace engram::server {

void Families::Declare(const std::string& name, prometheus::MetricType type,
                       const std::string& help) {
  index_[name] = families_.size();
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  families_.push_back(std::move(family));
}

prometheus::ClientMetric& Families::Sample(const std::string& name, const MetricLabels& labels) {
  const auto at = index_.find(name);
  ENGRAM_CHECK(at != index_.end());
  auto& metric = families_[at->second].metric.emplace_back();
  for (const auto& [label, value] : labels) metric.label.push_back({label, value});
  return metric;
}

void Families::Counter(const std::string& name, double value, const MetricLabels& labels) {
  Sample(name, labels).counter.value = value;
}

void Families::Gauge(const std::string& name, double value, const MetricLabels& labels) {
  Sample(name, labels).gauge.value = value;
}

void Families::Histogram(const std::string& name, std::span<const double> bounds,
                         std::span<const uint64_t> counts, double sum, const MetricLabels& labels) {
  auto& histogram = Sample(name, labels).histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    const double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({cumulative, bound});
  }
  histogram.sample_count = cumulative;
  histogram.sample_sum = sum;
}

void Families::Summary(const std::string& name, std::vector<double> values,
                       std::initializer_list<double> quantiles, uint64_t count, double sum,
                       const MetricLabels& labels) {
  auto& summary = Sample(name, labels).summary;
  std::sort(values.begin(), values.end());
  for (const double quantile : quantiles) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (!values.empty()) {
      const auto rank =
          static_cast<size_t>(std::ceil(quantile * static_cast<double>(values.size())));
      value = values[std::max<size_t>(rank, 1) - 1];
    }
    summary.quantile.push_back({quantile, value});
  }
  summary.sample_count = count;
  summary.sample_sum = sum;
}

std::string Families::Text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families_);
  return std::move(out).str();
}

}  // namespace engram::server
