#include "migration/sources/source_index.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/utf8.h"

namespace engram::migration {
namespace {

using compat::kUpstreamHeaderSizeBytes;
using compat::UpstreamType;

constexpr uint64_t kHashChunkBytes = 1u << 20;
constexpr uint64_t kProgressBytes = 16u << 20;
// What the header checksum covers, and the checksum: the last 8 header bytes are nobody's.
constexpr uint32_t kHeaderIdentityBytes = 56;

uint64_t HashText(std::string_view text) {
  uint64_t hash = std::hash<std::string_view>{}(text);
  return hash ^ (hash >> 32);
}

}  // namespace

Result<std::unique_ptr<SourceIndex>> SourceIndex::Build(FileSystem& fs, const SourceSpace& space,
                                                        const Options& options) {
  std::unique_ptr<SourceIndex> index(new SourceIndex(space, options));
  ENGRAM_TRY(index->Open(fs));
  index->hasher_ = std::thread([raw = index.get()] { raw->hashed_ = raw->HashFiles(); });
  ENGRAM_TRY(index->Scan());
  return index;
}

SourceIndex::~SourceIndex() {
  stop_hashing_ = true;
  IgnoreError(WaitForHashes(), "nobody will ask for them");
}

Status SourceIndex::WaitForHashes() {
  if (hasher_.joinable()) hasher_.join();
  return hashed_;
}

Status SourceIndex::Open(FileSystem& fs) {
  fs_ = &fs;
  for (const SourceFile& source : space_.files) {
    Result<std::unique_ptr<File>> file = fs.Open(source.path, OpenMode::kReadOnly);
    if (!file.ok()) {
      return file.status().WithHint(
          "upstream creates its logs with mode 0600: run as their owner, "
          "or make a copy that you may read");
    }
    ENGRAM_ASSIGN_OR_RETURN(uint64_t size, (*file)->Size());
    total_bytes_ += size;
    files_.push_back({std::move(*file), size});
  }
  ENGRAM_TRY(ids_.Create(fs));
  ENGRAM_TRY(texts_.Create(fs));
  ENGRAM_TRY(versions_.Create(fs));
  ENGRAM_TRY(GrowIdTable());
  ENGRAM_TRY(GrowHeaderTable());
  counters_.files = files_.size();
  counters_.bytes = total_bytes_;
  return Status::Ok();
}

Status SourceIndex::Scan() {
  for (uint32_t i = 0; i < files_.size(); ++i) ENGRAM_TRY(ScanFile(i));
  for (uint64_t i = 0; i < ids_.size(); ++i) {
    if (alive(i)) {
      ++found_;
    } else if (ids_[i].has_been_alive != 0) {
      ++deleted_;
    }
  }
  counters_.versions_superseded =
      counters_.episodes + counters_.memories - counters_.duplicates - found_;
  return Status::Ok();
}

Status SourceIndex::ScanFile(uint32_t file) {
  uint64_t bytes_before = 0;
  for (uint32_t i = 0; i < file; ++i) bytes_before += files_[i].size_bytes;
  LogScanner scanner(*files_[file].file, files_[file].size_bytes, {.cancel = options_.cancel});
  LogScanner::Event event;
  uint64_t reported = 0;
  while (true) {
    if (scanner.position() - reported >= kProgressBytes) {
      reported = scanner.position();
      if (options_.progress) options_.progress(bytes_before + reported, total_bytes_);
      if (Cancelled()) return Status::Cancelled("interrupted while the source was indexed");
    }
    ENGRAM_ASSIGN_OR_RETURN(bool more, scanner.Next(&event));
    if (!more) break;
    if (event.is_record) {
      ENGRAM_TRY(Add(file, event));
    } else {
      counters_.damaged.push_back({space_.files[file].relative_path, event.offset, event.length,
                                   std::string(DamageKindName(event.kind))});
    }
  }
  if (options_.progress) options_.progress(bytes_before + files_[file].size_bytes, total_bytes_);
  return Status::Ok();
}

Status SourceIndex::Add(uint32_t file, const LogScanner::Event& record) {
  ++counters_.records;
  RecordRef ref{file, record.header.type, record.offset, record.header.payload_size_bytes,
                record.header.payload_crc};
  switch (static_cast<UpstreamType>(record.header.type)) {
    case UpstreamType::kEpisodeStore:
    case UpstreamType::kMemoryUpdate:
      return AddMemory(ref, record);
    case UpstreamType::kMemoryDelete:
      if (!IsValidUtf8(record.payload())) {
        Quarantine(ref, "the id of a delete is not UTF-8");
        return Status::Ok();
      }
      ++counters_.deletes;
      return Delete(record.payload());
    case UpstreamType::kConsolidation:
    case UpstreamType::kCheckpoint:
    case UpstreamType::kCompactionMarker:
      ++counters_.other_types;
      return Status::Ok();
  }
  Quarantine(ref, "record type " + std::to_string(ref.type) + " is unknown");
  return Status::Ok();
}

void SourceIndex::Quarantine(const RecordRef& ref, const std::string& reason) {
  quarantined_.push_back({ref, reason});
  counters_.quarantined.push_back({space_.files[ref.file].relative_path, ref.offset, reason});
}

Status SourceIndex::AddMemory(const RecordRef& ref, const LogScanner::Event& record) {
  Status decoded = compat::DecodeUpstreamPayload(ref.type, record.payload(), &scratch_);
  if (!decoded.ok()) {
    Quarantine(ref, decoded.message());
    return Status::Ok();
  }
  const engine::Memory& memory = scratch_.memory;
  bool is_episode = memory.layout != engine::Layout::kM;
  ++(is_episode ? counters_.episodes : counters_.memories);
  ENGRAM_ASSIGN_OR_RETURN(uint64_t id, FindOrAddId(memory.text.id));
  if (versions_.size() >= kNoVersion) {
    return Status::Unsupported("the source has more than 4294967294 records in one space");
  }
  auto version = static_cast<VersionIndex>(versions_.size());
  uint64_t header_hash = HashText(AsView(record.bytes.first(kHeaderIdentityBytes)));
  ENGRAM_ASSIGN_OR_RETURN(bool duplicate, IsDuplicate(header_hash, record));
  if (duplicate) ++counters_.duplicates;
  ENGRAM_TRY(versions_.Append(
      {header_hash, ref.offset, ref.file, ref.type, ref.payload_size_bytes, ref.payload_crc}));
  Id& entry = ids_[id];
  entry.has_been_alive = 1;
  if (is_episode) {
    entry.versions.AddEpisode(version, memory.layout);
  } else {
    entry.versions.AddMemory(version, std::bit_cast<uint32_t>(memory.activation) != 0);
  }
  return Status::Ok();
}

Status SourceIndex::Delete(Bytes id) {
  std::string_view text = AsView(id);
  uint64_t* slot = IdSlot(HashText(text), text);
  if (*slot != 0) ids_[*slot - 1].versions.Delete();
  return Status::Ok();
}

// Enters the record's header into the table of headers; true if the same record came before.
Result<bool> SourceIndex::IsDuplicate(uint64_t header_hash, const LogScanner::Event& record) {
  if (2 * (versions_.size() + 1) > header_table_->size()) ENGRAM_TRY(GrowHeaderTable());
  uint64_t mask = header_table_->size() - 1;
  uint64_t at = header_hash & mask;
  for (; (*header_table_)[at] != 0; at = (at + 1) & mask) {
    const Version& version = versions_[(*header_table_)[at] - 1];
    if (version.header_hash != header_hash) continue;
    ENGRAM_ASSIGN_OR_RETURN(bool same, SameRecord(version, record));
    if (same) return true;
  }
  (*header_table_)[at] = versions_.size() + 1;
  return false;
}

Result<bool> SourceIndex::SameRecord(const Version& version, const LogScanner::Event& record) {
  if (version.payload_size_bytes != record.header.payload_size_bytes) return false;
  compare_buffer_.resize(record.length);
  ENGRAM_ASSIGN_OR_RETURN(uint64_t count,
                          files_[version.file].file->ReadAt(version.offset, compare_buffer_));
  if (count != record.length) return false;
  auto equal = [&](uint64_t from, uint64_t size) {
    return std::memcmp(compare_buffer_.data() + from, record.bytes.data() + from, size) == 0;
  };
  return equal(0, kHeaderIdentityBytes) &&
         equal(kUpstreamHeaderSizeBytes, record.header.payload_size_bytes);
}

Result<uint64_t> SourceIndex::FindOrAddId(std::string_view id) {
  if (2 * (ids_.size() + 1) > id_table_->size()) ENGRAM_TRY(GrowIdTable());
  uint64_t hash = HashText(id);
  uint64_t* slot = IdSlot(hash, id);
  if (*slot != 0) return *slot - 1;
  Id entry{hash, texts_.size(), 0, static_cast<uint32_t>(id.size()), 0, VersionSet()};
  ENGRAM_TRY(texts_.AppendMany(id.data(), id.size()));
  ENGRAM_TRY(ids_.Append(entry));
  *slot = ids_.size();
  return ids_.size() - 1;
}

// The slot that holds `id`, or the free one where it belongs.
uint64_t* SourceIndex::IdSlot(uint64_t hash, std::string_view text) {
  uint64_t mask = id_table_->size() - 1;
  for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
    uint64_t* slot = &(*id_table_)[at];
    if (*slot == 0) return slot;
    if (ids_[*slot - 1].hash == hash && id(*slot - 1) == text) return slot;
  }
}

