// A growing array in an unlinked, memory-mapped temporary file: large working data that must not
// count as anonymous memory. Not thread-safe while it grows; reads may be shared afterwards.
#ifndef ENGRAM_MIGRATION_SOURCES_MAPPED_VECTOR_H_
#define ENGRAM_MIGRATION_SOURCES_MAPPED_VECTOR_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "base/file_system.h"
#include "base/result.h"

namespace engram::migration {

// The bytes behind a MappedVector.
class MappedBytes {
 public:
  MappedBytes() = default;
  ~MappedBytes();
  MappedBytes(const MappedBytes&) = delete;
  MappedBytes& operator=(const MappedBytes&) = delete;

  // Makes the file in $TMPDIR, else in /tmp, and unlinks it at once. On a file system without
  // descriptors (simulated disk) plain memory is used.
  Status Create(FileSystem& fs);
  // Grows to at least `size_bytes`; new bytes are zero. The data may move.
  Status Reserve(uint64_t size_bytes);
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  uint64_t capacity_bytes() const { return capacity_bytes_; }

 private:
  Status Map(uint64_t size_bytes);
  std::string directory_;
  std::unique_ptr<File> file_;  // null: anonymous
  uint8_t* data_ = nullptr;
  uint64_t capacity_bytes_ = 0;
};

template <typename T>
class MappedVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Status Create(FileSystem& fs) { return bytes_.Create(fs); }
  uint64_t size() const { return size_; }
  T& operator[](uint64_t i) { return reinterpret_cast<T*>(bytes_.data())[i]; }
  const T& operator[](uint64_t i) const { return reinterpret_cast<const T*>(bytes_.data())[i]; }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data()); }

  Status Append(const T& value) { return AppendMany(&value, 1); }
  Status AppendMany(const T* values, uint64_t count) {
    ENGRAM_TRY(Grow(size_ + count));
    if (count > 0) std::memcpy(static_cast<void*>(&(*this)[size_]), values, count * sizeof(T));
    size_ += count;
    return Status::Ok();
  }
  // New elements are all zero bytes. Never shrinks.
  Status Resize(uint64_t size) {
    ENGRAM_TRY(Grow(size));
    ENGRAM_CHECK(size >= size_);
    size_ = size;
    return Status::Ok();
  }

 private:
  Status Grow(uint64_t size) {
    if (size * sizeof(T) <= bytes_.capacity_bytes()) return Status::Ok();
    return bytes_.Reserve(std::max(size * sizeof(T), 2 * bytes_.capacity_bytes()));
  }
  MappedBytes bytes_;
  uint64_t size_ = 0;
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_MAPPED_VECTOR_H_
