#include "server/graph/text_vector.h"

#include <cmath>
#include <cstdint>
#include <string>

namespace engram::server {
namespace {

constexpr size_t kGramSizeBytes = 3;
constexpr int64_t kWordWeight = 32;
constexpr int64_t kGramWeight = 8;
constexpr int64_t kTextWeight = 1;  // of the whole text, in every component

// 64-bit FNV-1a with the finalizer of MurmurHash3: all bits of the result depend on all of the
// text.
uint64_t Hash(std::string_view bytes, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325u ^ seed;
  for (const char c : bytes) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 33);
}

using Sums = std::array<int64_t, ENGRAM_SE_EMBEDDING_DIMENSION>;

// A feature adds its weight to one component, with a sign.
void AddFeature(std::string_view feature, uint64_t seed, int64_t weight, Sums* sums) {
  const uint64_t h = Hash(feature, seed);
  (*sums)[(h >> 1) % sums->size()] += (h & 1) != 0 ? weight : -weight;
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string Folded(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

// The word, and the n-grams of the word between two marks that no text holds.
void AddWord(std::string_view word, Sums* sums) {
  AddFeature(word, 1, kWordWeight, sums);
  const std::string marked = '\x01' + std::string(word) + '\x02';
  for (size_t i = 0; i + kGramSizeBytes <= marked.size(); ++i) {
    AddFeature(std::string_view(marked).substr(i, kGramSizeBytes), 2, kGramWeight, sums);
  }
}

// A pseudo-random sign in every component: keeps the vectors of two texts apart that have the same
// words, and every component odd (the other weights are even), so that no vector is zero.
void AddText(std::string_view text, Sums* sums) {
  const uint64_t seed = Hash(text, 3);
  for (size_t i = 0; i < sums->size(); ++i) {
    const char index[2] = {static_cast<char>(i & 0xff), static_cast<char>(i >> 8)};
    const uint64_t h = Hash(std::string_view(index, sizeof index), seed);
    (*sums)[i] += (h & 1) != 0 ? kTextWeight : -kTextWeight;
  }
}

}  // namespace

Vector TextVector(std::string_view text) {
  Sums sums{};
  const std::string folded = Folded(text);
  size_t start = 0;
  for (size_t i = 0; i <= folded.size(); ++i) {
    if (i < folded.size() && !IsSpace(folded[i])) continue;
    if (i > start) AddWord(std::string_view(folded).substr(start, i - start), &sums);
    start = i + 1;
  }
  AddText(text, &sums);
  double square = 0;  // exact as long as it is below 2^53
  for (const int64_t sum : sums) square += static_cast<double>(sum) * static_cast<double>(sum);
  const double length = std::sqrt(square);
  Vector vector;
  for (size_t i = 0; i < sums.size(); ++i) {
    vector[i] = static_cast<float>(static_cast<double>(sums[i]) / length);
  }
  return vector;
}

}  // namespace engram::server
