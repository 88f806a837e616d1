#include "migration/sources/log_scanner.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"

namespace engram::migration {
namespace {

using compat::HeaderCheck;
using compat::kUpstreamHeaderSizeBytes;
using compat::UpstreamHeader;

constexpr uint64_t kHeaderCoveredBytes = 56;
constexpr uint8_t kMagicBytes[4] = {0xEF, 0xBE, 0xAD, 0xDE};

bool AllZero(Bytes bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Position of the first magic, else bytes.size().
size_t FindMagic(Bytes bytes) {
  const uint8_t* p = bytes.data();
  const uint8_t* end = p + bytes.size();
  while (end - p >= static_cast<ptrdiff_t>(sizeof kMagicBytes)) {
    p = static_cast<const uint8_t*>(std::memchr(p, kMagicBytes[0], static_cast<size_t>(end - p)));
    if (p == nullptr || end - p < static_cast<ptrdiff_t>(sizeof kMagicBytes)) break;
    if (std::memcmp(p, kMagicBytes, sizeof kMagicBytes) == 0) {
      return static_cast<size_t>(p - bytes.data());
    }
    ++p;
  }
  return bytes.size();
}

// The magic, or as much of it as there are bytes.
bool StartsWithMagic(Bytes bytes) {
  size_t compared = std::min(bytes.size(), sizeof kMagicBytes);
  return compared > 0 && std::memcmp(bytes.data(), kMagicBytes, compared) == 0;
}

void SetDamage(LogScanner::Event* out, DamageKind kind, uint64_t offset, uint64_t end) {
  out->is_record = false;
  out->kind = kind;
  out->offset = offset;
  out->length = end - offset;
  out->bytes = {};
}

}  // namespace

std::string_view DamageKindName(DamageKind kind) {
  switch (kind) {
    case DamageKind::kTornHeader:
      return "torn-header";
    case DamageKind::kTornPayload:
      return "torn-payload";
    case DamageKind::kZeroTail:
      return "zero-tail";
    case DamageKind::kHeaderChecksum:
      return "header-checksum";
    case DamageKind::kPayloadChecksum:
      return "payload-checksum";
    case DamageKind::kOrphanHeader:
      return "orphan-header";
    case DamageKind::kForeignBytes:
      return "foreign-bytes";
  }
  return "";
}

FileWindow::FileWindow(File& file, uint64_t size_bytes, uint64_t capacity_bytes,
                       const std::atomic<bool>* cancel)
    : file_(file),
      size_bytes_(size_bytes),
      capacity_bytes_(std::max<uint64_t>(capacity_bytes, 4096)),
      cancel_(cancel) {}

Result<Bytes> FileWindow::Get(uint64_t offset, uint64_t size) {
  if (offset >= size_bytes_) return Bytes();
  size = std::min(size, size_bytes_ - offset);
  if (offset >= start_ && offset + size <= start_ + filled_) {
    return Bytes(buffer_).subspan(offset - start_, size);
  }
  // Looked at here, since one record or a run of zeros may be as long as the file.
  if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
    return Status::Cancelled("interrupted while " + file_.path() + " was read");
  }
  uint64_t kept = 0;
  if (offset >= start_ && offset < start_ + filled_) {
    kept = start_ + filled_ - offset;
    std::memmove(buffer_.data(), buffer_.data() + (offset - start_), kept);
  }
  uint64_t wanted = std::min(std::max(size, capacity_bytes_), size_bytes_ - offset);
  if (buffer_.size() < wanted) {
    buffer_.resize(wanted);
  } else if (buffer_.size() > 2 * capacity_bytes_ && wanted <= capacity_bytes_) {
    buffer_.resize(std::max(kept, capacity_bytes_));  // after an unusually large record
    buffer_.shrink_to_fit();
  }
  start_ = offset;
  filled_ = kept;
  while (filled_ < wanted) {
    std::span<uint8_t> rest(buffer_.data() + filled_, wanted - filled_);
    ENGRAM_ASSIGN_OR_RETURN(uint64_t count, file_.ReadAt(offset + filled_, rest));
    if (count == 0) break;
    filled_ += count;
  }
  if (filled_ < size) {
    return Status::Corruption(file_.path() + ": the file shrank while it was read: expected " +
                                  std::to_string(size_bytes_) + " bytes, found " +
                                  std::to_string(offset + filled_),
                              "stop whatever writes to the source and run again");
  }
  return Bytes(buffer_).subspan(0, size);
}

LogScanner::LogScanner(File& file, uint64_t size_bytes, const Options& options)
    : window_(file, size_bytes, options.window_size_bytes, options.cancel),
      speculative_bytes_left_(2 * size_bytes) {}

Result<bool> LogScanner::Next(Event* out) {
  if (position_ >= window_.size_bytes()) return false;
  ENGRAM_TRY(Classify(out));
  position_ = out->offset + out->length;
  return true;
}

Status LogScanner::Classify(Event* out) {
  ENGRAM_ASSIGN_OR_RETURN(Header header, HeaderAt(position_));
  if (!header.fits) return ClassifyTail(out);
  if (header.check == HeaderCheck::kNoMagic) return ClassifyForeign(out);
  if (header.check == HeaderCheck::kBadChecksum) return ClassifyBadHeader(out);
  ENGRAM_ASSIGN_OR_RETURN(bool good, PayloadIsGood(position_, header.value));
  if (!good) return ClassifyBadPayload(header, out);
  return YieldRecord(header, out);
}

Status LogScanner::YieldRecord(const Header& header, Event* out) {
  out->is_record = true;
  out->offset = position_;
  out->length = header.end(position_) - position_;
  out->header = header.value;
  ENGRAM_ASSIGN_OR_RETURN(out->bytes, window_.Get(position_, out->length));
  return Status::Ok();
}

// Fewer than 64 bytes are left.
Status LogScanner::ClassifyTail(Event* out) {
  uint64_t end = window_.size_bytes();
  ENGRAM_ASSIGN_OR_RETURN(Bytes rest, window_.Get(position_, end - position_));
  if (AllZero(rest)) {
    SetDamage(out, DamageKind::kZeroTail, position_, end);
  } else if (StartsWithMagic(rest)) {
    SetDamage(out, DamageKind::kTornHeader, position_, end);
  } else {
    SetDamage(out, DamageKind::kForeignBytes, position_, position_ + FindMagic(rest));
  }
  return Status::Ok();
}

Status LogScanner::ClassifyForeign(Event* out) {
  uint64_t end = window_.size_bytes();
  ENGRAM_ASSIGN_OR_RETURN(bool zero, ZeroToEnd(position_));
  if (zero) {
    SetDamage(out, DamageKind::kZeroTail, position_, end);
    return Status::Ok();
  }
  ENGRAM_ASSIGN_OR_RETURN(uint64_t sync, FindSync(position_ + 1, end));
  SetDamage(out, DamageKind::kForeignBytes, position_, sync);
  return Status::Ok();
}

// The size field cannot be trusted, unless the payload it spans has the checksum that stands beside
// it: then the payload is skipped, so that nothing inside it is taken for a record.
Status LogScanner::ClassifyBadHeader(Event* out) {
  uint64_t end = 0;
  ENGRAM_ASSIGN_OR_RETURN(bool framed, ClaimedPayloadIsGood(position_, &end));
  if (!framed) {
    ENGRAM_ASSIGN_OR_RETURN(end, FindSync(position_ + 4, window_.size_bytes()));
  }
  SetDamage(out, DamageKind::kHeaderChecksum, position_, end);
  return Status::Ok();
}

// The header is good, so its size is what was written; the payload is damaged, cut or missing.
Status LogScanner::ClassifyBadPayload(const Header& header, Event* out) {
  uint64_t body = position_ + kUpstreamHeaderSizeBytes;
  ENGRAM_ASSIGN_OR_RETURN(Header next, HeaderAt(body));
  if (next.fits && next.check == HeaderCheck::kOk) {
    SetDamage(out, DamageKind::kOrphanHeader, position_, body);
    return Status::Ok();
  }
  bool torn = header.end(position_) > window_.size_bytes();
  uint64_t end = std::min(header.end(position_), window_.size_bytes());
  bool framed = false;
  if (!torn) {
    ENGRAM_ASSIGN_OR_RETURN(framed, IsBorder(end));
  }
  // Payload or header may have been cut short by what follows: look for a record inside. The
  // header's last 8 bytes have no checksum and may be the next record's already.
  uint64_t from = position_ + kHeaderCoveredBytes;
  ENGRAM_ASSIGN_OR_RETURN(end, framed ? FindChain(from, end) : FindSync(from, end));
  SetDamage(out, torn ? DamageKind::kTornPayload : DamageKind::kPayloadChecksum, position_, end);
  return Status::Ok();
}

Result<LogScanner::Header> LogScanner::HeaderAt(uint64_t offset) {
  Header header;
  ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(offset, kUpstreamHeaderSizeBytes));
  header.fits = bytes.size() == kUpstreamHeaderSizeBytes;
  if (header.fits) header.check = compat::CheckUpstreamHeader(bytes, &header.value);
  return header;
}