namespace {

// A new table of four times the size; `hash_of` gives the hash of the entry in a slot.
template <typename HashOf>
Status Rehash(FileSystem& fs, std::unique_ptr<MappedVector<uint64_t>>* table, HashOf hash_of) {
  auto grown = std::make_unique<MappedVector<uint64_t>>();
  ENGRAM_TRY(grown->Create(fs));
  uint64_t old_size = *table ? (*table)->size() : 0;
  ENGRAM_TRY(grown->Resize(std::max<uint64_t>(1u << 12, 4 * old_size)));
  uint64_t mask = grown->size() - 1;
  for (uint64_t i = 0; i < old_size; ++i) {
    uint64_t entry = (**table)[i];
    if (entry == 0) continue;
    uint64_t at = hash_of(entry - 1) & mask;
    while ((*grown)[at] != 0) at = (at + 1) & mask;
    (*grown)[at] = entry;
  }
  *table = std::move(grown);
  return Status::Ok();
}

}  // namespace

Status SourceIndex::GrowIdTable() {
  return Rehash(*fs_, &id_table_, [this](uint64_t i) { return ids_[i].hash; });
}

Status SourceIndex::GrowHeaderTable() {
  return Rehash(*fs_, &header_table_, [this](uint64_t i) { return versions_[i].header_hash; });
}

