#include "migration/internal/salvage_rows.h"

#include "base/crypto.h"

namespace engram::migration::internal {
namespace {

constexpr std::string_view kPrefix = "salvage";
constexpr size_t kKeySizeBytesMax = 480;  // LMDB takes 511

// docs/format/store.md: "salvage", the table's number, the row's key or, if that is too long, its
// first bytes and its hash.
std::string QuarantineKey(engine::Table table, Bytes key) {
  std::string out(kPrefix);
  out.push_back(static_cast<char>(table));
  if (key.size() <= kKeySizeBytesMax) {
    PutBytes(&out, key);
    return out;
  }
  PutBytes(&out, key.first(kKeySizeBytesMax - 32));
  PutBytes(&out, Sha256Of(key));
  return out;
}

}  // namespace

void SalvageRows::Put(engine::Table table, Bytes key, std::string value) {
  plan_.rows[{table, std::string(AsView(key))}] = std::move(value);
}

void SalvageRows::SetAside(engine::Table table, Bytes key, Bytes value) {
  // try_emplace: what was put in its place stays.
  plan_.rows.try_emplace({table, std::string(AsView(key))}, std::nullopt);
  const std::string kept_key = QuarantineKey(table, key);
  std::string body;
  PutLe(&body, static_cast<uint32_t>(key.size()));
  PutBytes(&body, key);
  PutBytes(&body, value);
  std::string kept;
  engine::EncodeChecked(AsBytes(kept_key), AsBytes(body), &kept);
  Put(engine::Table::kQuarantine, AsBytes(kept_key), std::move(kept));
  plan_.rows_set_aside += 1;
}

}  // namespace engram::migration::internal
