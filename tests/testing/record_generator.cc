#include "tests/testing/record_generator.h"

#include <bit>
#include <cstdlib>
#include <iterator>

namespace engram::testing {

using engine::DecayFunction;
using engine::DecayKind;
using engine::DualNode;
using engine::EmbeddingProvenance;
using engine::Layout;
using engine::MetadataMap;
using engine::NodeType;
using engine::Timestamp;

namespace {

constexpr uint32_t kFloatBits[] = {
    0x00000000, 0x80000000,              // +-0
    0x3f800000, 0xbf800000, 0x3f000000,  // 1, -1, 0.5
    0x3f333332, 0x3f333333, 0x3f333334,  // around 0.7f
    0x3e999999, 0x3e99999a, 0x3e99999b,  // around 0.3f
    0x00000001, 0x80000001, 0x007fffff,  // denormals
    0x00800000, 0x7f7fffff, 0xff7fffff,  // smallest normal, largest
    0x7f800000, 0xff800000,              // infinities
    0x7fc00000, 0xffc00000, 0x7fc12345,  // quiet NaN
    0x7f800001, 0xff800001, 0x7fbfffff,  // signalling NaN
    0x7fffffff, 0xffffffff,
};

constexpr int64_t kYear0 = -62167219200;         // 0000-01-01T00:00:00Z
constexpr int64_t kYear10000 = 253402300800;     // +10000-01-01T00:00:00Z
constexpr int64_t kSecondsMin = -8334601228800;  // -262143-01-01T00:00:00Z
constexpr int64_t kSecondsMax = 8210266876799;   // +262142-12-31T23:59:59Z
constexpr int64_t kLeap2016 = 1483228799;
constexpr int64_t kSeconds[] = {
    0,           -1,        kYear0,    kYear0 - 1, kYear10000,  kYear10000 - 1, kSecondsMin,
    kSecondsMax, kLeap2016, 951782400, 1763751433, -2203891201, 4102444799};

constexpr const char* kIds[] = {
    "m1",
    "mem_0a1b2c3d",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "F47AC10B-58CC-4372-A567-0E02B2C3D479",
    "f47ac10b-58cc-8372-a567-0e02b2c3d479",
    "f47ac10b-58cc-1372-0567-0e02b2c3d479",
    "{f47ac10b-58cc-4372-a567-0e02b2c3d479}",
    "f47ac10b58cc4372a5670e02b2c3d479",
    "f47ac10b-58cc-4372-a567-0e02b2c3d47g",
    "f47ac10b-58cc-4372-a567-0e02b2c3d47",
    "../../etc/passwd",
    " leading and trailing ",
    "\xf0\x9f\x99\x82",
    "\xed\x9f\xbf\xee\x80\x80",
    "\"quoted\"\n\t\\",
};

constexpr const char* kWords[] = {"",    "a",        "episode",  "\xe6\x9d\xb1\xe4\xba\xac",
                                  "key", "value 82", "\xc3\xa9", "x\x7f",
                                  "zz",  "Al",       "Bo",       "\xf4\x8f\xbf\xbf"};

std::string Repeat(const char* unit, size_t size) {
  std::string text;
  while (text.size() < size) text += unit;
  text.resize(size);
  return text;
}

bool SameOptional(const std::optional<float>& a, const std::optional<float>& b) {
  return a.has_value() == b.has_value() && (!a || SameBits(*a, *b));
}

bool SameDecay(const std::optional<DecayFunction>& a, const std::optional<DecayFunction>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || (a->kind == b->kind && SameBits(a->a, b->a) && SameBits(a->b, b->b) && a->n == b->n);
}

bool SameProvenance(const std::optional<EmbeddingProvenance>& a,
                    const std::optional<EmbeddingProvenance>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || (a->model_name == b->model_name && a->model_version == b->model_version &&
                a->dimension == b->dimension && a->language == b->language &&
                a->created_at_s == b->created_at_s &&
                SameOptional(a->quality_score, b->quality_score) && a->metadata == b->metadata);
}

void ClearDecayPadding(DecayFunction* decay) {
  if (decay->kind == DecayKind::kTwoComponent) decay->a = 0;
  if (decay->kind != DecayKind::kHybrid) decay->b = 0;
  if (decay->kind == DecayKind::kExponential || decay->kind == DecayKind::kPowerLaw) decay->n = 0;
}

}  // namespace

uint64_t NumberFromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 10) : fallback;
}

