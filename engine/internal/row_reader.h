// Rows at one LSN: a transaction's own staged rows over the memtables over LMDB.
#ifndef ENGRAM_ENGINE_INTERNAL_ROW_READER_H_
#define ENGRAM_ENGINE_INTERNAL_ROW_READER_H_

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory_resource>
#include <optional>
#include <string>

#include "engine/internal/store_impl.h"

namespace engram::engine {

// The rows a WriteTxn has staged itself, by table and key.
class StagedRows {
 public:
  explicit StagedRows(const ChangeSetBuilder& builder) : builder_(builder) {}
  void Note(Table table, Bytes key, uint32_t offset);
  std::optional<OverlayRow> Find(Table table, Bytes key) const;
  std::vector<OverlayRow> Collect(Table table, Bytes first, Bytes prefix) const;
  bool empty() const { return offsets_.empty(); }

 private:
  const ChangeSetBuilder& builder_;
  // Enough for the rows of one record: its transaction allocates nothing for them.
  std::array<std::byte, 2048> buffer_;
  std::pmr::monotonic_buffer_resource arena_{buffer_.data(), buffer_.size()};
  std::pmr::map<std::pmr::string, uint32_t, std::less<>> offsets_{&arena_};  // table byte + key
};

class RowReader {
 public:
  // `staged` may be null; it must outlive the reader.
  RowReader(ReadState state, const StagedRows* staged)
      : state_(std::move(state)), staged_(staged) {}

  // The stored row (checksum not verified), borrowed until the reader ends or the next staging.
  Result<std::optional<Bytes>> Get(Table table, Bytes key) const;
  // Rows with key >= first that begin with prefix, in key order; false from `visit` stops.
  Status Scan(Table table, Bytes first, Bytes prefix,
              const std::function<Result<bool>(Bytes key, Bytes value)>& visit) const;
  // The last row whose key begins with `prefix`; borrowed as by Get.
  Result<std::optional<std::pair<Bytes, Bytes>>> Last(Table table, Bytes prefix) const;
  // As Get, verified and without its checksum; for rows of EncodeChecked.
  Result<std::optional<Bytes>> GetChecked(Table table, Bytes key) const;
  // DamagedRow() of this environment.
  Status Damaged(Table table, Bytes key, std::string_view what) const;

  const ReadState& state() const { return state_; }

 private:
  // What lies above LMDB's rows, by key.
  std::vector<OverlayRow> CollectOverlay(Table table, Bytes first, Bytes prefix) const;

  ReadState state_;
  const StagedRows* staged_;
};

std::string_view TableName(Table table);
// The error of a row that fails its checks: where its bytes are, what is wrong, and the way on.
Status DamagedRow(const lmdb::Environment& environment, Table table, Bytes key,
                  std::string_view what);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_ROW_READER_H_
