// One range of node keys: old heads, dual heads, extensions and text rows, each read in one scan at
// one snapshot, merged by key.
#include <algorithm>

#include "compat/conversion.h"
#include "migration/convert.h"

namespace engram::migration {
namespace {

using engine::Table;

struct OldRow {
  uint64_t key = 0;
  size_t offset = 0;  // in rows_
  size_t size = 0;
  bool settled = false;  // dual already, or poisoned
};

struct DualRow {
  uint64_t key = 0;
  uint64_t seq = 0;
  bool readable = false;
  std::string reason;
};

class RangeConverterImpl final : public RangeConverter {
 public:
  RangeConverterImpl(engine::Store& store, SpaceId space)
      : store_(store), space_(std::move(space)) {}

  Status Convert(const KeyRange& range, ConvertedRange* out) override {
    out->range = range;
    out->head_count = 0;
    out->poison.clear();
    out->found = out->already_dual = 0;
    out_ = out;
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_.Snapshot());
    ENGRAM_TRY(ReadOldRows(*view));
    ENGRAM_TRY(ReadDualRows(*view));
    SettleDual();
    if (std::ranges::all_of(old_, &OldRow::settled)) return Status::Ok();
    ENGRAM_TRY(ReadExtensions(*view));
    return ConvertTexts(*view);
  }

 private:
  // Visits the rows of `table` within the range.
  template <typename Visit>
  Status Scan(engine::ReadView& view, Table table, Visit visit) {
    const uint64_t last = out_->range.last;
    return view.ScanTable(
        table, AsBytes(engine::EncodeU64Key(out_->range.first)),
        [&](Bytes key, Bytes value) -> Result<bool> {
          if (key.size() != 8) {
            return Status::Corruption("a node key of " + std::to_string(key.size()) + " bytes");
          }
          const uint64_t node = LoadBe64(key.data());
          if (node > last) return false;
          visit(node, key, value);
          return true;
        });
  }

  Status ReadOldRows(engine::ReadView& view) {
    old_.clear();
    rows_.clear();
    return Scan(view, Table::kOldHeads, [&](uint64_t node, Bytes, Bytes value) {
      old_.push_back({node, rows_.size(), value.size(), false});
      PutBytes(&rows_, value);
    });
  }

  Status ReadDualRows(engine::ReadView& view) {
    dual_.clear();
    return Scan(view, Table::kHeads, [&](uint64_t node, Bytes key, Bytes value) {
      const Status decoded = engine::DecodeDualHead(key, value, &dual_head_);
      dual_.push_back(
          {node, decoded.ok() ? dual_head_.common.seq.value : 0, decoded.ok(), decoded.message()});
    });
  }

  // Marks what needs no conversion and counts.
  void SettleDual() {
    out_->found = old_.size();
    size_t at = 0;
    for (const DualRow& dual : dual_) {
      while (at < old_.size() && old_[at].key < dual.key) ++at;
      const bool has_old = at < old_.size() && old_[at].key == dual.key;
      if (!has_old) {
        out_->found += 1;
        out_->already_dual += 1;
      } else if (!dual.readable) {
        Poison(&old_[at], "its dual head is damaged: " + dual.reason);
      } else if (!Decode(old_[at]) || dual.seq >= old_head_.common.seq.value) {
        // Beside a good dual head a damaged old one is verification's to report.
        old_[at].settled = true;
        out_->already_dual += 1;
      }
    }
  }

  Status ReadExtensions(engine::ReadView& view) {
    extensions_.clear();
    return Scan(view, Table::kExtensions, [&](uint64_t node, Bytes key, Bytes value) {
      engine::Extension extension;
      const Status decoded = engine::DecodeExtension(key, value, &extension);
      extensions_.push_back({node, extension, decoded.message()});
    });
  }

  Status ConvertTexts(engine::ReadView& view) {
    size_t at = 0;
    size_t extension = 0;
    if (!old_.empty()) {
      ENGRAM_TRY(Scan(view, Table::kContent, [&](uint64_t node, Bytes key, Bytes value) {
        while (at < old_.size() && old_[at].key < node) Poison(&old_[at++], kNoText);
        if (at == old_.size() || old_[at].key != node) return;
        OldRow& row = old_[at++];
        while (extension < extensions_.size() && extensions_[extension].key < node) ++extension;
        const bool typed = extension < extensions_.size() && extensions_[extension].key == node;
        if (!row.settled) ConvertOne(&row, key, value, typed ? &extensions_[extension] : nullptr);
      }));
    }
    while (at < old_.size()) Poison(&old_[at++], kNoText);
    return Status::Ok();
  }

  struct ExtensionRow {
    uint64_t key = 0;
    engine::Extension extension;
    std::string damage;
  };

  void ConvertOne(OldRow* row, Bytes key, Bytes text_row, const ExtensionRow* typed) {
    if (!Decode(*row)) return Poison(row, "its old head is damaged: " + damage_);
    if (typed != nullptr && !typed->damage.empty()) {
      return Poison(row, "its extension row is damaged: " + typed->damage);
    }
    const Status decoded = engine::DecodeTextFields(key, text_row, &text_);
    if (!decoded.ok()) return Poison(row, "its text row is damaged: " + decoded.message());
    if (out_->heads.size() == out_->head_count) out_->heads.emplace_back();
    ConvertedRange::Head& head = out_->heads[out_->head_count];
    head.key = NodeKey{row->key};
    head.head.common = old_head_.common;
    compat::ToDualHead(old_head_.memory, engine::NodeUuid(space_, text_.id),
                       typed != nullptr ? typed->extension : kNothingSet, &head.head.node);
    const Sha256Digest digest = engine::RecordDigest(head.head.node, text_);
    if (digest != old_head_.common.digest) {
      return Poison(row, "its digest would change: expected " + ToHex(old_head_.common.digest) +
                             ", actual " + ToHex(digest));
    }
    out_->head_count += 1;
  }

  // Into old_head_.
  bool Decode(const OldRow& row) {
    const std::string key = engine::EncodeU64Key(row.key);
    const Status decoded = engine::DecodeOldHead(
        AsBytes(key), AsBytes(std::string_view(rows_).substr(row.offset, row.size)), &old_head_);
    if (!decoded.ok()) damage_ = decoded.message();
    return decoded.ok();
  }

  void Poison(OldRow* row, std::string reason) {
    if (row->settled) return;
    row->settled = true;
    out_->poison.push_back(
        {NodeKey{row->key}, std::move(reason), rows_.substr(row->offset, row->size)});
  }

  static constexpr const char* kNoText = "its text row is missing";
  const engine::Extension kNothingSet;
  engine::Store& store_;
  const SpaceId space_;
  ConvertedRange* out_ = nullptr;
  std::vector<OldRow> old_;
  std::string rows_;
  std::vector<DualRow> dual_;
  std::vector<ExtensionRow> extensions_;
  engine::OldHead old_head_;
  engine::DualHead dual_head_;
  engine::TextFields text_;
  std::string damage_;
};

}  // namespace

Result<std::unique_ptr<RangeConverter>> RangeConverter::Make(engine::Store& store) {
  ENGRAM_ASSIGN_OR_RETURN(SpaceId space, SpaceId::Parse(store.space()));
  return std::unique_ptr<RangeConverter>(
      std::make_unique<RangeConverterImpl>(store, std::move(space)));
}

}  // namespace engram::migration
