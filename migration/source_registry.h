// What a store remembers of the sources that were ingested into it: one meta row "source.<number>"
// per source, written in the same transactions as the records. Format: docs/format/ingest.md.
#ifndef ENGRAM_MIGRATION_SOURCE_REGISTRY_H_
#define ENGRAM_MIGRATION_SOURCE_REGISTRY_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/store.h"
#include "migration/checkpoint.h"
#include "migration/sources/source_index.h"

namespace engram::migration {

struct KnownSource {
  uint32_t number = 0;                // the `origin` of its records; 1, 2, ...
  bool complete = false;              // an ingest of exactly these extents ended
  std::string directory;              // canonical path it was ingested from last
  std::vector<SourceExtent> extents;  // sorted by path
};

// One durable write through the log, unless the row has this value.
Status KeepMeta(engine::Store& store, std::string_view name, std::string_view value);

// Written before a served store takes in its first source.
inline constexpr std::string_view kSourcesBegunRow = "source.begun";
// Writes that row if it is missing: from now on a delete leaves a tombstone, and no source that
// comes in later brings the record back.
Status ExpectSource(engine::Store& store);

std::string SourceRowName(uint32_t number);
std::string EncodeKnownSource(const KnownSource& source);
// kCorruption for inconsistent bytes, kUnsupported for another version.
Result<KnownSource> DecodeKnownSource(uint32_t number, std::string_view row);
// All of a store, by number.
Result<std::vector<KnownSource>> ReadKnownSources(engine::ReadView& view);

// The path that names a source, whatever way it was given.
std::string CanonicalDirectory(const std::string& directory);

// Leaves of `space` what an ingest into the store of `known` would have read. Legacy logs carry no
// space: one ingest brings them into the space it names, or into "default", and no other has them.
void KeepFilesOfStore(const std::vector<KnownSource>& known, SourceSpace* space);

// Which earlier source this may be, judged by names alone: the one from the same directory, else
// the newest that shares a file name. nullptr if none.
const KnownSource* CandidateOf(const std::vector<KnownSource>& known, const std::string& directory,
                               const SourceSpace& space);

// Decides by content. The number of the earlier source that `index` shows again, whole or grown; 0
// for a new one. kFailedPrecondition: `directory` was ingested before and has been rewritten.
// REQUIRES: the index was built with the known sizes of `candidate` (may be null).
Result<uint32_t> MatchSource(const std::vector<KnownSource>& known, const KnownSource* candidate,
                             const std::string& directory, const SourceIndex& index);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCE_REGISTRY_H_
