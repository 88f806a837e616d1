#include "compat/text_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace engram::compat {
namespace {

constexpr ptrdiff_t kBlockBytes = 16;  // SSE2, which every x86-64 has
constexpr ptrdiff_t kWideBytes = 32;   // AVX2

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }
char Fold(char c) { return IsUpper(c) ? static_cast<char>(c | 0x20) : c; }
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
// What a text byte must be or-ed with to compare equal to the folded byte `c`, and to no other.
char MaskOf(char c) { return IsLetter(c) ? 0x20 : 0; }

// Whether `text` folds to `folded`.
bool EqualsFolded(std::string_view text, std::string_view folded) {
  if (text.size() != folded.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Fold(text[i]) != folded[i]) return false;
  }
  return true;
}

class WordReader {
 public:
  explicit WordReader(std::string_view text) : text_(text) {}
  bool Next(std::string_view* word) {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    const size_t begin = at_;
    while (at_ < text_.size() && !IsSpace(text_[at_])) ++at_;
    *word = text_.substr(begin, at_ - begin);
    return !word->empty();
  }

 private:
  const std::string_view text_;
  size_t at_ = 0;
};

// Distinct words, without regard to case. A hash table of views that keeps its memory.
class OtherWords {
 public:
  void Clear() {
    if (!words_.empty()) std::fill(slots_.begin(), slots_.end(), 0);
    words_.clear();
  }
  size_t size() const { return words_.size(); }
  void Add(std::string_view word) {
    if (2 * words_.size() >= slots_.size()) Grow();
    for (size_t slot = Hash(word) & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot] == 0) {
        words_.push_back(word);
        slots_[slot] = static_cast<uint32_t>(words_.size());
        return;
      }
      if (Same(words_[slots_[slot] - 1], word)) return;
    }
  }

 private:
  static uint64_t Hash(std::string_view word) {
    uint64_t hash = word.size();
    for (char c : word) hash = (hash ^ static_cast<uint8_t>(Fold(c))) * 0x100000001b3;
    return hash ^ (hash >> 32);
  }
  static bool Same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      if (Fold(a[i]) != Fold(b[i])) return false;
    }
    return true;
  }
  void Grow() {
    std::vector<std::string_view> words;
    words.swap(words_);
    slots_.assign(std::max<size_t>(64, slots_.size() * 2), 0);
    for (std::string_view word : words) Add(word);
  }
  std::vector<std::string_view> words_;
  std::vector<uint32_t> slots_;  // 1 + index into words_; 0: empty
};

}  // namespace

std::string FoldAscii(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = Fold(c);
  return out;
}

std::vector<std::string_view> WordsOf(std::string_view folded) {
  std::vector<std::string_view> words;
  WordReader reader(folded);
  for (std::string_view word; reader.Next(&word);) words.push_back(word);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

FoldedNeedle::FoldedNeedle(std::string_view needle) : folded_(FoldAscii(needle)) {
  if (folded_.empty()) return;
  first_mask_ = MaskOf(folded_.front());
  last_mask_ = MaskOf(folded_.back());
}

bool FoldedNeedle::MatchesAt(const char* at) const {
  for (size_t i = 0; i < folded_.size(); ++i) {
    if (Fold(at[i]) != folded_[i]) return false;
  }
  return true;
}

bool FoldedNeedle::IsIn(std::string_view text) const {
  if (folded_.empty()) return true;
  if (text.size() < folded_.size()) return false;
  const char* const last = text.data() + (text.size() - folded_.size());  // where it can begin
  const char* at = text.data();
#if defined(__x86_64__)
  static const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
  if (kHasAvx2 && last - at >= kWideBytes) return IsInWide(at, last);
  if (last - at >= kBlockBytes) return IsInBlocks(at, last);
#endif
  for (; at <= last; ++at) {
    if (static_cast<char>(*at | first_mask_) == folded_.front() && MatchesAt(at)) return true;
  }
  return false;
}

#if defined(__x86_64__)
// Many places at a time: those whose first and last byte fit are looked at in full. The last block
// overlaps the one before it.
bool FoldedNeedle::IsInBlocks(const char* at, const char* last) const {
  const size_t span = folded_.size() - 1;
  const __m128i first_byte = _mm_set1_epi8(folded_.front());
  const __m128i last_byte = _mm_set1_epi8(folded_.back());
  const __m128i first_mask = _mm_set1_epi8(first_mask_);
  const __m128i last_mask = _mm_set1_epi8(last_mask_);
  for (;;) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + span));
    const __m128i both = _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(a, first_mask), first_byte),
                                       _mm_cmpeq_epi8(_mm_or_si128(b, last_mask), last_byte));
    if (AnyMatch(at, static_cast<uint32_t>(_mm_movemask_epi8(both)))) return true;
    if (at == last + 1 - kBlockBytes) return false;
    at = std::min(at + kBlockBytes, last + 1 - kBlockBytes);
  }
}

