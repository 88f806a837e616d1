// GET /api/v1/memories: pages of all memories, sorted by the bytes of their ids.
#include <algorithm>
#include <memory>

#include "base/ascii.h"
#include "base/coding.h"
#include "base/crypto.h"
#include "base/json_text.h"
#include "base/utf8.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/handling.h"
#include "server/api/page_cache.h"
#include "server/api/query_params.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr uint64_t kDefaultLimit = 100;
constexpr uint64_t kLimitMax = 1000;
constexpr size_t kPageCacheSizeBytesMax = 32u << 20;

struct ListQuery {
  uint32_t tier = 0;  // 0: all
  uint64_t offset = 0;
  uint64_t limit = kDefaultLimit;
  std::optional<std::string> after;  // of the cursor
  RecordStyle style;
};

Refused ReadTier(const Request& request, uint32_t* out) {
  const auto text = request.Query("tier");
  if (!text) return std::nullopt;
  const std::string tier = LowerAscii(*text);
  if (tier == "all") return std::nullopt;
  if (tier == "hot") *out = ENGRAM_SE_TIER_HOT;
  if (tier == "warm") *out = ENGRAM_SE_TIER_WARM;
  if (tier == "cold") *out = ENGRAM_SE_TIER_COLD;
  if (*out != 0) return std::nullopt;
  return BadRequest("Invalid tier value: '" + Shown(*text) + "'.",
                    "Use one of hot, warm, cold, all, for example ?tier=all.");
}

// A cursor is the id that the page before ended with, in hexadecimal digits.
Refused ReadCursor(const Request& request, std::optional<std::string>* out) {
  const auto text = request.Query("cursor");
  if (!text) return std::nullopt;
  std::string id;
  bool valid = text->size() % 2 == 0;
  for (size_t i = 0; valid && i + 1 < text->size(); i += 2) {
    const int high = HexDigit((*text)[i]), low = HexDigit((*text)[i + 1]);
    valid = high >= 0 && low >= 0;
    id += static_cast<char>(high * 16 + low);
  }
  if (!valid || !IsValidUtf8(id)) {
    return BadRequest("Invalid cursor: '" + Shown(*text) + "'.",
                      "Send pagination.next_cursor of the page before, or no cursor.");
  }
  *out = std::move(id);
  return std::nullopt;
}

Refused ReadQuery(const Request& request, ListQuery* out) {
  if (auto refused = ReadTier(request, &out->tier)) return refused;
  if (auto refused = QueryUnsigned(request, "offset", &out->offset)) return refused;
  if (auto refused = QueryUnsigned(request, "limit", &out->limit)) return refused;
  if (auto refused = ReadCursor(request, &out->after)) return refused;
  out->limit = std::min(out->limit, kLimitMax);
  return ReadStyle(request, &out->style);
}

std::string CacheKey(const ListQuery& query) {
  std::string key = std::to_string(query.tier) + ' ' + std::to_string(query.offset) + ' ' +
                    std::to_string(query.limit) + (query.style.embeddings ? " e" : "  ");
  if (query.after) key += ' ' + *query.after;
  return key;
}

struct TierCounts {
  uint64_t hot = 0, warm = 0, cold = 0;
  uint64_t total() const { return hot + warm + cold; }
  uint64_t of(uint32_t tier) const {
    return tier == ENGRAM_SE_TIER_HOT    ? hot
           : tier == ENGRAM_SE_TIER_WARM ? warm
           : tier == ENGRAM_SE_TIER_COLD ? cold
                                         : total();
  }
};

// Engines of ABI 1.0 are counted record by record.
Result<TierCounts> CountTiers(plugin::Space& space, bool serving) {
  TierCounts counts;
  if (serving) {
    ENGRAM_ASSIGN_OR_RETURN(const engram_se_figures figures, space.Figures());
    return TierCounts{figures.tier_count[0], figures.tier_count[1], figures.tier_count[2]};
  }
  ENGRAM_TRY(space.Scan({}, [&](const engram_se_memory& memory) {
    (memory.tier == ENGRAM_SE_TIER_HOT    ? counts.hot
     : memory.tier == ENGRAM_SE_TIER_WARM ? counts.warm
                                          : counts.cold) += 1;
    return true;
  }));
  return counts;
}

