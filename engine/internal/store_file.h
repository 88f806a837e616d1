// The STORE file: which store this is and which generation of it is current. 64 bytes, replaced
// atomically and durably. Format: docs/format/store.md.
#ifndef ENGRAM_ENGINE_INTERNAL_STORE_FILE_H_
#define ENGRAM_ENGINE_INTERNAL_STORE_FILE_H_

#include <cstdint>
#include <string>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::engine {

struct StoreFile {
  Uuid store_uuid;
  uint64_t generation = 0;
};

std::string EncodeStoreFile(const StoreFile& file);
// kCorruption for a bad checksum or size, kUnsupported for a newer version; messages name `path`.
Result<StoreFile> DecodeStoreFile(std::string_view path, Bytes bytes);

// kNotFound if there is none.
Result<StoreFile> ReadStoreFile(FileSystem& fs, const std::string& path);
Status WriteStoreFile(FileSystem& fs, const std::string& path, const StoreFile& file);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_STORE_FILE_H_
