// The rows of the digest table, whole and damaged under their own checksums: no crash, a row of
// another size is refused, and what loads is stored as it was loaded.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "engine/internal/digest_rows.h"
#include "engine/rows.h"

namespace {

using namespace engram;
using namespace engram::engine;

using Rows = std::map<std::string, std::string>;

void Require(bool condition) {
  if (!condition) std::abort();
}

// The first byte says what is wrong with the row, if anything; the body is what follows, filled up
// with zeros to the size that the row has.
enum Damage : uint8_t { kMissing = 1, kShort = 2, kLong = 4, kUnsealed = 8 };

class Input {
 public:
  explicit Input(Bytes bytes) : rest_(bytes) {}
  // True if the row is there with the size and the checksum it should have.
  bool AddRow(const std::string& key, size_t size_bytes, Rows* rows) {
    const std::string damage(Take(1));
    const uint8_t bits = damage.empty() ? 0 : static_cast<uint8_t>(damage[0]);
    if ((bits & kMissing) != 0) return false;
    std::string body(Take(size_bytes));
    body.resize(size_bytes + ((bits & kLong) != 0 ? 1 : 0) - ((bits & kShort) != 0 ? 1 : 0));
    std::string& row = (*rows)[key];
    EncodeChecked(AsBytes(key), AsBytes(body), &row);
    if ((bits & kUnsealed) != 0) row[bits % row.size()] ^= 1;
    return body.size() == size_bytes && (bits & kUnsealed) == 0;
  }

 private:
  std::string_view Take(size_t size_bytes) {
    const std::string_view taken = AsView(rest_).substr(0, size_bytes);
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  Bytes rest_;
};

Result<DigestRows> LoadAll(const Rows& rows) {
  return DigestRows::Load([&](Bytes key) -> Result<std::optional<Bytes>> {
    const auto found = rows.find(std::string(AsView(key)));
    if (found == rows.end()) return std::optional<Bytes>();
    return std::optional<Bytes>(AsBytes(found->second));
  });
}

Rows StoreAll(const DigestRows& digests) {
  Rows rows;
  const Status stored = digests.Store([&](Bytes key, Bytes value) {
    rows[std::string(AsView(key))] = AsView(value);
    return Status::Ok();
  });
  Require(stored.ok());
  return rows;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input({data, size});
  Rows range;
  const std::string range_key = RangeRowKey(7);
  const bool whole = input.AddRow(range_key, 40, &range);
  if (!range.empty()) {
    Require(DecodeRangeRow(AsBytes(range_key), AsBytes(range[range_key])).ok() == whole);
  }
  Rows rows;
  size_t whole_rows = input.AddRow("counts", 64, &rows) ? 1 : 0;
  for (const char* key : {"edges", "bindings"}) {
    whole_rows += input.AddRow(key, LtHash::kSizeBytes, &rows) ? 1 : 0;
  }
  for (const char* key : {"tier/1", "tier/2", "tier/3"}) {
    whole_rows += input.AddRow(key, 16 + LtHash::kSizeBytes, &rows) ? 1 : 0;
  }
  const Result<DigestRows> loaded = LoadAll(rows);
  Require(loaded.ok() == (whole_rows == rows.size()));
  if (!loaded.ok()) return 0;
  const Rows stored = StoreAll(*loaded);
  for (const char* key : {"counts", "edges", "bindings"}) {
    Require(!rows.contains(key) || rows.at(key) == stored.at(key));
  }
  const Result<DigestRows> again = LoadAll(stored);
  Require(again.ok() && StoreAll(*again) == stored);
  return 0;
}
