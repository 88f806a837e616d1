#include "migration/sources/merge.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace engram::migration {
namespace {

using compat::UpstreamRecord;
using engine::Layout;
using engine::Memory;

void FoldEpisode(UpstreamRecord* accumulated, UpstreamRecord* next) {
  Memory& to = accumulated->memory;
  Memory& from = next->memory;
  std::swap(to.text.id, from.text.id);
  std::swap(to.text.content, from.text.content);
  std::swap(to.text.where, from.text.where);
  std::swap(to.text.who, from.text.who);
  to.when = from.when;
  to.confidence_encoding = from.confidence_encoding;
  to.confidence_vividness = from.confidence_vividness;
  to.confidence_reliability = from.confidence_reliability;
  to.last_recall = from.last_recall;
  to.recall_count = from.recall_count;
  to.decay_rate = from.decay_rate;
  if (from.layout >= Layout::kE1) std::swap(to.text.provenance, from.text.provenance);
  if (from.layout >= Layout::kE2) to.decay_function = from.decay_function;
  if (from.layout >= Layout::kE3) std::swap(to.text.metadata, from.text.metadata);
  to.activation = from.confidence_encoding;
  to.layout = from.layout;
  accumulated->embedding = next->embedding;
}

void FoldMemory(UpstreamRecord* accumulated, UpstreamRecord* next) {
  Memory& to = accumulated->memory;
  Memory& from = next->memory;
  std::swap(to.text.id, from.text.id);
  std::swap(to.text.content, from.text.content);
  std::swap(to.text.provenance, from.text.provenance);
  if (std::bit_cast<uint32_t>(from.activation) != 0) to.activation = from.activation;
  to.confidence_encoding = from.confidence_encoding;
  to.last_access = from.last_access;
  to.access_count = from.access_count;
  to.created_at = from.created_at;
  to.decay_rate = from.decay_rate;
  to.layout = Layout::kM;
  accumulated->embedding = next->embedding;
}

}  // namespace

void FoldVersion(bool first, UpstreamRecord* accumulated, UpstreamRecord* next) {
  bool is_memory = next->memory.layout == Layout::kM;
  if (first) {
    std::swap(*accumulated, *next);
    Memory& memory = accumulated->memory;
    if (!is_memory) memory.activation = memory.confidence_encoding;
  } else if (is_memory) {
    FoldMemory(accumulated, next);
  } else {
    FoldEpisode(accumulated, next);
  }
}

void VersionSet::AddEpisode(VersionIndex version, Layout layout) {
  if (memory_ == kNoVersion) episodes_.fill(kNoVersion);  // episodes alone: the newest counts
  int level = static_cast<int>(layout) - static_cast<int>(Layout::kE0);
  for (int i = 0; i <= level; ++i) episodes_[static_cast<size_t>(i)] = version;
  activation_ = version;
  last_ = version;
}

void VersionSet::AddMemory(VersionIndex version, bool sets_activation) {
  memory_ = version;
  if (sets_activation) activation_ = version;
  last_ = version;
}

void VersionSet::Contributions(std::vector<VersionIndex>* out) const {
  out->clear();
  if (empty()) return;
  if (memory_ == kNoVersion) {
    out->push_back(last_);
    return;
  }
  for (VersionIndex version : episodes_) {
    if (version != kNoVersion) out->push_back(version);
  }
  out->push_back(memory_);
  if (activation_ != kNoVersion) out->push_back(activation_);
  std::sort(out->begin(), out->end());
  out->erase(std::unique(out->begin(), out->end()), out->end());
}

}  // namespace engram::migration
