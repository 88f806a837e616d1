// Faults planted straight into a closed store, behind its back.
#ifndef ENGRAM_TESTS_MIGRATION_PLANTED_FAULTS_H_
#define ENGRAM_TESTS_MIGRATION_PLANTED_FAULTS_H_

#include <functional>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/crc32c.h"
#include "engine/internal/lmdb.h"
#include "engine/rows.h"

namespace engram::testing {

class PlantedFaults {
 public:
  // `generation` is the directory with data.mdb.
  explicit PlantedFaults(const std::string& generation) {
    auto opened =
        engine::lmdb::Environment::Open({.path = generation, .map_size_bytes = uint64_t{4} << 30});
    ENGRAM_CHECK(opened.ok());
    environment_ = std::move(*opened);
  }

  std::string Get(engine::Table table, const std::string& key) {
    auto txn = environment_->BeginRead();
    ENGRAM_CHECK(txn.ok());
    auto row = txn->Get(table, AsBytes(key));
    ENGRAM_CHECK(row.ok() && row->has_value());
    return std::string(AsView(**row));
  }
  void Put(engine::Table table, const std::string& key, const std::string& value) {
    auto txn = environment_->BeginWrite();
    ENGRAM_CHECK(txn.ok());
    ENGRAM_CHECK((*txn)->Put(table, AsBytes(key), AsBytes(value)).ok());
    ENGRAM_CHECK((*txn)->Commit().ok());
  }
  void Remove(engine::Table table, const std::string& key) {
    auto txn = environment_->BeginWrite();
    ENGRAM_CHECK(txn.ok());
    ENGRAM_CHECK((*txn)->Delete(table, AsBytes(key)).ok());
    ENGRAM_CHECK((*txn)->Commit().ok());
  }
  // The value with its checksum made right again for `key`.
  static std::string Sealed(const std::string& key, std::string value) {
    value.resize(value.size() - 4);
    PutLe(&value, Crc32cExtend(Crc32c(AsBytes(key)), AsBytes(value)));
    return value;
  }
  // Changes the row's bytes and repairs its checksum.
  void Edit(engine::Table table, const std::string& key,
            const std::function<void(std::string*)>& change) {
    std::string value = Get(table, key);
    change(&value);
    Put(table, key, Sealed(key, value));
  }
  void Swap(engine::Table table, const std::string& a, const std::string& b) {
    const std::string row_a = Get(table, a);
    const std::string row_b = Get(table, b);
    Put(table, a, Sealed(a, row_b));
    Put(table, b, Sealed(b, row_a));
  }
  // The key of the n-th row of a table.
  std::string KeyAt(engine::Table table, int n) {
    auto txn = environment_->BeginRead();
    ENGRAM_CHECK(txn.ok());
    auto cursor = engine::lmdb::ReadCursor::Open(*txn, table);
    ENGRAM_CHECK(cursor.ok());
    Bytes key, value;
    auto more = (*cursor)->Seek({}, &key, &value);
    for (; n > 0; --n) more = (*cursor)->Next(&key, &value);
    ENGRAM_CHECK(more.ok() && *more);
    return std::string(AsView(key));
  }

 private:
  std::unique_ptr<engine::lmdb::Environment> environment_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_MIGRATION_PLANTED_FAULTS_H_
