// Builds metric families for the exposition, piece by piece.
#ifndef ENGRAM_SERVER_METRICS_FAMILIES_H_
#define ENGRAM_SERVER_METRICS_FAMILIES_H_

#include <prometheus/metric_family.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace engram::server {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// The families of one scrape, in the order they were begun. One thread at a time.
class Families {
 public:
  // Begins a family, so that it is there without a sample too. REQUIRES: a new name.
  void Declare(const std::string& name, prometheus::MetricType type, const std::string& help);
  // A sample of a declared family.
  void Counter(const std::string& name, double value, const MetricLabels& labels = {});
  void Gauge(const std::string& name, double value, const MetricLabels& labels = {});
  // `counts` has one entry per bound and a last one for everything above; not cumulative.
  void Histogram(const std::string& name, std::span<const double> bounds,
                 std::span<const uint64_t> counts, double sum, const MetricLabels& labels = {});
  // Quantiles are exact, over `values` (sorted here); count and sum are those of all there ever
  // were.
  void Summary(const std::string& name, std::vector<double> values,
               std::initializer_list<double> quantiles, uint64_t count, double sum,
               const MetricLabels& labels = {});
  std::string Text() const;

 private:
  prometheus::ClientMetric& Sample(const std::string& name, const MetricLabels& labels);

  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, size_t> index_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_FAMILIES_H_
