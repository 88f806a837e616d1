// Random records that visit every corner the format has: every float class, hostile ids, leap
// seconds, years outside 0-9999, every layout, every decay function, repeated map keys. The same
// seed gives the same records.
#ifndef ENGRAM_TESTS_TESTING_RECORD_GENERATOR_H_
#define ENGRAM_TESTS_TESTING_RECORD_GENERATOR_H_

#include <cstdint>
#include <string>

#include "engine/record.h"

namespace engram::testing {

// A number from the environment, for slices and seeds.
uint64_t NumberFromEnvironment(const char* name, uint64_t fallback);

// How many records a property test visits: ENGRAM_PROPERTY_RECORDS, else 10^5 when
// ENGRAM_TEST_SCALE is "sanitizer", else 10^6.
uint64_t PropertyRecordCount();

class RecordGenerator {
 public:
  explicit RecordGenerator(uint64_t seed) : state_(seed) {}

  uint64_t Bits();                 // 64 random bits
  uint64_t Below(uint64_t bound);  // uniform enough, in [0, bound)
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  // NaN payloads (quiet, signalling, both signs), infinities, -0.0, denormals, the tier thresholds
  // and their neighbours, ordinary values, any bits.
  float Float();
  // In [0, 1], for what has to pass upstream's rules.
  float Confidence();
  engine::Timestamp Time();  // always one that the writer can produce
  std::string Text();        // valid UTF-8, may hold NUL
  // Often hostile: empty, NUL, 439 to 442 and 4096 bytes, UUIDs of all versions, upper case,
  // braces.
  std::string Id();
  engine::MetadataMap Map();  // with repeated keys
  engine::DecayFunction Decay();
  engine::EmbeddingProvenance Provenance();
  engine::TextFields TextFields();
  // Every field random and every optional both ways, whatever the layout.
  engine::Memory Memory();
  // What an upstream payload of `layout` can hold: fields that the layout lacks are absent
  // (activation of an Episode is left at 0). Encodable and decodable.
  engine::Memory UpstreamMemory(engine::Layout layout);
  engine::Extension Extension();                   // either type, REQUIRES of the struct kept
  void FillEmbedding(engine::Embedding* out);      // any bits
  void FillUnitEmbedding(engine::Embedding* out);  // finite, for search

 private:
  template <typename T, typename Make>
  std::optional<T> Maybe(Make make) {
    if (OneIn(3)) return std::nullopt;
    return make();
  }
  uint64_t state_;
};

// Equal in every bit; floats are compared as bits, maps in order.
bool SameBits(float a, float b);
bool SameBits(const engine::TextFields& a, const engine::TextFields& b);
bool SameBits(const engine::Extension& a, const engine::Extension& b);
bool SameBits(const engine::Memory& a, const engine::Memory& b);
bool SameBits(const engine::DualNode& a, const engine::DualNode& b);

Sha256Digest HashOf(const engine::Embedding& embedding);

// The embedding of GoldenMemory().
engine::Embedding GoldenEmbedding();
// A fixed record with every field set, for golden files. Never changed.
engine::Memory GoldenMemory();
// A fixed record with an empty id, every optional absent and an embedding of zeros.
engine::Memory BareMemory();
engine::Extension GoldenConcept();

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_RECORD_GENERATOR_H_