std::string_view SourceIndex::id(uint64_t i) const {
  return {texts_.data() + ids_[i].text_offset, ids_[i].text_size_bytes};
}

void SourceIndex::Contributions(uint64_t i, std::vector<RecordRef>* out) const {
  thread_local std::vector<VersionIndex> versions;
  ids_[i].versions.Contributions(&versions);
  out->clear();
  for (VersionIndex index : versions) {
    const Version& version = versions_[index];
    out->push_back({version.file, version.type, version.offset, version.payload_size_bytes,
                    version.payload_crc});
  }
}

// Runs beside the scan, over the same bytes of the page cache.
Status SourceIndex::HashFiles() {
  std::vector<uint8_t> chunk(kHashChunkBytes);
  Sha256 whole;
  Sha256 prefix;
  for (size_t i = 0; i < files_.size(); ++i) {
    const std::string& path = space_.files[i].relative_path;
    auto known = options_.known_sizes.find(path);
    SourceFileNow now{path, files_[i].size_bytes, 0, {}};
    if (known != options_.known_sizes.end()) now.prefix_size_bytes = known->second;
    whole.Reset();
    bool prefix_taken = false;
    uint64_t offset = 0;
    while (offset < files_[i].size_bytes || (!prefix_taken && offset == now.prefix_size_bytes)) {
      if (stop_hashing_.load(std::memory_order_relaxed)) return Status::Ok();
      if (Cancelled()) return Status::Cancelled("interrupted while " + path + " was hashed");
      if (offset == now.prefix_size_bytes && !prefix_taken) {
        prefix.CopyFrom(whole);
        now.prefix_sha256 = prefix.Finish();
        prefix_taken = true;
        continue;
      }
      uint64_t step = std::min(kHashChunkBytes, files_[i].size_bytes - offset);
      if (!prefix_taken && now.prefix_size_bytes > offset) {
        step = std::min(step, now.prefix_size_bytes - offset);
      }
      ENGRAM_ASSIGN_OR_RETURN(uint64_t count,
                              files_[i].file->ReadAt(offset, std::span(chunk).first(step)));
      if (count != step) {
        return Status::Corruption(space_.files[i].path + ": the file shrank while it was read",
                                  "stop whatever writes to the source and run again");
      }
      whole.Update(Bytes(chunk).first(step));
      offset += step;
    }
    extents_.push_back({path, files_[i].size_bytes, whole.Finish()});
    files_now_.push_back(now);
  }
  auto by_path = [](const auto& a, const auto& b) { return a.path < b.path; };
  std::sort(extents_.begin(), extents_.end(), by_path);
  std::sort(files_now_.begin(), files_now_.end(), by_path);
  return Status::Ok();
}

Sha256Digest SourceIndex::source_hash() const { return HashExtents(extents_); }

Sha256Digest HashExtents(const std::vector<SourceExtent>& extents) {
  Sha256 sha256;
  std::string line;
  for (const SourceExtent& extent : extents) {
    line.clear();
    PutLe<uint64_t>(&line, extent.path.size());
    line += extent.path;
    PutLe(&line, extent.size_bytes);
    PutBytes(&line, extent.sha256);
    sha256.Update(AsBytes(line));
  }
  return sha256.Finish();
}

}  // namespace engram::migration
