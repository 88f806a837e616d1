#include "engine/internal/store_file.h"

#include "base/coding.h"
#include "base/crc32c.h"

namespace engram::engine {
namespace {

constexpr char kMagic[9] = "ENGRMDUA";
constexpr uint32_t kStoreFileVersion = 1;
constexpr size_t kSizeBytes = 64;
constexpr size_t kCrcOffset = 60;

}  // namespace

std::string EncodeStoreFile(const StoreFile& file) {
  std::string out(kMagic, 8);
  PutLe(&out, kStoreFileVersion);
  PutLe(&out, uint32_t{0});
  PutBytes(&out, file.store_uuid.bytes);
  PutLe(&out, file.generation);
  out.resize(kCrcOffset, '\0');
  PutLe(&out, Crc32c(AsBytes(out)));
  return out;
}

Result<StoreFile> DecodeStoreFile(std::string_view path, Bytes bytes) {
  const std::string name(path);
  const std::string hint = "restore the store from a backup or ingest its source again";
  if (bytes.size() < 16 || AsView(bytes.first(8)) != std::string_view(kMagic, 8)) {
    return Status::Corruption(name + ": not a STORE file: its first bytes are not the magic", hint);
  }
  const auto version = LoadLe<uint32_t>(bytes.data() + 8);
  if (version != kStoreFileVersion) {
    return Status::Unsupported(name + ": the store was written by format version " +
                                   std::to_string(version) + ", this program knows version 1",
                               "use the version of the program that wrote the store");
  }
  if (bytes.size() != kSizeBytes) {
    return Status::Corruption(name + ": size " + std::to_string(bytes.size()) + ", expected 64",
                              hint);
  }
  const auto expected = LoadLe<uint32_t>(bytes.data() + kCrcOffset);
  const uint32_t actual = Crc32c(bytes.first(kCrcOffset));
  if (expected != actual) {
    return Status::Corruption(name + ": checksum at offset 60 is " + std::to_string(expected) +
                                  ", computed " + std::to_string(actual),
                              hint);
  }
  StoreFile file;
  std::memcpy(file.store_uuid.bytes.data(), bytes.data() + 16, 16);
  file.generation = LoadLe<uint64_t>(bytes.data() + 32);
  return file;
}

Result<StoreFile> ReadStoreFile(FileSystem& fs, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(std::string bytes, ReadFile(fs, path, 4096));
  return DecodeStoreFile(path, AsBytes(bytes));
}

Status WriteStoreFile(FileSystem& fs, const std::string& path, const StoreFile& file) {
  return ReplaceFileDurably(fs, path, AsBytes(EncodeStoreFile(file)));
}

}  // namespace engram::engine
