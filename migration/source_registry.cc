#include "migration/source_registry.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace engram::migration {
namespace {

constexpr uint32_t kSourceRowVersion = 1;

void PutText(std::string* out, std::string_view text) {
  PutLe(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

bool ReadText(ByteReader* in, std::string* out) {
  uint32_t size = 0;
  Bytes bytes;
  if (!in->ReadLe(&size) || !in->ReadBytes(size, &bytes)) return false;
  out->assign(AsView(bytes));
  return true;
}

bool ReadExtent(ByteReader* in, SourceExtent* out) {
  Bytes hash;
  if (!ReadText(in, &out->path) || !in->ReadLe(&out->size_bytes)) return false;
  if (!in->ReadBytes(out->sha256.size(), &hash)) return false;
  std::copy(hash.begin(), hash.end(), out->sha256.begin());
  return true;
}

// The extents that say something and are not found elsewhere under another name: a log that was
// moved to an archive directory is still there.
std::vector<SourceExtent> Unmoved(const std::vector<SourceExtent>& before,
                                  const std::vector<SourceExtent>& now) {
  std::set<std::pair<uint64_t, Sha256Digest>> contents;
  std::set<std::string> paths;
  for (const SourceExtent& extent : now) {
    contents.insert({extent.size_bytes, extent.sha256});
    paths.insert(extent.path);
  }
  std::vector<SourceExtent> out;
  for (const SourceExtent& extent : before) {
    if (extent.size_bytes == 0) continue;  // upstream leaves empty logs and removes them
    bool moved =
        !paths.contains(extent.path) && contents.contains({extent.size_bytes, extent.sha256});
    if (!moved) out.push_back(extent);
  }
  return out;
}

bool HoldsAll(const std::vector<SourceExtent>& before, const std::vector<SourceExtent>& now) {
  std::set<std::pair<uint64_t, Sha256Digest>> contents;
  for (const SourceExtent& extent : now) contents.insert({extent.size_bytes, extent.sha256});
  bool any = false;
  for (const SourceExtent& extent : before) {
    if (extent.size_bytes == 0) continue;
    if (!contents.contains({extent.size_bytes, extent.sha256})) return false;
    any = true;
  }
  return any;
}

}  // namespace

Status KeepMeta(engine::Store& store, std::string_view name, std::string_view value) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  ENGRAM_ASSIGN_OR_RETURN(const auto present, view->Meta(name));
  view.reset();
  if (present && *present == value) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store.Begin());
  ENGRAM_TRY(txn->SetMeta(name, value));
  ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn, txn->Stage());
  txn.reset();
  return store.WaitDurable(lsn);
}

Status ExpectSource(engine::Store& store) { return KeepMeta(store, kSourcesBegunRow, "1"); }

std::string SourceRowName(uint32_t number) {
  return std::string(engine::kMetaSourcePrefix) + std::to_string(number);
}

std::string EncodeKnownSource(const KnownSource& source) {
  std::string out;
  PutLe(&out, kSourceRowVersion);
  PutLe(&out, static_cast<uint32_t>(source.complete ? 1 : 0));
  PutText(&out, source.directory);
  PutLe(&out, static_cast<uint32_t>(source.extents.size()));
  for (const SourceExtent& extent : source.extents) {
    PutText(&out, extent.path);
    PutLe(&out, extent.size_bytes);
    PutBytes(&out, extent.sha256);
  }
  return out;
}

Result<KnownSource> DecodeKnownSource(uint32_t number, std::string_view row) {
  ByteReader in(AsBytes(row));
  KnownSource source;
  source.number = number;
  uint32_t version = 0;
  uint32_t complete = 0;
  uint32_t count = 0;
  bool ok = in.ReadLe(&version);
  if (ok && version != kSourceRowVersion) {
    return Status::Unsupported("the meta row " + SourceRowName(number) + " has version " +
                                   std::to_string(version) + ", this build knows version 1",
                               "use the version of engram that wrote it");
  }
  ok = ok && in.ReadLe(&complete) && complete <= 1 && ReadText(&in, &source.directory) &&
       in.ReadLe(&count);
  source.complete = complete == 1;
  for (uint32_t i = 0; ok && i < count; ++i) ok = ReadExtent(&in, &source.extents.emplace_back());
  if (!ok || in.remaining() != 0) {
    return Status::Corruption("the meta row " + SourceRowName(number) + " is damaged",
                              "run engram verify on this space");
  }
  return source;
}

Result<std::vector<KnownSource>> ReadKnownSources(engine::ReadView& view) {
  std::vector<KnownSource> out;
  for (uint32_t number = 1;; ++number) {
    ENGRAM_ASSIGN_OR_RETURN(std::optional<std::string> row, view.Meta(SourceRowName(number)));
    if (!row) return out;
    ENGRAM_ASSIGN_OR_RETURN(KnownSource source, DecodeKnownSource(number, *row));
    out.push_back(std::move(source));
  }
}

std::string CanonicalDirectory(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::canonical(directory, error);
  return error ? directory : path.string();
}

void KeepFilesOfStore(const std::vector<KnownSource>& known, SourceSpace* space) {
  if (space->space == kUnnamedSpace) return;
  std::set<std::string> ingested;
  for (const KnownSource& source : known) {
    for (const SourceExtent& extent : source.extents) ingested.insert(extent.path);
  }
  const auto& files = space->files;
  const auto is_legacy = [](const SourceFile& file) { return file.is_legacy; };
  const bool came_in = std::any_of(files.begin(), files.end(), [&](const SourceFile& file) {
    return file.is_legacy && ingested.contains(file.relative_path);
  });
  if (came_in || std::all_of(files.begin(), files.end(), is_legacy)) return;
  std::erase_if(space->files, is_legacy);
}

const KnownSource* CandidateOf(const std::vector<KnownSource>& known, const std::string& directory,
                               const SourceSpace& space) {
  std::set<std::string> paths;
  for (const SourceFile& file : space.files) paths.insert(file.relative_path);
  const KnownSource* sharing = nullptr;
  for (const KnownSource& source : known) {
    if (source.directory == directory) return &source;
    for (const SourceExtent& extent : source.extents) {
      if (extent.size_bytes > 0 && paths.contains(extent.path)) sharing = &source;
    }
  }
  return sharing;
}

Result<uint32_t> MatchSource(const std::vector<KnownSource>& known, const KnownSource* candidate,
                             const std::string& directory, const SourceIndex& index) {
  if (candidate != nullptr) {
    std::vector<SourceExtent> before = Unmoved(candidate->extents, index.extents());
    Status grew = CheckSourceOnlyGrew(before, index.files_now());
    bool same_directory = candidate->directory == directory;
    if (grew.ok() && (same_directory || !before.empty())) return candidate->number;
    if (!grew.ok() && same_directory) return grew;
  }
  for (const KnownSource& source : known) {
    if (HoldsAll(source.extents, index.extents())) return source.number;
  }
  return uint32_t{0};
}

}  // namespace engram::migration
