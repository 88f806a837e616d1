#include "migration/internal/salvage_links.h"

#include <array>
#include <bit>

namespace engram::migration::internal {
namespace {

using engine::Table;

struct LinkTables {
  Table out;
  Table in;
  size_t body_size_bytes;
  std::string_view name;
};
constexpr LinkTables kEdges{Table::kEdgesOut, Table::kEdgesIn, 4, "edge"};
constexpr LinkTables kBindings{Table::kBindingsOut, Table::kBindingsIn, 8, "binding"};
constexpr size_t kKeySizeBytes = 24;

struct LinkKey {
  uint64_t from = 0;
  uint64_t ordinal = 0;
  uint64_t to = 0;
  auto operator<=>(const LinkKey&) const = default;
};
// What each of the two rows says; absent if it fails its check or is not there.
struct LinkBodies {
  std::optional<std::string> out;
  std::optional<std::string> in;
};

std::string EncodeKey(uint64_t first, uint64_t ordinal, uint64_t second) {
  std::string key;
  PutBe64(&key, first);
  PutBe64(&key, ordinal);
  PutBe64(&key, second);
  return key;
}

float FloatAt(const std::string& body, size_t at) {
  return std::bit_cast<float>(LoadLe<uint32_t>(AsBytes(body).data() + at));
}

class LinkPass {
 public:
  LinkPass(engine::ReadView& view, SalvageRecords& records, SalvageRows* rows,
           const LinkTables& tables)
      : view_(view), records_(records), rows_(*rows), tables_(tables) {}

  Status Run() {
    ENGRAM_TRY(Read(tables_.out, &LinkBodies::out));
    ENGRAM_TRY(Read(tables_.in, &LinkBodies::in));
    for (const auto& [key, bodies] : links_) ENGRAM_TRY(Settle(key, bodies));
    return Status::Ok();
  }

 private:
  Status Read(Table table, std::optional<std::string> LinkBodies::*side) {
    return view_.ScanTable(table, {}, [&](Bytes key, Bytes value) -> Result<bool> {
      if (key.size() != kKeySizeBytes) {
        Lose(table, key, value, "a key of a wrong size");
        return true;
      }
      LinkKey link{LoadBe64(key.data()), LoadBe64(key.data() + 8), LoadBe64(key.data() + 16)};
      if (table == tables_.in) std::swap(link.from, link.to);
      LinkBodies& bodies = links_[link];
      const auto body = engine::DecodeChecked(key, value);
      if (body.ok() && body->size() == tables_.body_size_bytes) {
        bodies.*side = std::string(AsView(*body));
      } else {
        rows_.SetAside(table, key, value);
      }
      return true;
    });
  }

  Status Settle(const LinkKey& link, const LinkBodies& bodies) {
    const std::string out_key = EncodeKey(link.from, link.ordinal, link.to);
    const std::string in_key = EncodeKey(link.to, link.ordinal, link.from);
    ENGRAM_ASSIGN_OR_RETURN(const auto from, records_.IdOf(NodeKey{link.from}));
    ENGRAM_ASSIGN_OR_RETURN(const auto to, records_.IdOf(NodeKey{link.to}));
    const auto& body = bodies.out ? bodies.out : bodies.in;
    if (!body || !from || !to) {
      Drop(tables_.out, out_key, bodies.out);
      Drop(tables_.in, in_key, bodies.in);
      rows_.plan().quarantined.push_back(
          {from.value_or(""), link.from,
           std::string(tables_.name) + " row " + ToHex(AsBytes(out_key)) +
               (body ? " has an end without an id" : " and its twin fail their checks")});
      return Status::Ok();
    }
    Make(tables_.out, out_key, bodies.out, *body, *from, link.from);
    Make(tables_.in, in_key, bodies.in, *body, *from, link.from);
    Count(link, *body, records_.UuidOf(*from), records_.UuidOf(*to));
    return Status::Ok();
  }

  void Drop(Table table, const std::string& key, const std::optional<std::string>& body) {
    if (!body) return;
    std::string row;
    engine::EncodeChecked(AsBytes(key), AsBytes(*body), &row);
    rows_.SetAside(table, AsBytes(key), AsBytes(row));
  }

  void Make(Table table, const std::string& key, const std::optional<std::string>& stored,
            const std::string& body, const std::string& id, uint64_t node) {
    if (stored == body) return;
    std::string row;
    engine::EncodeChecked(AsBytes(key), AsBytes(body), &row);
    rows_.Put(table, AsBytes(key), std::move(row));
    rows_.plan().repaired.push_back(
        {id, node,
         std::string(tables_.name) + " row " + ToHex(AsBytes(key)) + " was made from its twin"});
  }

  void Lose(Table table, Bytes key, Bytes value, const std::string& reason) {
    rows_.SetAside(table, key, value);
    rows_.plan().quarantined.push_back(
        {"", 0, std::string(tables_.name) + " row " + ToHex(key) + ": " + reason});
  }

  void Count(const LinkKey& link, const std::string& body, const Uuid& from, const Uuid& to) {
    engine::BulkTxn::Totals& totals = rows_.plan().totals;
    if (tables_.body_size_bytes == 4) {
      totals.counts.edges += 1;
      totals.edges.Add(engine::EdgeDigest(from, link.ordinal, to, FloatAt(body, 0)));
      return;
    }
    totals.counts.bindings += 1;
    totals.bindings.Add(
        engine::BindingDigest(from, link.ordinal, to, FloatAt(body, 0), FloatAt(body, 4)));
  }

  engine::ReadView& view_;
  SalvageRecords& records_;
  SalvageRows& rows_;
  const LinkTables& tables_;
  std::map<LinkKey, LinkBodies> links_;
};

}  // namespace

Status SalvageLinkTables(engine::ReadView& view, SalvageRecords& records, SalvageRows* rows) {
  ENGRAM_TRY(LinkPass(view, records, rows, kEdges).Run());
  return LinkPass(view, records, rows, kBindings).Run();
}

}  // namespace engram::migration::internal
