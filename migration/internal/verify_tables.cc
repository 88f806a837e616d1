#include "migration/internal/verify_tables.h"

#include <algorithm>
#include <unordered_map>

#include "migration/job.h"

namespace engram::migration::internal {
namespace {

using engine::Table;
using UuidBytes = std::array<uint8_t, 16>;
using UuidsByKey = std::unordered_map<uint64_t, UuidBytes>;

constexpr size_t kLinkKeySizeBytes = 24;

Status ScanAll(engine::ReadView& view, Table table,
               const std::function<void(Bytes key, Bytes value)>& visit) {
  return view.ScanTable(table, {}, [&](Bytes key, Bytes value) -> Result<bool> {
    visit(key, value);
    return true;
  });
}

// Rows that map a name to a node key; `expected` holds the name's mark per node key.
Status CheckNameTable(engine::ReadView& view, Table table, const char* what,
                      const std::vector<uint64_t>& expected, VerifyReport* report) {
  std::vector<bool> seen(expected.size());
  const std::string row_name = std::string(what) + " row";
  ENGRAM_TRY(ScanAll(view, table, [&](Bytes key, Bytes value) {
    Bytes body;
    const std::string damage = ReadSmall(key, value, &body);
    if (!damage.empty() || body.size() != 8) {
      return report->Corrupt(row_name + " " + ToHex(key) + ": " +
                             (damage.empty() ? "size " + std::to_string(body.size()) : damage));
    }
    const uint64_t node = LoadLe<uint64_t>(body.data());
    // A key without a record: an edge endpoint, or what an ingest has planned.
    if (node >= expected.size() || expected[node] == 0) return;
    if (expected[node] != MarkOf(key)) {
      return report->Mismatch({"node key " + std::to_string(node), row_name,
                               "the row of this record's own " + std::string(what), ToHex(key)});
    }
    seen[node] = true;
  }));
  for (uint64_t node = 0; node < expected.size(); ++node) {
    if (expected[node] != 0 && !seen[node]) {
      report->Missing(row_name + " of node key " + std::to_string(node));
    }
  }
  return Status::Ok();
}

Status CollectEndpoints(engine::ReadView& view, UuidsByKey* uuids) {
  for (Table table : {Table::kEdgesOut, Table::kEdgesIn, Table::kBindingsOut, Table::kBindingsIn}) {
    ENGRAM_TRY(ScanAll(view, table, [&](Bytes key, Bytes) {
      if (key.size() != kLinkKeySizeBytes) return;
      uuids->emplace(LoadBe64(key.data()), UuidBytes{});
      uuids->emplace(LoadBe64(key.data() + 16), UuidBytes{});
    }));
  }
  if (uuids->empty()) return Status::Ok();
  return ScanAll(view, Table::kUuids, [&](Bytes key, Bytes value) {
    Bytes body;
    if (!ReadSmall(key, value, &body).empty() || body.size() != 8 || key.size() != 16) return;
    auto found = uuids->find(LoadLe<uint64_t>(body.data()));
    if (found != uuids->end()) std::copy(key.begin(), key.end(), found->second.begin());
  });
}

// docs/format/digest.md section 5, written out again.
Sha256Digest LinkDigest(std::string_view prefix, const UuidBytes& source, uint64_t ordinal,
                        const UuidBytes& target, Bytes floats) {
  std::string bytes(prefix);
  PutBytes(&bytes, source);
  PutLe<uint64_t>(&bytes, ordinal);
  PutBytes(&bytes, target);
  PutBytes(&bytes, floats);
  return Sha256Of(AsBytes(bytes));
}

struct LinkTable {
  Table table;
  bool reversed;  // the key begins with the target
};

Status SumLinks(engine::ReadView& view, const LinkTable& links, std::string_view prefix,
                size_t value_size, const UuidsByKey& uuids, engine::LtHash* sum, uint64_t* count,
                VerifyReport* report) {
  return ScanAll(view, links.table, [&](Bytes key, Bytes value) {
    Bytes floats;
    const std::string damage = ReadSmall(key, value, &floats);
    const std::string name =
        std::string(prefix.substr(7, prefix.find('/', 7) - 7)) + " row " + ToHex(key);
    if (!damage.empty() || key.size() != kLinkKeySizeBytes || floats.size() != value_size) {
      return report->Corrupt(name + ": " + (damage.empty() ? "wrong size" : damage));
    }
    const auto first = uuids.find(LoadBe64(key.data()));
    const auto second = uuids.find(LoadBe64(key.data() + 16));
    if (first->second == UuidBytes{} || second->second == UuidBytes{}) {
      return report->Missing("the uuid row of an endpoint of " + name);
    }
    const auto& source = links.reversed ? second->second : first->second;
    const auto& target = links.reversed ? first->second : second->second;
    sum->Add(LinkDigest(prefix, source, LoadBe64(key.data() + 8), target, floats));
    *count += 1;
  });
}

// The forward table gives the sum; the reverse one must give the same.
Status CheckPair(engine::ReadView& view, Table forward, Table reverse, std::string_view prefix,
                 size_t value_size, const UuidsByKey& uuids, engine::LtHash* sum, uint64_t* count,
                 VerifyReport* report) {
  engine::LtHash back;
  uint64_t back_count = 0;
  ENGRAM_TRY(SumLinks(view, {forward, false}, prefix, value_size, uuids, sum, count, report));
  ENGRAM_TRY(
      SumLinks(view, {reverse, true}, prefix, value_size, uuids, &back, &back_count, report));
  if (!(back == *sum) || back_count != *count) {
    report->Mismatch({std::string(prefix.substr(7, prefix.find('/', 7) - 7)) + "s", "reverse table",
                      std::to_string(*count) + " " + ToHex(sum->Publish()),
                      std::to_string(back_count) + " " + ToHex(back.Publish())});
  }
  return Status::Ok();
}

}  // namespace

Status CheckIdTable(engine::ReadView& view, const RecordMarks& marks, VerifyReport* report) {
  return CheckNameTable(view, Table::kIds, "id", marks.id_hash, report);
}

Status CheckUuidTable(engine::ReadView& view, const RecordMarks& marks, VerifyReport* report) {
  return CheckNameTable(view, Table::kUuids, "uuid", marks.uuid_hash, report);
}

Status CheckEmbeddingTable(engine::ReadView& view, const std::vector<uint64_t>& referenced,
                           VerifyReport* report) {
  size_t at = 0;
  return ScanAll(view, Table::kEmbeddings, [&](Bytes key, Bytes) {
    const uint64_t vector = key.size() == 8 ? LoadBe64(key.data()) : 0;
    while (at < referenced.size() && referenced[at] < vector) ++at;
    if (at == referenced.size() || referenced[at] != vector) {
      report->Orphan("embedding row " + std::to_string(vector));
    }
  });
}

Status CheckLinks(engine::ReadView& view, LinkSums* sums, VerifyReport* report) {
  constexpr std::string_view kEdge("engram/edge/1\0", 14);
  constexpr std::string_view kBinding("engram/binding/1\0", 17);
  UuidsByKey uuids;
  ENGRAM_TRY(CollectEndpoints(view, &uuids));
  if (uuids.empty()) return Status::Ok();
  ENGRAM_TRY(CheckPair(view, Table::kEdgesOut, Table::kEdgesIn, kEdge, 4, uuids, &sums->edges,
                       &sums->edge_count, report));
  return CheckPair(view, Table::kBindingsOut, Table::kBindingsIn, kBinding, 8, uuids,
                   &sums->bindings, &sums->binding_count, report);
}

Status CheckKeyCounters(engine::ReadView& view, VerifyReport* report) {
  const auto check = [&](const char* name, uint64_t last) -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto row, view.Meta(name));
    const uint64_t next = row && row->size() == 8 ? LoadLe<uint64_t>(row->data()) : 0;
    if (next <= last) {
      report->Mismatch({"meta", name, "above " + std::to_string(last), std::to_string(next)});
    }
    return Status::Ok();
  };
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t text, LastKeyOf(view, Table::kContent));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t record, LastRecordKey(view));
  ENGRAM_TRY(check("engine.next_node_key", std::max(text, record)));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t vector, LastKeyOf(view, Table::kEmbeddings));
  return check("engine.next_vector_key", vector);
}

}  // namespace engram::migration::internal
