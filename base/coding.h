// Fixed-width little-endian integers, big-endian keys, and a bounds-checked byte reader.
#ifndef ENGRAM_BASE_CODING_H_
#define ENGRAM_BASE_CODING_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace engram {

static_assert(std::endian::native == std::endian::little,
              "the formats assume a little-endian host");

using Bytes = std::span<const uint8_t>;

inline Bytes AsBytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
inline std::string_view AsView(Bytes b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

template <typename T>
T LoadLe(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
void StoreLe(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
inline uint64_t LoadBe64(const void* p) { return __builtin_bswap64(LoadLe<uint64_t>(p)); }
inline void StoreBe64(void* p, uint64_t v) { StoreLe(p, __builtin_bswap64(v)); }

// Appends to a std::string used as a byte buffer.
template <typename T>
void PutLe(std::string* out, T v) {
  char b[sizeof(T)];
  StoreLe(b, v);
  out->append(b, sizeof b);
}
inline void PutBe64(std::string* out, uint64_t v) { PutLe(out, __builtin_bswap64(v)); }
inline void PutBytes(std::string* out, Bytes b) {
  out->append(reinterpret_cast<const char*>(b.data()), b.size());
}

// Reads forward over borrowed bytes. After the first short read every call returns false, so a
// decoder may read several fields and test once.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}
  template <typename T>
  bool ReadLe(T* out) {
    if (!Need(sizeof(T))) return false;
    *out = LoadLe<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return true;
  }
  bool ReadBytes(uint64_t size, Bytes* out) {
    if (!Need(size)) return false;
    *out = bytes_.subspan(position_, size);
    position_ += size;
    return true;
  }
  bool ok() const { return ok_; }
  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

 private:
  bool Need(uint64_t size) {
    if (!ok_ || size > bytes_.size() - position_) ok_ = false;
    return ok_;
  }
  Bytes bytes_;
  uint64_t position_ = 0;
  bool ok_ = true;
};

}  // namespace engram

#endif  // ENGRAM_BASE_CODING_H_
