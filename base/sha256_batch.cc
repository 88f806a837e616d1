#include "base/sha256_batch.h"

#ifdef ENGRAM_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "base/check.h"

namespace engram {

#ifdef ENGRAM_HAVE_IPSEC_MB

// A manager of intel-ipsec-mb: about 200 KB, for one thread at a time.
class Sha256Batch::Lanes {
 public:
  // A lane is as slow for one message as for all: for fewer, one by one is quicker.
  static constexpr size_t kMessagesMin = 6;
  // A longer one would keep its lane busy while the others are done.
  static constexpr size_t kMessageSizeMax = 16384;

  // Null if the library cannot work here.
  static std::unique_ptr<Lanes> Make() {
    IMB_MGR* manager = alloc_mb_mgr(0);
    if (manager == nullptr) return nullptr;
    std::unique_ptr<Lanes> lanes(new Lanes(manager));
    IMB_ARCH architecture = IMB_ARCH_NONE;
    init_mb_mgr_auto(manager, &architecture);
    return imb_get_errno(manager) == 0 ? std::move(lanes) : nullptr;
  }
  ~Lanes() { free_mb_mgr(manager_); }
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  static bool Fits(Bytes message) { return !message.empty() && message.size() <= kMessageSizeMax; }

  void Submit(Bytes message, Sha256Digest* digest) {
    IMB_JOB* job = IMB_GET_NEXT_JOB(manager_);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = message.data();
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = message.size();
    job->msg_len_to_cipher_in_bytes = 0;
    job->auth_tag_output = digest->data();
    job->auth_tag_output_len_in_bytes = digest->size();
    ++running_;
    Take(IMB_SUBMIT_JOB(manager_));
    ENGRAM_CHECK(imb_get_errno(manager_) == 0);
  }

  void Finish() {
    while (IMB_JOB* done = IMB_FLUSH_JOB(manager_)) Take(done);
    ENGRAM_CHECK(running_ == 0);
  }

 private:
  explicit Lanes(IMB_MGR* manager) : manager_(manager) {}

  void Take(IMB_JOB* done) {
    for (; done != nullptr; done = IMB_GET_COMPLETED_JOB(manager_)) {
      ENGRAM_CHECK(done->status == IMB_STATUS_COMPLETED);
      --running_;
    }
  }

  IMB_MGR* const manager_;
  size_t running_ = 0;
};

#else

// Without the library every message is hashed alone.
class Sha256Batch::Lanes {
 public:
  static constexpr size_t kMessagesMin = SIZE_MAX;
  static std::unique_ptr<Lanes> Make() { return nullptr; }
  static bool Fits(Bytes) { return false; }
  void Submit(Bytes, Sha256Digest*) {}
  void Finish() {}
};

#endif

Sha256Batch::Sha256Batch() = default;
Sha256Batch::~Sha256Batch() = default;

void Sha256Batch::Finish() {
  size_t begin = 0;
  for (const Buffered& message : buffered_) {
    Add(AsBytes(buffer_).subspan(begin, message.end - begin), message.digest);
    begin = message.end;
  }
  const bool enough = messages_.size() >= Lanes::kMessagesMin;
  if (enough && lanes_ == nullptr) lanes_ = Lanes::Make();
  const bool side_by_side = enough && lanes_ != nullptr;
  for (const Message& message : messages_) {
    if (side_by_side && Lanes::Fits(message.bytes)) {
      lanes_->Submit(message.bytes, message.digest);
    } else {
      *message.digest = one_.Hash(message.bytes);
    }
  }
  if (side_by_side) lanes_->Finish();
  Clear();
}

void Sha256Batch::Clear() {
  constexpr size_t kKeptCapacityBytesMax = 1u << 20;  // huge texts are not kept for ever
  messages_.clear();
  buffered_.clear();
  buffer_.clear();
  if (buffer_.capacity() > kKeptCapacityBytesMax) std::string().swap(buffer_);
}

}  // namespace engram
