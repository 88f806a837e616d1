// SHA-256 of many messages at a time: several are hashed side by side in the lanes of the
// processor's vector registers, where the library for that is there. The digests are those of
// Sha256. One object per thread.
#ifndef ENGRAM_BASE_SHA256_BATCH_H_
#define ENGRAM_BASE_SHA256_BATCH_H_

#include <memory>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crypto.h"

namespace engram {

class Sha256Batch {
 public:
  Sha256Batch();
  ~Sha256Batch();
  Sha256Batch(const Sha256Batch&) = delete;
  Sha256Batch& operator=(const Sha256Batch&) = delete;

  // Messages to collect before Finish() for the lanes to be full most of the time.
  static constexpr size_t kGroupSize = 64;

  // `*digest` is set by Finish(); both must stay where they are until then.
  void Add(Bytes message, Sha256Digest* digest) { messages_.push_back({message, digest}); }
  // For messages that are made only to be hashed: append one to the buffer, then add it.
  std::string* buffer() { return &buffer_; }
  void AddBuffered(Sha256Digest* digest) { buffered_.push_back({buffer_.size(), digest}); }
  void Finish();
  // Forgets what was added and not finished.
  void Clear();

 private:
  struct Message {
    Bytes bytes;
    Sha256Digest* digest;
  };
  struct Buffered {
    size_t end;  // in buffer_; it begins where the one before ends
    Sha256Digest* digest;
  };
  class Lanes;

  std::vector<Message> messages_;
  std::string buffer_;
  std::vector<Buffered> buffered_;
  std::unique_ptr<Lanes> lanes_;  // made by the first Finish() that has enough messages
  Sha256 one_;
};

}  // namespace engram

#endif  // ENGRAM_BASE_SHA256_BATCH_H_
