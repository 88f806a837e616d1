#include "engine/internal/change_set.h"

#include "base/check.h"

namespace engram::engine {
namespace {

constexpr uint8_t kChangeSetVersion = 1;
constexpr size_t kHeaderSizeBytes = 8;     // version u8, zero u8[3], row count u32
constexpr size_t kRowHeaderSizeBytes = 8;  // table u8, operation u8, key size u16, value size u32
constexpr uint8_t kOperationPut = 1;
constexpr uint8_t kOperationDelete = 2;
constexpr uint8_t kDigestAdd = 1;
constexpr uint8_t kDigestRemove = 2;
constexpr uint8_t kDigestMarkDirty = 3;

template <typename Visit>
void VisitCounts(CountDeltas& d, Visit visit) {
  for (int64_t* field : {&d.records, &d.old, &d.dual, &d.episodes, &d.concepts, &d.edges,
                         &d.bindings, &d.quarantined}) {
    visit(field);
  }
}

bool DecodeRow(ByteReader* reader, RowChange* row) {
  uint8_t table, operation;
  uint16_t key_size;
  uint32_t value_size;
  if (!reader->ReadLe(&table) || !reader->ReadLe(&operation) || !reader->ReadLe(&key_size) ||
      !reader->ReadLe(&value_size)) {
    return false;
  }
  if (table == 0 || table > kTableCount || operation == 0 || operation > kOperationDelete) {
    return false;
  }
  row->table = static_cast<Table>(table);
  row->is_delete = operation == kOperationDelete;
  if (row->is_delete && value_size != 0) return false;
  return reader->ReadBytes(key_size, &row->key) && reader->ReadBytes(value_size, &row->value) &&
         key_size > 0;
}

bool DecodeDigest(ByteReader* reader, DigestChange* change) {
  uint8_t operation;
  Bytes digest;
  if (!reader->ReadLe(&change->sum) || !reader->ReadLe(&operation) ||
      !reader->ReadLe(&change->node.value) || !reader->ReadBytes(32, &digest)) {
    return false;
  }
  if (change->sum == 0 || change->sum > kSumBindings || operation == 0 ||
      operation > kDigestMarkDirty) {
    return false;
  }
  change->is_removal = operation == kDigestRemove;
  change->marks_dirty = operation == kDigestMarkDirty;
  if (change->marks_dirty && change->sum > kTierCount) return false;
  std::memcpy(change->digest.data(), digest.data(), 32);
  return true;
}

}  // namespace

void CountDeltas::Add(const CountDeltas& other) {
  records += other.records, old += other.old, dual += other.dual;
  episodes += other.episodes, concepts += other.concepts;
  edges += other.edges, bindings += other.bindings, quarantined += other.quarantined;
}

void CountDeltas::ApplyTo(Counts* counts) const {
  counts->records += static_cast<uint64_t>(records);
  counts->old += static_cast<uint64_t>(old);
  counts->dual += static_cast<uint64_t>(dual);
  counts->episodes += static_cast<uint64_t>(episodes);
  counts->concepts += static_cast<uint64_t>(concepts);
  counts->edges += static_cast<uint64_t>(edges);
  counts->bindings += static_cast<uint64_t>(bindings);
  counts->quarantined += static_cast<uint64_t>(quarantined);
}

ChangeSetBuilder::ChangeSetBuilder() {
  payload_.reserve(4096);
  payload_.resize(kHeaderSizeBytes, '\0');
  payload_[0] = static_cast<char>(kChangeSetVersion);
}

uint32_t ChangeSetBuilder::AppendRow(Table table, bool is_delete, Bytes key, Bytes value) {
  ENGRAM_CHECK(!key.empty() && key.size() <= UINT16_MAX && value.size() <= UINT32_MAX);
  const auto offset = static_cast<uint32_t>(payload_.size());
  PutLe(&payload_, static_cast<uint8_t>(table));
  PutLe(&payload_, is_delete ? kOperationDelete : kOperationPut);
  PutLe(&payload_, static_cast<uint16_t>(key.size()));
  PutLe(&payload_, static_cast<uint32_t>(value.size()));
  PutBytes(&payload_, key);
  PutBytes(&payload_, value);
  row_offsets_.push_back(offset);
  return offset;
}

uint32_t ChangeSetBuilder::Put(Table table, Bytes key, Bytes value) {
  return AppendRow(table, false, key, value);
}

uint32_t ChangeSetBuilder::Delete(Table table, Bytes key) {
  return AppendRow(table, true, key, {});
}

RowChange ChangeSetBuilder::RowAt(uint32_t offset) const {
  RowChange row;
  ByteReader reader(AsBytes(std::string_view(payload_).substr(offset)));
  ENGRAM_CHECK(DecodeRow(&reader, &row));
  return row;
}

std::string ChangeSetBuilder::Finish(uint64_t next_node_key, uint64_t next_vector_key,
                                     ChangeSet* changes) {
  StoreLe(payload_.data() + 4, static_cast<uint32_t>(row_offsets_.size()));
  PutLe(&payload_, static_cast<uint32_t>(digests_.size()));
  for (const DigestChange& change : digests_) {
    PutLe(&payload_, change.sum);
    PutLe(&payload_, change.marks_dirty  ? kDigestMarkDirty
                     : change.is_removal ? kDigestRemove
                                         : kDigestAdd);
    PutLe(&payload_, change.node.value);
    PutBytes(&payload_, change.digest);
  }
  VisitCounts(counts_, [this](int64_t* field) { PutLe(&payload_, *field); });
  PutLe(&payload_, next_node_key);
  PutLe(&payload_, next_vector_key);
  changes->rows.clear();
  changes->rows.reserve(row_offsets_.size());
  for (const uint32_t offset : row_offsets_) changes->rows.push_back(RowAt(offset));
  changes->digests = std::move(digests_);
  changes->counts = counts_;
  changes->next_node_key = next_node_key;
  changes->next_vector_key = next_vector_key;
  return std::move(payload_);
}

Status DecodeChangeSet(Bytes payload, ChangeSet* out) {
  const auto damaged = [] {
    return Status::Corruption("a log record's change set does not decode to its end");
  };
  ByteReader reader(payload);
  uint32_t header, count;
  if (!reader.ReadLe(&header) || !reader.ReadLe(&count)) return damaged();
  if (header != kChangeSetVersion) {
    return Status::Unsupported(
        "a log record has change set version " + std::to_string(header & 0xff) + ", expected 1",
        "use the version of the program that wrote the store");
  }
  if (count > payload.size() / kRowHeaderSizeBytes) return damaged();
  out->rows.resize(count);
  for (RowChange& row : out->rows) {
    if (!DecodeRow(&reader, &row)) return damaged();
  }
  if (!reader.ReadLe(&count) || count > payload.size() / 42) return damaged();
  out->digests.resize(count);
  for (DigestChange& change : out->digests) {
    if (!DecodeDigest(&reader, &change)) return damaged();
  }
  VisitCounts(out->counts, [&reader](int64_t* field) { reader.ReadLe(field); });
  reader.ReadLe(&out->next_node_key);
  reader.ReadLe(&out->next_vector_key);
  return reader.ok() && reader.remaining() == 0 ? Status::Ok() : damaged();
}

}  // namespace engram::engine
