// How the versions of one id in an upstream log become one memory (design.md section 6), and which
// of them have to be looked at for it.
//
//   type 1 after type 1: the newest counts, alone.
//   type 1 otherwise:    replaces the fields its layout has, keeps the rest;
//                        activation := encoding confidence (it carries none).
//   type 2:              replaces the fields it has, keeps the episode-only ones; an activation of
//                        +0.0 means unknown and keeps the previous one, if there is one.
//   delete:              everything before it is gone.
//   layout:              that of the last.
#ifndef ENGRAM_MIGRATION_SOURCES_MERGE_H_
#define ENGRAM_MIGRATION_SOURCES_MERGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "compat/upstream_codec.h"

namespace engram::migration {

// Number of a version in log order; later ones are larger.
using VersionIndex = uint32_t;
inline constexpr VersionIndex kNoVersion = ~VersionIndex{0};

// Folds `next` onto what came before. `first`: nothing came before. Takes the texts of `next` by
// swapping (it is left with valid, unspecified content); the embedding stays borrowed.
void FoldVersion(bool first, compat::UpstreamRecord* accumulated, compat::UpstreamRecord* next);

// The versions of one id that still matter, kept up to date in constant space while the log is
// read: folding Contributions() gives what folding every version since the last delete would.
class VersionSet {
 public:
  void AddEpisode(VersionIndex version, engine::Layout layout);  // E0-E3
  // `sets_activation`: its activation is not +0.0.
  void AddMemory(VersionIndex version, bool sets_activation);
  void Delete() { *this = VersionSet(); }

  bool empty() const { return last_ == kNoVersion; }
  VersionIndex last() const { return last_; }
  // Oldest first; at most 6.
  void Contributions(std::vector<VersionIndex>* out) const;
  bool has_one_contribution() const { return memory_ == kNoVersion; }

 private:
  VersionIndex last_ = kNoVersion;
  // Of the episodes: the last one whose layout has at least the fields of E0, E1, E2, E3.
  std::array<VersionIndex, 4> episodes_{kNoVersion, kNoVersion, kNoVersion, kNoVersion};
  VersionIndex memory_ = kNoVersion;      // the last type-2 version
  VersionIndex activation_ = kNoVersion;  // the last one that sets the activation
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_MERGE_H_
