// SHA-256 and the AES-256-CTR keystream, over OpenSSL with prefetched algorithms. One Sha256 or
// Keystream object per thread: they are not thread-safe and reuse their context.
#ifndef ENGRAM_BASE_CRYPTO_H_
#define ENGRAM_BASE_CRYPTO_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/result.h"

namespace engram {

using Sha256Digest = std::array<uint8_t, 32>;

std::string ToHex(Bytes bytes);  // lowercase
Result<Sha256Digest> ParseSha256Hex(std::string_view text);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Reset();
  void Update(Bytes bytes);
  Sha256Digest Finish();  // call Reset() before the next use
  // Continues from where `other` is, which goes on independently.
  void CopyFrom(const Sha256& other);
  Sha256Digest Hash(Bytes bytes) {
    Reset();
    Update(bytes);
    return Finish();
  }

 private:
  void* context_;  // EVP_MD_CTX
};

// Convenience over a thread-local Sha256.
Sha256Digest Sha256Of(Bytes bytes);

// Fills `out` with unpredictable bytes from the operating system's source; kIo if it has none.
Status FillRandom(std::span<uint8_t> out);

// AES-256-CTR with a zero IV over zero bytes.
class Keystream {
 public:
  Keystream();
  ~Keystream();
  Keystream(const Keystream&) = delete;
  Keystream& operator=(const Keystream&) = delete;
  // Fills `out` with the keystream of `key`.
  void Generate(const Sha256Digest& key, std::span<uint8_t> out);

 private:
  void* context_;  // EVP_CIPHER_CTX
};

}  // namespace engram

#endif  // ENGRAM_BASE_CRYPTO_H_