class ListRoutes {
 public:
  explicit ListRoutes(const ApiContext& context)
      : api_(context),
        serving_(context.spaces.engine().plugin().Has(ENGRAM_SE_CAP_SERVING)),
        cache_(kPageCacheSizeBytesMax) {}

  Response List(const Request& request) {
    ListQuery query;
    if (const auto refused = ReadQuery(request, &query)) return ToResponse(*refused);
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    if (read->deferred) return Response::Defer();
    if (read->space == nullptr) return Response::Json(200, Page(query, TierCounts()).Finish(false));
    const ServedSpace& space = *read->space;
    // A conversion changes what the dual view shows and is no write.
    const bool cached = !query.style.dual_view;
    const std::string key = CacheKey(query);
    if (cached) {
      if (const auto page = cache_.Find(space, key)) return Response::Json(200, *page);
    }
    if (!request.may_block) return Response::Defer();
    const PageVersion version = PageVersion::Of(space);
    auto page = Render(*space.space, query);
    if (!page.ok()) return StatusResponse(page.status());
    if (cached) cache_.Put(space, key, version, *page);
    return Response::Json(200, std::move(*page));
  }

 private:
  // One page as it grows.
  class Page {
   public:
    Page(const ListQuery& query, const TierCounts& counts)
        : query_(query), counts_(counts), body_(R"({"memories":[)") {}

    void Add(const engram_se_memory& memory) {
      if (returned_++ > 0) body_ += ',';
      AppendRecord(memory, query_.style, &body_);
      last_id_ = plugin::ToView(memory.id);
    }
    uint64_t returned() const { return returned_; }

    std::string Finish(bool more) {
      body_ += R"(],"count":)" + std::to_string(returned_);
      body_ += R"(,"total":)" + std::to_string(counts_.of(query_.tier)) + R"(,"pagination":)";
      ObjectText pagination(&body_);
      pagination.Integer("offset", query_.offset);
      pagination.Integer("limit", query_.limit);
      pagination.Integer("returned", returned_);
      more ? pagination.String("next_cursor", ToHex(AsBytes(last_id_)))
           : pagination.Null("next_cursor");
      pagination.Close();
      body_ += R"(,"tier_counts":)";
      ObjectText tiers(&body_);
      tiers.Integer("hot", counts_.hot);
      tiers.Integer("warm", counts_.warm);
      tiers.Integer("cold", counts_.cold);
      tiers.Integer("total", counts_.total());
      tiers.Close();
      body_ += '}';
      return std::move(body_);
    }

   private:
    const ListQuery& query_;
    const TierCounts counts_;
    std::string body_;
    uint64_t returned_ = 0;
    std::string last_id_;
  };

  Result<std::string> Render(plugin::Space& space, const ListQuery& query) const {
    ENGRAM_ASSIGN_OR_RETURN(const TierCounts counts, CountTiers(space, serving_));
    Page page(query, counts);
    bool more = false;
    uint64_t to_skip = serving_ ? 0 : query.offset;
    plugin::ScanOptions scan;
    scan.after = query.after;
    scan.embeddings = query.style.embeddings;
    if (serving_) {  // else the engine knows neither
      scan.skip = query.offset;
      scan.tier = query.tier;
      scan.limit = query.limit + 1;
    }
    ENGRAM_TRY(space.Scan(scan, [&](const engram_se_memory& memory) {
      if (query.tier != 0 && memory.tier != query.tier) return true;
      if (to_skip > 0) {
        --to_skip;
        return true;
      }
      more = page.returned() == query.limit;
      if (!more) page.Add(memory);
      return !more;
    }));
    return page.Finish(more && query.limit > 0);
  }

  const ApiGroup api_;
  const bool serving_;
  PageCache cache_;
};

}  // namespace

void AddListRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<ListRoutes>(context);
  AddMeasured(context, router, "list",
              {Method::kGet, "/api/v1/memories", Execution::kInlineFirst, Guard::kRead,
               [routes](const Request& request) { return routes->List(request); }});
}

}  // namespace engram::server
