#include "compat/text_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <thread>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace engram::compat {
namespace {

constexpr size_t kBlockBytes = 16;

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }
char Fold(char c) { return IsUpper(c) ? static_cast<char>(c | 0x20) : c; }
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
// What a text byte must be or-ed with to compare equal to the folded byte `c`, and to no other.
char MaskOf(char c) { return IsLetter(c) ? 0x20 : 0; }

}  // namespace

std::string FoldAscii(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = Fold(c);
  return out;
}

std::vector<std::string_view> WordsOf(std::string_view folded) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < folded.size();) {
    while (at < folded.size() && IsSpace(folded[at])) ++at;
    const size_t begin = at;
    while (at < folded.size() && !IsSpace(folded[at])) ++at;
    if (at > begin) words.push_back(folded.substr(begin, at - begin));
  }
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

// Sixteen places at a time: those whose first and last byte fit are looked at in full.
bool FoldedNeedle::IsIn(std::string_view text) const {
  const size_t size = folded_.size();
  if (size == 0) return true;
  if (text.size() < size) return false;
  const char* at = text.data();
  const char* const last = text.data() + (text.size() - size);  // the last place it can begin
#if defined(__SSE2__)
  const __m128i first_byte = _mm_set1_epi8(folded_.front());
  const __m128i last_byte = _mm_set1_epi8(folded_.back());
  const __m128i first_mask = _mm_set1_epi8(first_mask_);
  const __m128i last_mask = _mm_set1_epi8(last_mask_);
  for (; at + kBlockBytes <= last + 1; at += kBlockBytes) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + size - 1));
    const __m128i both = _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(a, first_mask), first_byte),
                                       _mm_cmpeq_epi8(_mm_or_si128(b, last_mask), last_byte));
    for (auto bits = static_cast<uint32_t>(_mm_movemask_epi8(both)); bits != 0; bits &= bits - 1) {
      if (MatchesAt(at + __builtin_ctz(bits))) return true;
    }
  }
#endif
  for (; at <= last; ++at) {
    if (static_cast<char>(*at | first_mask_) == folded_.front() && MatchesAt(at)) return true;
  }
  return false;
}

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
  const auto query_count = static_cast<double>(words_.size());
  const auto needed = static_cast<size_t>(std::max(0.0, std::floor(least * query_count)));
  size_t absent = 0;
  for (const FoldedNeedle& word : word_needles_) {
    if (word.IsIn(content)) continue;
    if (++absent > words_.size() - std::min(needed, words_.size())) return -1;
  }
  if (absent == words_.size()) return 0;
  const std::string folded = FoldAscii(content);
  const std::vector<std::string_view> words = WordsOf(folded);
  size_t common = 0;
  for (std::string_view word : words_) {
    common += std::binary_search(words.begin(), words.end(), word) ? 1 : 0;
  }
  const size_t all = words_.size() + words.size() - common;
  return all == 0 ? 0.0f : static_cast<float>(common) / static_cast<float>(all);
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