uint64_t PropertyRecordCount() {
  const char* scale = std::getenv("ENGRAM_TEST_SCALE");
  const bool sanitizer = scale != nullptr && std::string_view(scale) == "sanitizer";
  return NumberFromEnvironment("ENGRAM_PROPERTY_RECORDS", sanitizer ? 100000 : 1000000);
}

uint64_t RecordGenerator::Bits() {  // splitmix64
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t RecordGenerator::Below(uint64_t bound) { return Bits() % bound; }

float RecordGenerator::Float() {
  switch (Below(4)) {
    case 0:
      return std::bit_cast<float>(kFloatBits[Below(std::size(kFloatBits))]);
    case 1:
      return std::bit_cast<float>(static_cast<uint32_t>(Bits()));
    default:
      return Confidence();
  }
}

float RecordGenerator::Confidence() {
  return static_cast<float>(Below(1u << 24)) / static_cast<float>((1u << 24) - 1);
}

Timestamp RecordGenerator::Time() {
  Timestamp time;
  switch (Below(4)) {
    case 0:
      time.seconds = kSeconds[Below(std::size(kSeconds))];
      break;
    case 1:
      time.seconds = kSecondsMin + static_cast<int64_t>(Below(kSecondsMax - kSecondsMin + 1));
      break;
    default:
      time.seconds = 946684800 + static_cast<int64_t>(Below(3000000000));
  }
  static constexpr uint32_t kUnits[] = {1, 1000, 1000000, 1000000000};
  const uint32_t unit = kUnits[Below(4)];
  time.nanos = static_cast<uint32_t>(Below(1000000000 / unit)) * unit;
  const bool last_of_minute = ((time.seconds % 60) + 60) % 60 == 59;
  if (last_of_minute && !OneIn(3)) time.nanos += 1000000000;
  return time;
}

std::string RecordGenerator::Text() {
  std::string text;
  for (uint64_t words = Below(5); words > 0; --words) {
    text += kWords[Below(std::size(kWords))];
    if (OneIn(16)) text.push_back('\0');
  }
  if (OneIn(64)) text += Repeat("long text ", Below(600));
  return text;
}

std::string RecordGenerator::Id() {
  if (!OneIn(4)) return "m-" + std::to_string(Below(1000000000));
  static constexpr size_t kSizes[] = {439, 440, 441, 442, 4096};
  switch (Below(8)) {
    case 0:
      return "";
    case 1:
      return std::string("a\0b", 3);
    case 2:
      return std::string(1 + Below(3), '\0');
    case 3:
      return Repeat("long id ", kSizes[Below(std::size(kSizes))]);
    case 4: {
      Uuid uuid;
      for (uint8_t& byte : uuid.bytes) byte = static_cast<uint8_t>(Bits());
      return uuid.ToString();
    }
    case 5:
      return Text();
    default:
      return kIds[Below(std::size(kIds))];
  }
}

MetadataMap RecordGenerator::Map() {
  MetadataMap map;
  if (OneIn(2)) return map;
  for (uint64_t pairs = Below(5); pairs > 0; --pairs) map.emplace_back(Text(), Text());
  if (!map.empty() && OneIn(3)) map.emplace_back(map[Below(map.size())].first, Text());
  return map;
}

DecayFunction RecordGenerator::Decay() {
  DecayFunction decay{static_cast<DecayKind>(Below(4)), Float(), Float(), Bits()};
  ClearDecayPadding(&decay);
  return decay;
}

EmbeddingProvenance RecordGenerator::Provenance() {
  EmbeddingProvenance provenance;
  provenance.model_name = Text();
  provenance.model_version = Text();
  provenance.dimension = OneIn(2) ? 768 : Bits();
  provenance.language = Maybe<std::string>([this] { return Text(); });
  provenance.created_at_s = OneIn(4) ? Bits() : Below(4102444800);
  provenance.quality_score = Maybe<float>([this] { return Float(); });
  provenance.metadata = Map();
  return provenance;
}

engine::TextFields RecordGenerator::TextFields() {
  engine::TextFields text;
  text.id = Id();
  text.content = Maybe<std::string>([this] { return Text(); });
  text.where = Maybe<std::string>([this] { return Text(); });
  if (OneIn(2)) {
    text.who.emplace();
    for (uint64_t names = Below(4); names > 0; --names) text.who->push_back(Text());
  }
  if (OneIn(3)) text.provenance = Provenance();
  text.metadata = Map();
  return text;
}

engine::Memory RecordGenerator::Memory() {
  engine::Memory memory;
  memory.text = TextFields();
  for (size_t i = 0; i < memory.embedding_sha256.size(); i += 8) {
    StoreLe(&memory.embedding_sha256[i], Bits());
  }
  memory.activation = Float();
  memory.confidence_encoding = Float();
  memory.confidence_vividness = Maybe<float>([this] { return Float(); });
  memory.confidence_reliability = Maybe<float>([this] { return Float(); });
  memory.decay_rate = Float();
  memory.decay_function = Maybe<DecayFunction>([this] { return Decay(); });
  memory.when = Maybe<Timestamp>([this] { return Time(); });
  memory.last_recall = Maybe<Timestamp>([this] { return Time(); });
  memory.recall_count = Maybe<uint32_t>([this] { return static_cast<uint32_t>(Bits()); });
  memory.last_access = Maybe<Timestamp>([this] { return Time(); });
  memory.access_count = Maybe<uint64_t>([this] { return OneIn(2) ? Below(100) : Bits(); });
  memory.created_at = Maybe<Timestamp>([this] { return Time(); });
  memory.layout = static_cast<Layout>(Below(6));
  return memory;
}

engine::Memory RecordGenerator::UpstreamMemory(Layout layout) {
  engine::Memory memory = Memory();
  memory.layout = layout;
  if (layout == Layout::kM) {
    engine::Memory kept;
    kept.text.id = memory.text.id;
    kept.text.content = memory.text.content;
    kept.text.provenance = memory.text.provenance;
    kept.embedding_sha256 = memory.embedding_sha256;
    kept.activation = memory.activation;
    kept.confidence_encoding = memory.confidence_encoding;
    kept.last_access = Time();
    kept.access_count = Bits();
    kept.created_at = Time();
    kept.decay_rate = memory.decay_rate;
    kept.layout = layout;
    return kept;
  }
  memory.activation = 0;
  if (!memory.text.content) memory.text.content = Text();
  memory.when = Time();
  memory.confidence_vividness = Float();
  memory.confidence_reliability = Float();
  memory.last_recall = Time();
  memory.recall_count = static_cast<uint32_t>(Bits());
  memory.last_access.reset();
  memory.access_count.reset();
  memory.created_at.reset();
  if (layout < Layout::kE3) memory.text.metadata.clear();
  if (layout < Layout::kE2) memory.decay_function.reset();
  if (layout < Layout::kE1) memory.text.provenance.reset();
  return memory;
}

engine::Extension RecordGenerator::Extension() {
  engine::Extension extension;
  if (OneIn(3)) {
    extension.type = NodeType::kConcept;
    extension.coherence = Float();
    extension.instance_count = static_cast<uint32_t>(Bits());
    extension.formation_time = Time();
  } else {
    extension.strength = Maybe<float>([this] { return Float(); });
    extension.consolidation_score = Maybe<float>([this] { return Float(); });
  }
  return extension;
}

void RecordGenerator::FillEmbedding(engine::Embedding* out) {
  for (float& value : *out) value = Float();
}

void RecordGenerator::FillUnitEmbedding(engine::Embedding* out) {
  for (float& value : *out) value = 2 * Confidence() - 1;
}

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

bool SameBits(const engine::TextFields& a, const engine::TextFields& b) {
  return a.id == b.id && a.content == b.content && a.where == b.where && a.who == b.who &&
         SameProvenance(a.provenance, b.provenance) && a.metadata == b.metadata;
}

bool SameBits(const engine::Extension& a, const engine::Extension& b) {
  return a.type == b.type && SameOptional(a.strength, b.strength) &&
         SameOptional(a.consolidation_score, b.consolidation_score) &&
         SameBits(a.coherence, b.coherence) && a.instance_count == b.instance_count &&
         a.formation_time == b.formation_time;
}

bool SameBits(const engine::Memory& a, const engine::Memory& b) {
  return SameBits(a.text, b.text) && a.embedding_sha256 == b.embedding_sha256 &&
         SameBits(a.activation, b.activation) &&
         SameBits(a.confidence_encoding, b.confidence_encoding) &&
         SameOptional(a.confidence_vividness, b.confidence_vividness) &&
         SameOptional(a.confidence_reliability, b.confidence_reliability) &&
         SameBits(a.decay_rate, b.decay_rate) && SameDecay(a.decay_function, b.decay_function) &&
         a.when == b.when && a.last_recall == b.last_recall && a.recall_count == b.recall_count &&
         a.last_access == b.last_access && a.access_count == b.access_count &&
         a.created_at == b.created_at && a.layout == b.layout;
}

bool SameBits(const DualNode& a, const DualNode& b) {
  const engine::Residual& x = a.residual;
  const engine::Residual& y = b.residual;
  return a.uuid == b.uuid && SameBits(a.extension, b.extension) &&
         a.embedding_sha256 == b.embedding_sha256 && SameBits(a.activation, b.activation) &&
         SameBits(a.confidence, b.confidence) && a.last_access == b.last_access &&
         a.created_at == b.created_at && SameBits(a.text, b.text) && x.when == y.when &&
         SameOptional(x.confidence_vividness, y.confidence_vividness) &&
         SameOptional(x.confidence_reliability, y.confidence_reliability) &&
         SameBits(x.decay_rate, y.decay_rate) && SameDecay(x.decay_function, y.decay_function) &&
         x.last_recall == y.last_recall && x.recall_count == y.recall_count &&
         x.access_count == y.access_count && x.layout == y.layout;
}

engine::Embedding GoldenEmbedding() {
  engine::Embedding embedding;
  for (uint32_t i = 0; i < embedding.size(); ++i) {
    embedding[i] = std::bit_cast<float>(0x3f000000 + i * 0x10001);
  }
  embedding[1] = std::bit_cast<float>(0xff800001);
  return embedding;
}

Sha256Digest HashOf(const engine::Embedding& embedding) {
  return Sha256Of({reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding});
}

engine::Memory GoldenMemory() {
  engine::Memory memory;
  memory.text.id = "m1";
  memory.text.content = "hi";
  memory.text.where = "Lab";
  memory.text.who = {"Al", "Bo"};
  EmbeddingProvenance& provenance = memory.text.provenance.emplace();
  provenance.model_name = "m";
  provenance.model_version = "1";
  provenance.dimension = 768;
  provenance.language = "en";
  provenance.created_at_s = 1763751433;
  provenance.quality_score = 0.75f;
  provenance.metadata = {{"b", "2"}, {"a", "1"}};
  memory.text.metadata = {{"k", "old"}, {"\xe6\x9d\xb1", "v"}, {"k", "new"}};
  memory.embedding_sha256 = HashOf(GoldenEmbedding());
  memory.activation = 0.77f;
  memory.confidence_encoding = 0.9f;
  memory.confidence_vividness = std::bit_cast<float>(0x7f800001);
  memory.confidence_reliability = -0.0f;
  memory.decay_rate = 0.05f;
  memory.decay_function = DecayFunction{DecayKind::kHybrid, 0.8f, 0.25f, 86400};
  memory.when = Timestamp{1763751433, 123456789};
  memory.last_recall = Timestamp{kLeap2016, 1500000000};
  memory.recall_count = 7;
  memory.last_access = Timestamp{-1, 999999999};
  memory.access_count = 0x0102030405060708;
  memory.created_at = Timestamp{kYear10000, 120000};
  memory.layout = Layout::kE3;
  return memory;
}

engine::Memory BareMemory() {
  engine::Memory memory;
  memory.embedding_sha256 = HashOf(engine::Embedding{});
  memory.activation = std::bit_cast<float>(0x7fc12345);
  memory.confidence_encoding = 0.5f;
  return memory;
}

engine::Extension GoldenConcept() {
  engine::Extension extension;
  extension.type = NodeType::kConcept;
  extension.coherence = 0.5f;
  extension.instance_count = 12;
  extension.formation_time = Timestamp{1763751433, 500000000};
  return extension;
}

}  // namespace engram::testing