Result<bool> LogScanner::PayloadIsGood(uint64_t offset, const UpstreamHeader& header) {
  uint64_t body = offset + kUpstreamHeaderSizeBytes;
  uint64_t size = header.payload_size_bytes;
  if (size > window_.size_bytes() - body) return false;
  uint32_t crc = 0;
  if (size + kUpstreamHeaderSizeBytes <= window_.capacity_bytes()) {
    // Header and payload at once: the record that is then yielded lies in the window.
    ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(offset, size + kUpstreamHeaderSizeBytes));
    crc = Crc32c(bytes.subspan(kUpstreamHeaderSizeBytes));
  } else {
    for (uint64_t done = 0; done < size;) {
      uint64_t step = std::min(size - done, window_.capacity_bytes());
      ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(body + done, step));
      crc = Crc32cExtend(crc, bytes);
      done += step;
    }
  }
  return crc == header.payload_crc;
}

// For a header that fails its checksum: whether size and payload checksum agree with the bytes.
Result<bool> LogScanner::ClaimedPayloadIsGood(uint64_t offset, uint64_t* end) {
  ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(offset, kUpstreamHeaderSizeBytes));
  UpstreamHeader claimed;
  claimed.payload_size_bytes = LoadLe<uint32_t>(bytes.data() + 24);
  claimed.payload_crc = LoadLe<uint32_t>(bytes.data() + 28);
  // An empty payload has checksum 0: zeros would agree with themselves. The total is bounded, so
  // that a file full of magics cannot make every one of them cost a pass.
  uint64_t size = claimed.payload_size_bytes;
  if (size == 0 || size > speculative_bytes_left_) return false;
  speculative_bytes_left_ -= size;
  *end = offset + kUpstreamHeaderSizeBytes + claimed.payload_size_bytes;
  return PayloadIsGood(offset, claimed);
}

