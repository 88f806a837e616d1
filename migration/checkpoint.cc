#include "migration/checkpoint.h"

#include <algorithm>
#include <map>

namespace engram::migration {
namespace {

constexpr std::string_view kMagic = "ENGRCKP1";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kPrefixSizeBytes = 16;
constexpr uint32_t kHashSizeBytes = 32;
constexpr uint32_t kBodySizeBytesMax = 64u << 20;
constexpr std::string_view kStateNames[] = {"off",      "prepared",        "write_new",
                                            "backfill", "verify",          "ready",
                                            "cut_over", "rollback_window", "finalized"};

void PutString(std::string* out, std::string_view text) {
  PutLe<uint32_t>(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

void EncodeBody(const Checkpoint& c, std::string* out) {
  PutBytes(out, c.store_uuid.bytes);
  PutBytes(out, c.job_id.bytes);
  PutString(out, c.space);
  PutLe<uint8_t>(out, static_cast<uint8_t>(c.state));
  PutLe<uint32_t>(out, c.conversion_function_id);
  PutLe<uint64_t>(out, c.config.batch_size);
  PutLe<uint64_t>(out, c.config.checkpoint_interval);
  PutLe<uint64_t>(out, c.config.memory_budget_mb);
  PutLe<uint64_t>(out, c.config.rate_limit_per_second);
  PutLe<uint32_t>(out, c.config.parallel_workers);
  PutString(out, c.source_path);
  PutLe<uint32_t>(out, static_cast<uint32_t>(c.source.size()));
  for (const SourceExtent& extent : c.source) {
    PutString(out, extent.path);
    PutLe<uint64_t>(out, extent.size_bytes);
    PutBytes(out, extent.sha256);
  }
  PutLe<uint64_t>(out, c.position);
  PutLe<uint64_t>(out, c.nodes);
  PutLe<uint64_t>(out, c.nodes_total);
  PutLe<uint32_t>(out, static_cast<uint32_t>(c.receipts.size()));
  for (const KeyRange& range : c.receipts) {
    PutLe<uint64_t>(out, range.first);
    PutLe<uint64_t>(out, range.last);
  }
  PutLe<uint64_t>(out, c.start.lsn);
  PutBytes(out, c.start.space);
  for (const StartDigests::Tier& tier : c.start.tiers) {
    PutLe<uint64_t>(out, tier.count);
    PutBytes(out, tier.digest);
  }
  PutLe<uint64_t>(out, static_cast<uint64_t>(c.time_s));
}

template <size_t N>
bool ReadArray(ByteReader& reader, std::array<uint8_t, N>* out) {
  Bytes bytes;
  if (!reader.ReadBytes(N, &bytes)) return false;
  std::copy(bytes.begin(), bytes.end(), out->begin());
  return true;
}

bool ReadString(ByteReader& reader, std::string* out) {
  uint32_t size = 0;
  Bytes bytes;
  if (!reader.ReadLe(&size) || !reader.ReadBytes(size, &bytes)) return false;
  out->assign(AsView(bytes));
  return true;
}

bool ReadExtents(ByteReader& reader, std::vector<SourceExtent>* out) {
  uint32_t count = 0;
  // An extent takes at least 44 bytes: a count beyond what is left is damage, not a reservation.
  if (!reader.ReadLe(&count) || count > reader.remaining() / 44) return false;
  out->resize(count);
  for (SourceExtent& extent : *out) {
    if (!ReadString(reader, &extent.path) || !reader.ReadLe(&extent.size_bytes) ||
        !ReadArray(reader, &extent.sha256)) {
      return false;
    }
  }
  return std::is_sorted(
             out->begin(), out->end(),
             [](const auto& a, const auto& b) { return a.path <= b.path && a.path != b.path; }) ||
         count < 2;
}

bool ReadReceipts(ByteReader& reader, std::vector<KeyRange>* out) {
  uint32_t count = 0;
  if (!reader.ReadLe(&count) || count > reader.remaining() / 16) return false;
  out->resize(count);
  uint64_t after = 0;  // the least value `first` may have, but for the first range
  for (KeyRange& range : *out) {
    if (!reader.ReadLe(&range.first) || !reader.ReadLe(&range.last)) return false;
    if (range.first > range.last || (&range != out->data() && range.first < after)) return false;
    if (range.last >= UINT64_MAX - 1) return false;
    after = range.last + 2;
  }
  return true;
}

bool ReadStart(ByteReader& reader, StartDigests* out) {
  if (!reader.ReadLe(&out->lsn) || !ReadArray(reader, &out->space)) return false;
  for (StartDigests::Tier& tier : out->tiers) {
    if (!reader.ReadLe(&tier.count) || !ReadArray(reader, &tier.digest)) return false;
  }
  return true;
}

bool ReadBody(ByteReader& reader, Checkpoint* c) {
  uint8_t state = 0;
  uint64_t time = 0;
  if (!ReadArray(reader, &c->store_uuid.bytes) || !ReadArray(reader, &c->job_id.bytes) ||
      !ReadString(reader, &c->space) || !reader.ReadLe(&state) ||
      !reader.ReadLe(&c->conversion_function_id)) {
    return false;
  }
  if (state > static_cast<uint8_t>(JobState::kFinalized)) return false;
  c->state = static_cast<JobState>(state);
  reader.ReadLe(&c->config.batch_size);
  reader.ReadLe(&c->config.checkpoint_interval);
  reader.ReadLe(&c->config.memory_budget_mb);
  reader.ReadLe(&c->config.rate_limit_per_second);
  reader.ReadLe(&c->config.parallel_workers);
  if (!ReadString(reader, &c->source_path) || !ReadExtents(reader, &c->source)) return false;
  reader.ReadLe(&c->position);
  reader.ReadLe(&c->nodes);
  reader.ReadLe(&c->nodes_total);
  if (!ReadReceipts(reader, &c->receipts) || !ReadStart(reader, &c->start)) return false;
  reader.ReadLe(&time);
  c->time_s = static_cast<int64_t>(time);
  return reader.ok() && reader.remaining() == 0;
}

Status Damaged(std::string_view path, const std::string& what) {
  return Status::Corruption("the checkpoint " + std::string(path) + " is damaged: " + what,
                            "remove it and run migrate-dual without --resume: what is converted "
                            "already is kept");
}

Status RefuseSource(const std::string& what) {
  return Status::FailedPrecondition(
      "the source is not the one this job began with: " + what,
      "give the directory that the first run was given: it may grow, but what was read may not "
      "change; what stands in it now is a source of its own if it is given as a copy under another "
      "path, without --resume");
}

}  // namespace

std::string_view JobStateName(JobState state) { return kStateNames[static_cast<uint8_t>(state)]; }

Result<JobState> ParseJobState(std::string_view name) {
  for (size_t i = 0; i < std::size(kStateNames); ++i) {
    if (kStateNames[i] == name) return static_cast<JobState>(i);
  }
  return Status::Corruption("unknown migration state '" + std::string(name) + "'",
                            "the store was written by a newer version: use that one");
}

std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  std::string body;
  EncodeBody(checkpoint, &body);
  std::string out(kMagic);
  PutLe<uint32_t>(&out, kVersion);
  PutLe<uint32_t>(&out, static_cast<uint32_t>(body.size()));
  out += body;
  PutBytes(&out, Sha256Of(AsBytes(out)));
  return out;
}

Result<Checkpoint> DecodeCheckpoint(std::string_view path, Bytes bytes) {
  if (bytes.size() < kPrefixSizeBytes + kHashSizeBytes) {
    return Damaged(path, "it has " + std::to_string(bytes.size()) + " bytes, expected at least 48");
  }
  if (AsView(bytes.first(kMagic.size())) != kMagic) {
    return Damaged(path, "offset 0: not a checkpoint (magic)");
  }
  const uint32_t version = LoadLe<uint32_t>(bytes.data() + 8);
  if (version != kVersion) {
    return Status::Unsupported("the checkpoint " + std::string(path) + " has version " +
                                   std::to_string(version) + ", this build knows version 1",
                               "finish the migration with the version of engram that began it");
  }
  const uint32_t size = LoadLe<uint32_t>(bytes.data() + 12);
  if (size > kBodySizeBytesMax || bytes.size() - kPrefixSizeBytes - kHashSizeBytes != size) {
    return Damaged(path, "offset 12: body of " + std::to_string(size) + " bytes in a file of " +
                             std::to_string(bytes.size()));
  }
  const Bytes hashed = bytes.first(kPrefixSizeBytes + size);
  const Sha256Digest actual = Sha256Of(hashed);
  const Bytes expected = bytes.subspan(hashed.size());
  if (!std::equal(expected.begin(), expected.end(), actual.begin())) {
    return Damaged(path, "offset " + std::to_string(hashed.size()) + ": SHA-256 expected " +
                             ToHex(expected) + ", actual " + ToHex(actual));
  }
  ByteReader reader(hashed.subspan(kPrefixSizeBytes));
  Checkpoint checkpoint;
  if (!ReadBody(reader, &checkpoint)) {
    return Damaged(path, "the body does not parse near offset " +
                             std::to_string(kPrefixSizeBytes + reader.position()));
  }
  if (checkpoint.conversion_function_id != kConversionFunctionId) {
    return Status::Unsupported(
        "the checkpoint " + std::string(path) + " belongs to conversion function " +
            std::to_string(checkpoint.conversion_function_id) + ", this build has " +
            std::to_string(kConversionFunctionId),
        "finish the migration with the version of engram that began it, or start it anew without "
        "--resume");
  }
  return checkpoint;
}

Status WriteCheckpoint(FileSystem& fs, const std::string& path, const Checkpoint& checkpoint) {
  ENGRAM_TRY(CreateDirectories(fs, ParentPath(path)));
  return ReplaceFileDurably(fs, path, AsBytes(EncodeCheckpoint(checkpoint)))
      .WithContext("write the checkpoint");
}

Result<Checkpoint> ReadCheckpoint(FileSystem& fs, const std::string& path) {
  if (!Exists(fs, path)) return Status::NotFound("there is no checkpoint at " + path);
  ENGRAM_ASSIGN_OR_RETURN(
      auto bytes, ReadFile(fs, path, kBodySizeBytesMax + kPrefixSizeBytes + kHashSizeBytes));
  return DecodeCheckpoint(path, AsBytes(bytes));
}

Status RemoveCheckpoint(FileSystem& fs, const std::string& path) {
  if (!Exists(fs, path)) return Status::Ok();
  ENGRAM_TRY(fs.Unlink(path));
  return fs.SyncDirectory(ParentPath(path));
}

Status CheckSameStore(const Checkpoint& checkpoint, const Uuid& store_uuid,
                      std::string_view space) {
  constexpr const char* kHint =
      "run migrate-dual without --resume to begin a new job on this store";
  if (checkpoint.store_uuid != store_uuid) {
    return Status::FailedPrecondition("the checkpoint belongs to another store: it names " +
                                          checkpoint.store_uuid.ToString() + ", this store is " +
                                          store_uuid.ToString(),
                                      kHint);
  }
  if (checkpoint.space != space) {
    return Status::FailedPrecondition("the checkpoint belongs to the space '" + checkpoint.space +
                                          "', not to '" + std::string(space) + "'",
                                      kHint);
  }
  return Status::Ok();
}

Status CheckSourceOnlyGrew(const std::vector<SourceExtent>& before,
                           const std::vector<SourceFileNow>& now) {
  std::map<std::string_view, const SourceFileNow*> files;
  for (const SourceFileNow& file : now) files[file.path] = &file;
  for (const SourceExtent& extent : before) {
    auto found = files.find(extent.path);
    if (found == files.end()) return RefuseSource(extent.path + " is gone");
    const SourceFileNow& file = *found->second;
    if (file.size_bytes < extent.size_bytes) {
      return RefuseSource(extent.path + " had at least " + std::to_string(extent.size_bytes) +
                          " bytes and has " + std::to_string(file.size_bytes));
    }
    if (file.prefix_size_bytes != extent.size_bytes || file.prefix_sha256 != extent.sha256) {
      return RefuseSource("the first " + std::to_string(extent.size_bytes) + " bytes of " +
                          extent.path + " were rewritten (SHA-256 expected " +
                          ToHex(extent.sha256) + ", actual " + ToHex(file.prefix_sha256) + ")");
    }
  }
  return Status::Ok();
}

std::string CheckpointPath(std::string_view dual_directory) {
  return JoinPath(JoinPath(dual_directory, "migration"), "checkpoint.bin");
}

std::string AuditLogPath(std::string_view dual_directory) {
  return JoinPath(JoinPath(dual_directory, "migration"), "audit.log");
}

}  // namespace engram::migration