__attribute__((target("avx2"))) bool FoldedNeedle::IsInWide(const char* at,
                                                            const char* last) const {
  const size_t span = folded_.size() - 1;
  const __m256i first_byte = _mm256_set1_epi8(folded_.front());
  const __m256i last_byte = _mm256_set1_epi8(folded_.back());
  const __m256i first_mask = _mm256_set1_epi8(first_mask_);
  const __m256i last_mask = _mm256_set1_epi8(last_mask_);
  for (;;) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + span));
    const __m256i both =
        _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_or_si256(a, first_mask), first_byte),
                         _mm256_cmpeq_epi8(_mm256_or_si256(b, last_mask), last_byte));
    if (AnyMatch(at, static_cast<uint32_t>(_mm256_movemask_epi8(both)))) return true;
    if (at == last + 1 - kWideBytes) return false;
    at = std::min(at + kWideBytes, last + 1 - kWideBytes);
  }
}

bool FoldedNeedle::AnyMatch(const char* at, uint32_t places) const {
  for (; places != 0; places &= places - 1) {
    if (MatchesAt(at + __builtin_ctz(places))) return true;
  }
  return false;
}
#endif

TextScorer::TextScorer(std::string_view query, float threshold, uint32_t k)
    : query_(query),
      needle_(query),
      words_(WordsOf(needle_.folded())),
      threshold_(threshold),
      k_(k) {
  for (std::string_view word : words_) word_needles_.emplace_back(word);
}

bool TextScorer::Better(const TextHit& a, const TextHit& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.id < b.id;
}

// What a further record has to reach to matter.
float TextScorer::Least() const {
  return best_.size() < k_ ? threshold_ : std::max(threshold_, best_.front().score);
}

// The Jaccard index, or -1 where a bound shows that it stays below `least`: the union is at least
// as large as the query, so that so many of the query's words must occur somewhere in the content.
float TextScorer::Overlap(std::string_view content, float least) const {
  if (words_.size() == 1 && words_.front() == needle_.folded()) return 0;  // it would be contained
  constexpr double kRounding = 1e-6;  // of `least` and of the index, both floats; generously
  const auto query_count = static_cast<double>(words_.size());
  const auto needed =
      static_cast<size_t>(std::max(0.0, std::ceil((least - kRounding) * query_count)));
  size_t absent = 0;
  for (const FoldedNeedle& word : word_needles_) {
    if (word.IsIn(content)) continue;
    if (++absent > words_.size() - std::min(needed, words_.size())) return -1;
  }
  return absent == words_.size() ? 0 : CountWords(content, least);
}

// Every word of the content that is none of the query's makes the union larger: where there are too
// many of them the rest need not be read.
float TextScorer::CountWords(std::string_view content, float least) const {
  const size_t all = words_.size();
  const double others_max =
      least > 0 ? static_cast<double>(all) / static_cast<double>(least) - static_cast<double>(all)
                : static_cast<double>(content.size());
  thread_local OtherWords others;
  thread_local std::vector<char> found;
  others.Clear();
  found.assign(all, 0);
  size_t common = 0;
  WordReader reader(content);
  for (std::string_view word; reader.Next(&word);) {
    const size_t at = IndexOf(word);
    if (at == all) {
      others.Add(word);
      if (static_cast<double>(others.size()) > others_max + 1) return -1;
    } else if (found[at] == 0) {
      found[at] = 1;
      ++common;
    }
  }
  return static_cast<float>(common) / static_cast<float>(all + others.size());
}

size_t TextScorer::IndexOf(std::string_view word) const {
  for (size_t i = 0; i < words_.size(); ++i) {
    if (EqualsFolded(word, words_[i])) return i;
  }
  return words_.size();
}

float TextScorer::Score(std::string_view id, std::string_view content, float least) const {
  if (id == query_ || needle_.IsIn(content)) return 1.0f;
  if (!content.empty() && content.size() <= query_.size() && FoldedNeedle(content).IsIn(query_)) {
    return 0.8f;
  }
  return least > 1.0f ? -1.0f : Overlap(content, least);
}

