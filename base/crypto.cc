#include "base/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cstring>

#include "base/ascii.h"
#include "base/check.h"

namespace engram {
namespace {

const EVP_MD* FetchedSha256() {
  static const EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ENGRAM_CHECK(md != nullptr);
  return md;
}

const EVP_CIPHER* FetchedAes256Ctr() {
  static const EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
  ENGRAM_CHECK(cipher != nullptr);
  return cipher;
}

}  // namespace

std::string ToHex(Bytes bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

Result<Sha256Digest> ParseSha256Hex(std::string_view text) {
  Sha256Digest digest;
  if (text.size() != 64) return Status::InvalidArgument("a digest has 64 lowercase hex digits");
  for (size_t i = 0; i < 32; ++i) {
    int high = HexDigit(text[2 * i]);
    int low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      return Status::InvalidArgument("a digest has 64 lowercase hex digits");
    }
    digest[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  ENGRAM_CHECK(context_ != nullptr);
  Reset();
}
Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::Reset() {
  ENGRAM_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), FetchedSha256(), nullptr) ==
               1);
}

void Sha256::Update(Bytes bytes) {
  ENGRAM_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) ==
               1);
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest;
  unsigned size = 0;
  ENGRAM_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), &size) == 1);
  ENGRAM_CHECK(size == digest.size());
  return digest;
}

void Sha256::CopyFrom(const Sha256& other) {
  ENGRAM_CHECK(EVP_MD_CTX_copy_ex(static_cast<EVP_MD_CTX*>(context_),
                                  static_cast<const EVP_MD_CTX*>(other.context_)) == 1);
}

Sha256Digest Sha256Of(Bytes bytes) {
  thread_local Sha256 sha256;
  return sha256.Hash(bytes);
}

Status FillRandom(std::span<uint8_t> out) {
  if (RAND_bytes(out.data(), static_cast<int>(out.size())) == 1) return Status::Ok();
  return Status::Io("the operating system gave no random bytes");
}

Keystream::Keystream() : context_(EVP_CIPHER_CTX_new()) {
  ENGRAM_CHECK(context_ != nullptr);
  ENGRAM_CHECK(EVP_EncryptInit_ex(static_cast<EVP_CIPHER_CTX*>(context_), FetchedAes256Ctr(),
                                  nullptr, nullptr, nullptr) == 1);
}
Keystream::~Keystream() { EVP_CIPHER_CTX_free(static_cast<EVP_CIPHER_CTX*>(context_)); }

void Keystream::Generate(const Sha256Digest& key, std::span<uint8_t> out) {
  static const uint8_t kZeroIv[16] = {};
  auto* context = static_cast<EVP_CIPHER_CTX*>(context_);
  ENGRAM_CHECK(EVP_EncryptInit_ex(context, nullptr, nullptr, key.data(), kZeroIv) == 1);
  std::memset(out.data(), 0, out.size());
  int size = 0;
  ENGRAM_CHECK(
      EVP_EncryptUpdate(context, out.data(), &size, out.data(), static_cast<int>(out.size())) == 1);
  ENGRAM_CHECK(size == static_cast<int>(out.size()));
}

}  // namespace engram
