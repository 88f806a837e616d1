// Search over the contents of a space, by the rules of the plugin boundary
// (engram_storage_engine.h: search_text; docs/text-search.md): without regard to ASCII case,
// containment first, else the Jaccard index of the two sets of words.
#ifndef ENGRAM_COMPAT_TEXT_SEARCH_H_
#define ENGRAM_COMPAT_TEXT_SEARCH_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/store.h"

namespace engram::compat {

// Finds a folded needle in text of any case. Immutable.
class FoldedNeedle {
 public:
  explicit FoldedNeedle(std::string_view needle);
  // An empty needle is in every text.
  bool IsIn(std::string_view text) const;
  const std::string& folded() const { return folded_; }

 private:
  bool MatchesAt(const char* at) const;
  bool AnyMatch(const char* at, uint32_t places) const;  // at + i for each bit i
  // From `at` to `last`, where it can begin; REQUIRES: so many places at least.
  bool IsInBlocks(const char* at, const char* last) const;
  bool IsInWide(const char* at, const char* last) const;
  std::string folded_;
  char first_mask_ = 0;  // 0x20 where the byte is a letter: both cases become the lower one
  char last_mask_ = 0;
};

// ASCII letters in lower case, all other bytes as they are.
std::string FoldAscii(std::string_view text);
// The distinct words of folded text, sorted: what stands between runs of ASCII white space.
std::vector<std::string_view> WordsOf(std::string_view folded);

struct TextHit {
  NodeKey node;
  std::string id;
  float score = 0;
};

// Scores one record after the other and keeps the best `k`: by score, ties by id bytes. Not
// thread-safe; Merge() joins what several have kept.
class TextScorer {
 public:
  // `query` must outlive the scorer.
  TextScorer(std::string_view query, float threshold, uint32_t k);
  TextScorer(const TextScorer&) = delete;
  TextScorer& operator=(const TextScorer&) = delete;
  // The row as stored; its checksum is verified only if the record is kept. kCorruption for a row
  // that can not be read, or that fails its checksum and belongs to the result so far.
  Status Add(Bytes key, Bytes row);
  void Merge(TextScorer&& other);
  std::vector<TextHit> Take();  // best first

  // The score of one record; `least` is what it has to reach, a lower one may come out as -1.
  float Score(std::string_view id, std::string_view content, float least) const;

 private:
  float Overlap(std::string_view content, float least) const;
  float CountWords(std::string_view content, float least) const;
  size_t IndexOf(std::string_view word) const;  // among words_, or their number
  float Least() const;
  static bool Better(const TextHit& a, const TextHit& b);

  const std::string_view query_;
  const FoldedNeedle needle_;
  const std::vector<std::string_view> words_;  // of the query, into needle_
  std::vector<FoldedNeedle> word_needles_;
  const float threshold_;
  const uint32_t k_;
  std::vector<TextHit> best_;  // a heap, the worst on top
};

// All records of one snapshot. Uses several threads above kTextRowsPerThreadMin records.
inline constexpr uint64_t kTextRowsPerThreadMin = 4096;
Result<std::vector<TextHit>> SearchTexts(engine::Store& store, std::string_view query,
                                         float threshold, uint32_t k);

}  // namespace engram::compat

#endif  // ENGRAM_COMPAT_TEXT_SEARCH_H_
