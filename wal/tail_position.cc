// The stored form of a tail position: docs/format/log.md section 9.
#include "base/crc32c.h"
#include "wal/log.h"

namespace engram::wal {
namespace {

constexpr std::string_view kMagicPrefix = "ETP";
constexpr std::string_view kMagic = "ETP1";
constexpr size_t kCheckedBytes = 56;

}  // namespace

std::string EncodeTailPosition(const TailPosition& position) {
  std::string out(kMagic);
  PutBytes(&out, position.store_uuid.bytes);
  PutLe(&out, position.epoch);
  PutLe(&out, position.segment);
  PutLe(&out, position.offset_bytes);
  PutLe(&out, position.next.value);
  PutLe(&out, position.chain_crc);
  PutLe(&out, Crc32c(AsBytes(out)));
  return out;
}

Result<TailPosition> DecodeTailPosition(Bytes bytes) {
  const std::string_view text = AsView(bytes);
  if (!text.starts_with(kMagicPrefix)) return Status::Corruption("not a log position");
  if (!text.starts_with(kMagic)) {
    return Status::Unsupported("log position of another version",
                               "use the program that wrote it, or a newer one");
  }
  if (bytes.size() != kCheckedBytes + sizeof(uint32_t)) {
    return Status::Corruption("log position: size expected 60, actual " +
                              std::to_string(bytes.size()));
  }
  const uint32_t actual = LoadLe<uint32_t>(bytes.data() + kCheckedBytes);
  const uint32_t expected = Crc32c(bytes.first(kCheckedBytes));
  if (actual != expected) {
    return Status::Corruption("log position: checksum expected " + std::to_string(expected) +
                              ", actual " + std::to_string(actual));
  }
  TailPosition position;
  ByteReader reader(bytes.subspan(kMagic.size()));
  Bytes uuid;
  reader.ReadBytes(position.store_uuid.bytes.size(), &uuid);
  std::copy(uuid.begin(), uuid.end(), position.store_uuid.bytes.begin());
  reader.ReadLe(&position.epoch);
  reader.ReadLe(&position.segment);
  reader.ReadLe(&position.offset_bytes);
  reader.ReadLe(&position.next.value);
  reader.ReadLe(&position.chain_crc);
  return position;
}

}  // namespace engram::wal