Result<bool> LogScanner::ZeroToEnd(uint64_t offset) {
  uint64_t step = 4096;
  while (offset < window_.size_bytes()) {
    ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(offset, step));
    if (!AllZero(bytes)) return false;
    offset += bytes.size();
    step = window_.capacity_bytes();
  }
  return true;
}

// Whether a record ended at `offset`: the next one starts there, whole or damaged, or the file
// ends.
Result<bool> LogScanner::IsBorder(uint64_t offset) {
  if (offset == window_.size_bytes()) return true;
  ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(offset, sizeof kMagicBytes));
  return StartsWithMagic(bytes);
}

// A good header, or a damaged one in front of a good payload, or the magic in a last, torn header.
Result<bool> LogScanner::StartsRecord(uint64_t offset) {
  ENGRAM_ASSIGN_OR_RETURN(Header header, HeaderAt(offset));
  if (!header.fits) return true;
  if (header.check == HeaderCheck::kOk) return true;
  if (header.check == HeaderCheck::kNoMagic) return false;
  uint64_t ignored_end = 0;
  return ClaimedPayloadIsGood(offset, &ignored_end);
}

Result<uint64_t> LogScanner::FindSync(uint64_t from, uint64_t end) {
  while (true) {
    ENGRAM_ASSIGN_OR_RETURN(uint64_t candidate, NextMagic(from, end));
    if (candidate >= end) return end;
    ENGRAM_ASSIGN_OR_RETURN(bool starts, StartsRecord(candidate));
    if (starts) return candidate;
    from = candidate + 1;
  }
}

// As FindSync, but only for records that follow each other up to exactly `end`: the payload seems
// to end there too, so anything less is taken for a part of it (an embedding may hold any bytes).
Result<uint64_t> LogScanner::FindChain(uint64_t from, uint64_t end) {
  while (true) {
    ENGRAM_ASSIGN_OR_RETURN(uint64_t candidate, FindSync(from, end));
    uint64_t at = candidate;
    while (at < end) {
      ENGRAM_ASSIGN_OR_RETURN(Header header, HeaderAt(at));
      if (!header.fits || header.check != HeaderCheck::kOk || header.end(at) > end) break;
      ENGRAM_ASSIGN_OR_RETURN(bool good, PayloadIsGood(at, header.value));
      if (!good) break;
      at = header.end(at);
    }
    if (at == end) return candidate;
    from = candidate + 1;
  }
}

Result<uint64_t> LogScanner::NextMagic(uint64_t from, uint64_t end) {
  // Windows overlap by three bytes, so that a magic across their border is seen; one that begins
  // before `end` may reach past it.
  while (from < end) {
    uint64_t size = std::min(end - from + sizeof kMagicBytes - 1, window_.capacity_bytes());
    ENGRAM_ASSIGN_OR_RETURN(Bytes bytes, window_.Get(from, size));
    size_t found = FindMagic(bytes);
    if (found < bytes.size()) return std::min(from + found, end);
    if (bytes.size() < size || bytes.size() < sizeof kMagicBytes) break;
    from += bytes.size() - (sizeof kMagicBytes - 1);
  }
  return end;
}

}  // namespace engram::migration