Status TextScorer::Add(Bytes key, Bytes row) {
  engine::TextPeek text;
  const bool readable = engine::PeekTextFields(row, &text) && key.size() == 8;
  if (readable && !text.content) return Status::Ok();
  const float least = Least();
  const float score = readable ? Score(text.id, *text.content, least) : 0;
  if (readable && !(score >= least)) return Status::Ok();
  TextHit hit{key.size() == 8 ? NodeKey{LoadBe64(key.data())} : NodeKey{}, std::string(text.id),
              score};
  if (readable && best_.size() == k_ && !Better(hit, best_.front())) return Status::Ok();
  engine::TextFields fields;
  const Status decoded = engine::DecodeTextFields(key, row, &fields);
  if (!decoded.ok()) {
    return decoded.WithContext("table content, node key " + std::to_string(hit.node.value));
  }
  if (best_.size() == k_) {
    std::pop_heap(best_.begin(), best_.end(), Better);
    best_.pop_back();
  }
  best_.push_back(std::move(hit));
  std::push_heap(best_.begin(), best_.end(), Better);
  return Status::Ok();
}

void TextScorer::Merge(TextScorer&& other) {
  for (TextHit& hit : other.best_) best_.push_back(std::move(hit));
  std::sort(best_.begin(), best_.end(), Better);
  if (best_.size() > k_) best_.resize(k_);
  std::make_heap(best_.begin(), best_.end(), Better);
}

std::vector<TextHit> TextScorer::Take() {
  std::sort(best_.begin(), best_.end(), Better);
  return std::move(best_);
}

namespace {

Status ScanRange(engine::ReadView& view, uint64_t first, uint64_t last, TextScorer* scorer) {
  return view.ScanTable(engine::Table::kContent, AsBytes(engine::EncodeU64Key(first)),
                        [&](Bytes key, Bytes row) -> Result<bool> {
                          if (key.size() == 8 && LoadBe64(key.data()) > last) return false;
                          ENGRAM_TRY(scorer->Add(key, row));
                          return true;
                        });
}

// Up to `count` views at one LSN; fewer if writers are too quick.
Result<std::vector<std::unique_ptr<engine::ReadView>>> ViewsAtOnce(engine::Store& store,
                                                                   uint32_t count) {
  constexpr int kTries = 8;
  std::vector<std::unique_ptr<engine::ReadView>> views;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    views.clear();
    for (uint32_t i = 0; i < count; ++i) {
      ENGRAM_ASSIGN_OR_RETURN(auto view, store.Snapshot());
      if (i > 0 && view->lsn() != views.front()->lsn()) break;
      views.push_back(std::move(view));
    }
    if (views.size() == count) break;
  }
  return views;
}

}  // namespace

Result<std::vector<TextHit>> SearchTexts(engine::Store& store, std::string_view query,
                                         float threshold, uint32_t k) {
  if (k == 0 || std::isnan(threshold)) return std::vector<TextHit>();
  ENGRAM_ASSIGN_OR_RETURN(auto first_view, store.Snapshot());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, first_view->Count());
  const uint64_t useful = 1 + counts.records / kTextRowsPerThreadMin;
  const auto threads = static_cast<uint32_t>(
      std::min<uint64_t>(useful, std::max(1u, std::thread::hardware_concurrency())));
  if (threads == 1) {
    TextScorer scorer(query, threshold, k);
    ENGRAM_TRY(ScanRange(*first_view, 1, UINT64_MAX, &scorer));
    return scorer.Take();
  }
  first_view.reset();
  ENGRAM_ASSIGN_OR_RETURN(auto views, ViewsAtOnce(store, threads));
  // Node keys are given in order and never again: records are spread evenly enough.
  const uint64_t share = counts.records / views.size() + 1;
  std::deque<TextScorer> scorers;
  for (size_t i = 0; i < views.size(); ++i) scorers.emplace_back(query, threshold, k);
  std::vector<Status> results(views.size());
  auto work = [&](size_t i) {
    const uint64_t last = i + 1 == views.size() ? UINT64_MAX : (i + 1) * share - 1;
    results[i] = ScanRange(*views[i], std::max<uint64_t>(1, i * share), last, &scorers[i]);
  };
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < views.size(); ++i) helpers.emplace_back(work, i);
  work(0);
  for (std::thread& helper : helpers) helper.join();
  for (const Status& result : results) ENGRAM_TRY(result);
  for (size_t i = 1; i < scorers.size(); ++i) scorers[0].Merge(std::move(scorers[i]));
  return scorers[0].Take();
}

}  // namespace engram::compat
