#include "engine/record.h"
#include "migration/checkpoint.h"

namespace engram::migration {
namespace {

constexpr uint64_t kSizeBytesMax = 256u << 20;
constexpr std::string_view kHashKey = "\"hash\":\"";
constexpr size_t kTailSizeBytes = 8 + 64 + 2;  // "hash":"<64 hex>"}

struct Walked {
  AuditChain chain;
  uint64_t valid_size_bytes = 0;  // up to the last complete line
};

Status BadLine(const std::string& path, uint64_t line, const std::string& what) {
  return Status::Corruption(
      "the audit log " + path + " was changed: line " + std::to_string(line) + ": " + what,
      "keep a copy of it, then move it away to go on with a new log");
}

Status CheckLine(const std::string& path, std::string_view line, AuditChain* chain) {
  const uint64_t number = chain->lines + 1;
  if (line.size() <= kTailSizeBytes || line.back() != '}' ||
      line.substr(line.size() - kTailSizeBytes, kHashKey.size()) != kHashKey) {
    return BadLine(path, number, "it does not end in a hash");
  }
  const std::string_view hashed = line.substr(0, line.size() - kTailSizeBytes);
  const std::string_view written = line.substr(line.size() - 66, 64);
  const Sha256Digest actual = Sha256Of(AsBytes(hashed));
  if (ToHex(actual) != written) {
    return BadLine(path, number,
                   "hash expected " + std::string(written) + ", actual " + ToHex(actual));
  }
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("seq") || json["seq"] != number) {
    return BadLine(path, number, "it is not entry number " + std::to_string(number));
  }
  if (!json.contains("prev") || json["prev"] != ToHex(chain->last)) {
    return BadLine(path, number, "its predecessor is not the line before it");
  }
  chain->last = actual;
  chain->lines = number;
  return Status::Ok();
}

Result<Walked> Walk(FileSystem& fs, const std::string& path) {
  Walked walked;
  if (!Exists(fs, path)) return walked;
  ENGRAM_ASSIGN_OR_RETURN(auto text, ReadFile(fs, path, kSizeBytesMax));
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      walked.chain.torn_tail = true;
      break;
    }
    ENGRAM_TRY(CheckLine(path, rest.substr(0, end), &walked.chain));
    rest.remove_prefix(end + 1);
    walked.valid_size_bytes += end + 1;
  }
  return walked;
}

class AuditLogImpl final : public AuditLog {
 public:
  AuditLogImpl(std::unique_ptr<File> file, Clock& clock, const Walked& walked)
      : file_(std::move(file)), clock_(clock), walked_(walked) {}

  Status Append(std::string_view event, const nlohmann::json& details) override {
    const engine::Timestamp now{clock_.WallSeconds(), 0};
    // Written by hand: the order of the keys is part of the format.
    std::string line =
        "{\"seq\":" + std::to_string(walked_.chain.lines + 1) + ",\"time\":\"" +
        engine::FormatTimestamp(now) + "\",\"event\":" + nlohmann::json(std::string(event)).dump() +
        ",\"data\":" + Dump(details) + ",\"prev\":\"" + ToHex(walked_.chain.last) + "\",";
    const Sha256Digest hash = Sha256Of(AsBytes(line));
    line += std::string(kHashKey) + ToHex(hash) + "\"}\n";
    ENGRAM_TRY(file_->WriteAtDurable(walked_.valid_size_bytes, AsBytes(line)));
    walked_.valid_size_bytes += line.size();
    walked_.chain.lines += 1;
    walked_.chain.last = hash;
    return Status::Ok();
  }

 private:
  static std::string Dump(const nlohmann::json& details) {
    if (details.is_null()) return "{}";
    return details.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }

  std::unique_ptr<File> file_;
  Clock& clock_;
  Walked walked_;
};

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::Open(FileSystem& fs, Clock& clock,
                                                 const std::string& path) {
  ENGRAM_TRY(CreateDirectories(fs, ParentPath(path)));
  ENGRAM_ASSIGN_OR_RETURN(const Walked walked, Walk(fs, path));
  const bool existed = Exists(fs, path);
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kCreate));
  if (walked.chain.torn_tail) ENGRAM_TRY(file->Truncate(walked.valid_size_bytes));
  // The chain goes on behind these lines, and the last one may be of a process whose flush failed.
  ENGRAM_TRY(WriteCachedAgain(*file, 0, walked.valid_size_bytes));
  ENGRAM_TRY(file->Sync());
  if (!existed) ENGRAM_TRY(fs.SyncDirectory(ParentPath(path)));
  return std::unique_ptr<AuditLog>(std::make_unique<AuditLogImpl>(std::move(file), clock, walked));
}

Result<AuditChain> VerifyAuditLog(FileSystem& fs, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(const Walked walked, Walk(fs, path));
  return walked.chain;
}

}  // namespace engram::migration
