#include "migration/audit_decoder.h"

#include <gmock/gmock.h>

#include <bit>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "compat/conversion.h"
#include "compat/upstream_codec.h"
#include "migration/sources/merge.h"

namespace engram::migration {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string Slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

// One intact type-1/2 record of a fixture, with what the independent reader says is in it.
struct Known {
  uint32_t type;
  std::string payload;
  json fields;
};

std::vector<Known> KnownRecords() {
  std::vector<Known> known;
  const fs::path root = fs::path(ENGRAM_SOURCE_DIR) / "tests/fixtures";
  for (const auto& directory : fs::directory_iterator(root)) {
    if (!fs::exists(directory.path() / "manifest.json")) continue;
    const json manifest = json::parse(Slurp(directory.path() / "manifest.json"));
    for (const json& file : manifest["files"]) {
      const std::string bytes = Slurp(directory.path() / "data" / file["path"].get<std::string>());
      for (const json& record : file["records"]) {
        if (!record.contains("layout")) continue;
        known.push_back(
            {record["type"],
             bytes.substr(record["offset"].get<size_t>() + 64, record["size"].get<size_t>()),
             record});
      }
    }
  }
  return known;
}

const std::vector<Known>& KnownOfFixtures() {
  static const std::vector<Known>& known = *new std::vector<Known>(KnownRecords());
  return known;
}

std::string Json(const json& value) {
  return value.is_null() ? "null" : value.dump(-1, ' ', false);
}
std::string Raw(const json& value) {
  return value.is_null() ? "null" : value.is_string() ? value.get<std::string>() : value.dump();
}

std::string DecayText(const json& decay) {
  if (decay.is_null()) return "null";
  const std::string kind = decay.begin().key();
  const json& value = decay.begin().value();
  if (!value.is_array()) return kind + " " + Raw(value);
  std::string out = kind;
  for (const json& part : value) out += " " + Raw(part);
  return out;
}

// The fields as AuditFields should print them, from the manifest alone.
std::map<std::string, std::string> Expected(const json& r) {
  std::map<std::string, std::string> e;
  const bool memory = r["type"] == 2;
  e["id"] = Json(r["id"]);
  e["content"] = Json(memory ? r["content"] : r["what"]);
  for (const char* key : {"when", "where", "who", "last_recall", "last_access", "created_at"}) {
    e[key] = r.contains(key) ? Json(r[key]) : "null";
  }
  for (const char* key : {"recall_count", "access_count"}) {
    e[key] = r.contains(key) ? Raw(r[key]) : "null";
  }
  e["embedding_sha256"] = Raw(r["embedding_sha256"]);
  const json provenance = r.value("provenance", json());
  e["embedding_provenance"] = provenance.is_null() ? "null" : "present";
  if (!provenance.is_null()) {
    e["embedding_provenance.model_name"] = Json(provenance["name"]);
    e["embedding_provenance.model_version"] = Json(provenance["version"]);
    e["embedding_provenance.dimension"] = Raw(provenance["dimension"]);
    e["embedding_provenance.language"] = Json(provenance["language"]);
    e["embedding_provenance.created_at_s"] = Raw(provenance["created_at_s"]);
    e["embedding_provenance.quality_score"] = Raw(provenance["quality"]);
    e["embedding_provenance.metadata"] = Json(provenance["metadata"]);
  }
  e["activation"] = Raw(memory ? r["activation_bits"] : r["confidence_bits"][0]);
  e["confidence.encoding"] = Raw(r["confidence_bits"][0]);
  e["confidence.vividness"] = memory ? "null" : Raw(r["confidence_bits"][1]);
  e["confidence.reliability"] = memory ? "null" : Raw(r["confidence_bits"][2]);
  e["decay_rate"] = Raw(r["decay_rate_bits"]);
  e["decay_function"] = DecayText(r.value("decay_function", json()));
  const json metadata = r.value("metadata", json());
  e["metadata"] = metadata.is_null() ? "{}" : Json(metadata);
  e["node.type"] = "episode";
  e["node.strength"] = e["node.consolidation_score"] = "null";
  return e;
}

Status FoldOne(AuditDecoder& decoder, const Known& known) {
  const AuditPayload payload{known.type, AsBytes(known.payload)};
  return decoder.Fold({&payload, 1});
}

TEST(AuditDecoder, EveryFieldOfEveryFixtureRecordIsWhatTheManifestSays) {
  AuditDecoder decoder;
  ASSERT_GT(KnownOfFixtures().size(), 500u);
  for (const Known& known : KnownOfFixtures()) {
    ASSERT_TRUE(FoldOne(decoder, known).ok()) << known.fields.dump();
    std::map<std::string, std::string> actual;
    for (const AuditField& field : AuditFields(decoder.record())) actual[field.name] = field.value;
    EXPECT_EQ(actual, Expected(known.fields));
    EXPECT_EQ(decoder.record().layout, Raw(known.fields["layout"]));
  }
}

engine::Memory Converted(const Known& known) {
  compat::UpstreamRecord record;
  EXPECT_TRUE(compat::DecodeUpstreamPayload(known.type, AsBytes(known.payload), &record).ok());
  if (known.type == 1) record.memory.activation = record.memory.confidence_encoding;
  record.memory.embedding_sha256 = Sha256Of(record.embedding);
  return record.memory;
}

TEST(AuditDecoder, AgreesWithTheConverterOnEveryFixtureRecord) {
  AuditDecoder decoder;
  for (const Known& known : KnownOfFixtures()) {
    ASSERT_TRUE(FoldOne(decoder, known).ok());
    EXPECT_EQ(decoder.digest(), compat::MemoryDigest(Converted(known), {})) << known.fields.dump();
  }
}

// --- Fields that could be confused ---------------------------------------------------------------

template <typename T>
T* Present(T& value) {
  return &value;
}
template <typename T>
T* Present(std::optional<T>& value) {
  return value ? &*value : nullptr;
}

// Where a field is in a record; nullptr if the record lacks it.
template <auto field, typename Record>
auto* At(Record& record) {
  return Present(record.*field);
}
template <auto field>
auto* InText(engine::Memory& memory) {
  return Present(memory.text.*field);
}

engine::EmbeddingProvenance* ProvenanceOf(engine::Memory& memory) {
  return Present(memory.text.provenance);
}
AuditProvenance* ProvenanceOf(AuditRecord& record) {
  return record.has_provenance ? &record.provenance : nullptr;
}
template <auto field, typename Record>
auto* InProvenance(Record& record) {
  auto* provenance = ProvenanceOf(record);
  return provenance ? Present(provenance->*field) : nullptr;
}

// A parameter of a decay function that its kind lacks is absent.
uint32_t KindsWith(float engine::DecayFunction::*field) {
  return field == &engine::DecayFunction::a ? 0b1011 : 0b1000;
}
uint32_t KindsWith(uint32_t AuditDecay::*field) {
  return field == &AuditDecay::a_bits ? 0b1011 : 0b1000;
}
uint32_t KindsWith(uint64_t engine::DecayFunction::*) { return 0b1100; }
uint32_t KindsWith(uint64_t AuditDecay::*) { return 0b1100; }
engine::DecayFunction* DecayOf(engine::Memory& memory) { return Present(memory.decay_function); }
AuditDecay* DecayOf(AuditRecord& record) { return Present(record.decay); }
template <auto field, typename Record>
auto* InDecay(Record& record) {
  auto* decay = DecayOf(record);
  const bool has = decay && (KindsWith(field) >> static_cast<uint32_t>(decay->kind) & 1) != 0;
  return has ? &(decay->*field) : nullptr;
}

template <typename T>
bool IsSame(const T& a, const T& b) {
  return a == b;
}
bool IsSame(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }
bool IsSame(const AuditTime& a, const AuditTime& b) { return a.view() == b.view(); }

Sha256Digest DigestOf(const engine::Memory& memory) { return compat::MemoryDigest(memory, {}); }
Sha256Digest DigestOf(const AuditRecord& record) {
  std::string canonical;
  AppendAuditCanonical(record, &canonical);
  return Sha256Of(AsBytes(canonical));
}

// What both decoders make of the same payloads, which outlive it.
struct ReadByBoth {
  engine::Memory converted;
  AuditRecord audited;
};

ReadByBoth ReadPayloads(std::span<const AuditPayload> payloads) {
  compat::UpstreamRecord folded, next;
  for (size_t i = 0; i < payloads.size(); ++i) {
    const auto& [type, payload] = payloads[i];
    EXPECT_TRUE(compat::DecodeUpstreamPayload(type, payload, &next).ok());
    FoldVersion(i == 0, &folded, &next);
  }
  folded.memory.embedding_sha256 = Sha256Of(folded.embedding);
  AuditDecoder decoder;
  EXPECT_TRUE(decoder.Fold(payloads).ok());
  EXPECT_EQ(DigestOf(folded.memory), decoder.digest());
  return {folded.memory, decoder.record()};
}

// `memory`, a payload of type 2, under the id of `episode`.
std::string WithIdOf(const Known& episode, const Known& memory) {
  compat::UpstreamRecord record, named;
  EXPECT_TRUE(compat::DecodeUpstreamPayload(1, AsBytes(episode.payload), &named).ok());
  EXPECT_TRUE(compat::DecodeUpstreamPayload(2, AsBytes(memory.payload), &record).ok());
  record.memory.text.id = named.memory.text.id;
  std::string payload;
  EXPECT_TRUE(compat::EncodeUpstreamPayload(record.memory, record.embedding, &payload).ok());
  return payload;
}

// Every fixture record by itself, and every episode with a memory after it: only together do they
// have all the fields.
std::vector<ReadByBoth> ReadFixtures() {
  static std::deque<std::string>& payloads = *new std::deque<std::string>;
  std::vector<const Known*> memories;
  std::vector<ReadByBoth> read;
  for (const Known& known : KnownOfFixtures()) {
    const AuditPayload alone{known.type, AsBytes(known.payload)};
    read.push_back(ReadPayloads({&alone, 1}));
    if (known.type == 2) memories.push_back(&known);
  }
  for (const Known& known : KnownOfFixtures()) {
    if (known.type != 1) continue;
    payloads.push_back(WithIdOf(known, *memories[payloads.size() % memories.size()]));
    const AuditPayload both[] = {{1, AsBytes(known.payload)}, {2, AsBytes(payloads.back())}};
    read.push_back(ReadPayloads(both));
  }
  return read;
}

// What one decoder made of a record, and the digest by the other one.
template <typename Record>
struct Judged {
  Record record;
  Sha256Digest digest_of_other;
};

template <typename Record, typename T>
using Fields = std::vector<std::pair<const char*, T* (*)(Record&)>>;

// With any two of `fields` swapped no record that has different values there keeps the digest that
// the other decoder has for it, and every pair has such a record.
template <typename Record, typename T>
void ExpectEverySwapIsNoticed(std::vector<Judged<Record>>& judged,
                              const Fields<Record, T>& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    for (size_t j = i + 1; j < fields.size(); ++j) {
      size_t different = 0, unnoticed = 0;
      for (auto& [record, digest_of_other] : judged) {
        T* a = fields[i].second(record);
        T* b = fields[j].second(record);
        if (a == nullptr || b == nullptr || IsSame(*a, *b)) continue;
        ++different;
        std::swap(*a, *b);
        unnoticed += DigestOf(record) == digest_of_other;
        std::swap(*a, *b);
      }
      const std::string pair = std::string(fields[i].first) + "/" + fields[j].first;
      EXPECT_GT(different, 0u) << "no record tells them apart: " << pair;
      EXPECT_EQ(unnoticed, 0u) << "can be swapped without anyone noticing: " << pair;
    }
  }
}

// The converter's decoder with any two fields of one type swapped must not agree with the audit
// decoder: else that pair could be confused unnoticed.
TEST(AuditDecoder, ASwapOfAnyTwoFieldsInTheConverterIsNoticed) {
  using engine::DecayFunction;
  using engine::EmbeddingProvenance;
  using engine::Memory;
  using engine::TextFields;
  std::vector<Judged<Memory>> judged;
  for (const ReadByBoth& read : ReadFixtures()) {
    judged.push_back({read.converted, DigestOf(read.audited)});
  }
  auto expect_noticed = [&]<typename T>(const Fields<Memory, T>& fields) {
    ExpectEverySwapIsNoticed<Memory, T>(judged, fields);
  };
  expect_noticed(Fields<Memory, engine::Timestamp>{{"when", At<&Memory::when>},
                                                   {"last_recall", At<&Memory::last_recall>},
                                                   {"last_access", At<&Memory::last_access>},
                                                   {"created_at", At<&Memory::created_at>}});
  expect_noticed(
      Fields<Memory, float>{{"activation", At<&Memory::activation>},
                            {"encoding", At<&Memory::confidence_encoding>},
                            {"vividness", At<&Memory::confidence_vividness>},
                            {"reliability", At<&Memory::confidence_reliability>},
                            {"decay_rate", At<&Memory::decay_rate>},
                            {"quality_score", InProvenance<&EmbeddingProvenance::quality_score>},
                            {"decay a", InDecay<&DecayFunction::a>},
                            {"decay b", InDecay<&DecayFunction::b>}});
  expect_noticed(
      Fields<Memory, uint64_t>{{"access_count", At<&Memory::access_count>},
                               {"dimension", InProvenance<&EmbeddingProvenance::dimension>},
                               {"created_at_s", InProvenance<&EmbeddingProvenance::created_at_s>},
                               {"decay n", InDecay<&DecayFunction::n>}});
  expect_noticed(Fields<Memory, std::string>{
      {"id", InText<&TextFields::id>},
      {"content", InText<&TextFields::content>},
      {"where", InText<&TextFields::where>},
      {"model_name", InProvenance<&EmbeddingProvenance::model_name>},
      {"model_version", InProvenance<&EmbeddingProvenance::model_version>},
      {"language", InProvenance<&EmbeddingProvenance::language>}});
  expect_noticed(Fields<Memory, engine::MetadataMap>{
      {"metadata", InText<&TextFields::metadata>},
      {"provenance.metadata", InProvenance<&EmbeddingProvenance::metadata>}});
}

// The other way round. Floats are bits here, of one type with the count of recalls.
TEST(AuditDecoder, ASwapOfAnyTwoFieldsInTheAuditDecoderIsNoticed) {
  std::vector<Judged<AuditRecord>> judged;
  for (const ReadByBoth& read : ReadFixtures()) {
    judged.push_back({read.audited, DigestOf(read.converted)});
  }
  auto expect_noticed = [&]<typename T>(const Fields<AuditRecord, T>& fields) {
    ExpectEverySwapIsNoticed<AuditRecord, T>(judged, fields);
  };
  expect_noticed(Fields<AuditRecord, AuditTime>{{"when", At<&AuditRecord::when>},
                                                {"last_recall", At<&AuditRecord::last_recall>},
                                                {"last_access", At<&AuditRecord::last_access>},
                                                {"created_at", At<&AuditRecord::created_at>}});
  expect_noticed(
      Fields<AuditRecord, uint32_t>{{"activation", At<&AuditRecord::activation_bits>},
                                    {"encoding", At<&AuditRecord::encoding_bits>},
                                    {"vividness", At<&AuditRecord::vividness_bits>},
                                    {"reliability", At<&AuditRecord::reliability_bits>},
                                    {"decay_rate", At<&AuditRecord::decay_rate_bits>},
                                    {"quality", InProvenance<&AuditProvenance::quality_bits>},
                                    {"decay a", InDecay<&AuditDecay::a_bits>},
                                    {"decay b", InDecay<&AuditDecay::b_bits>},
                                    {"recall_count", At<&AuditRecord::recall_count>}});
  expect_noticed(
      Fields<AuditRecord, uint64_t>{{"access_count", At<&AuditRecord::access_count>},
                                    {"dimension", InProvenance<&AuditProvenance::dimension>},
                                    {"created_at_s", InProvenance<&AuditProvenance::created_at_s>},
                                    {"decay n", InDecay<&AuditDecay::n>}});
  expect_noticed(Fields<AuditRecord, std::string_view>{
      {"id", At<&AuditRecord::id>},
      {"content", At<&AuditRecord::content>},
      {"where", At<&AuditRecord::where>},
      {"model_name", InProvenance<&AuditProvenance::model_name>},
      {"model_version", InProvenance<&AuditProvenance::model_version>},
      {"language", InProvenance<&AuditProvenance::language>}});
  expect_noticed(Fields<AuditRecord, AuditMap>{
      {"metadata", At<&AuditRecord::metadata>},
      {"provenance.metadata", InProvenance<&AuditProvenance::metadata>}});
}

// A decay function taken for one of another kind, its parameters as they were.
TEST(AuditDecoder, AKindOfDecayTakenForAnotherIsNoticed) {
  using engine::DecayKind;
  AuditDecoder decoder;
  std::set<DecayKind> seen;
  for (const Known& known : KnownOfFixtures()) {
    engine::Memory memory = Converted(known);
    if (!memory.decay_function) continue;
    ASSERT_TRUE(FoldOne(decoder, known).ok());
    const DecayKind kind = memory.decay_function->kind;
    seen.insert(kind);
    for (DecayKind other : {DecayKind::kExponential, DecayKind::kPowerLaw, DecayKind::kTwoComponent,
                            DecayKind::kHybrid}) {
      memory.decay_function->kind = other;
      EXPECT_EQ(compat::MemoryDigest(memory, {}) == decoder.digest(), other == kind);
    }
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(AuditDecoder, ATruncatedPayloadIsUndecodableUnlessItIsAnOlderLayout) {
  AuditDecoder decoder;
  for (size_t n : {size_t{0}, KnownOfFixtures().size() / 2, KnownOfFixtures().size() - 1}) {
    const Known& known = KnownOfFixtures()[n];
    for (size_t size = 0; size < known.payload.size(); size += 1 + size % 7) {
      const std::string cut = known.payload.substr(0, size);
      const AuditPayload one{known.type, AsBytes(cut)};
      if (!decoder.Decodable(one)) continue;
      // An E3 without its empty map is an E2: the bytes cannot tell.
      ASSERT_EQ(known.type, 1u);
      ASSERT_TRUE(decoder.Fold({&one, 1}).ok());
      EXPECT_LT(decoder.record().layout, Raw(known.fields["layout"])) << size;
    }
    const std::string longer = known.payload + '\0';
    EXPECT_FALSE(decoder.Decodable({known.type, AsBytes(longer)}) && known.type == 2);
  }
}

TEST(AuditDecoder, DecodesExactlyWhatTheConverterDecodes) {
  // Flipped bytes everywhere: whether a payload counts at all must not differ either.
  AuditDecoder decoder;
  uint64_t seed = 1;
  int decoded = 0;
  for (int round = 0; round < 20000; ++round) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const Known& known = KnownOfFixtures()[(seed >> 33) % KnownOfFixtures().size()];
    std::string payload = known.payload;
    // Mostly outside the embedding, which accepts anything.
    const size_t at = (seed >> 20) % std::min<size_t>(payload.size(), 400);
    const size_t place = (seed & 64) != 0 ? at : payload.size() - 1 - at;
    payload[place] = static_cast<char>(payload[place] ^ (1 << (seed >> 60 & 7)));
    compat::UpstreamRecord record;
    const bool theirs = compat::DecodeUpstreamPayload(known.type, AsBytes(payload), &record).ok();
    const AuditPayload one{known.type, AsBytes(payload)};
    ASSERT_EQ(decoder.Decodable(one), theirs) << "round " << round << " byte " << place;
    if (!theirs) continue;
    ++decoded;
    ASSERT_TRUE(decoder.Fold({&one, 1}).ok());
    if (known.type == 1) record.memory.activation = record.memory.confidence_encoding;
    record.memory.embedding_sha256 = Sha256Of(record.embedding);
    ASSERT_EQ(decoder.digest(), compat::MemoryDigest(record.memory, {})) << "round " << round;
  }
  EXPECT_GT(decoded, 1000);
}

class Merge : public ::testing::Test {
 protected:
  static const Known& First(uint32_t type, const char* with) {
    for (const Known& known : KnownOfFixtures()) {
      if (known.type == type && !known.fields.value(with, json()).is_null()) return known;
    }
    ADD_FAILURE();
    return KnownOfFixtures()[0];
  }
  // A payload of `known` under the id of `other`.
  static std::string Renamed(const Known& known, std::string_view id) {
    const uint64_t size = LoadLe<uint64_t>(known.payload.data());
    std::string out;
    PutLe<uint64_t>(&out, id.size());
    out += id;
    return out + known.payload.substr(8 + size);
  }
  std::map<std::string, std::string> Fold(const std::vector<AuditPayload>& payloads) {
    EXPECT_TRUE(decoder_.Fold(payloads).ok());
    std::map<std::string, std::string> out;
    for (const AuditField& field : AuditFields(decoder_.record())) out[field.name] = field.value;
    return out;
  }
  AuditDecoder decoder_;
  const Known& episode_ = First(1, "decay_function");
  const Known& memory_ = First(2, "provenance");
  const std::string episode_bytes_ = Renamed(episode_, "x");
  const std::string memory_bytes_ = Renamed(memory_, "x");
  const AuditPayload e_{1, AsBytes(episode_bytes_)};
  const AuditPayload m_{2, AsBytes(memory_bytes_)};
};

TEST_F(Merge, AMemoryAfterAnEpisodeKeepsWhatOnlyTheEpisodeHas) {
  const auto e = Fold({e_});
  const auto m = Fold({m_});
  const auto both = Fold({e_, m_});
  EXPECT_EQ(decoder_.record().layout, "M");
  for (const char* kept : {"when", "where", "who", "last_recall", "recall_count", "decay_function",
                           "metadata", "confidence.vividness", "confidence.reliability"}) {
    EXPECT_EQ(both.at(kept), e.at(kept)) << kept;
  }
  EXPECT_EQ(both.at("activation"), e.at("activation")) << "0.0 means unknown";
  for (const char* taken : {"content", "embedding_sha256", "embedding_provenance", "decay_rate",
                            "confidence.encoding", "last_access", "access_count", "created_at"}) {
    EXPECT_EQ(both.at(taken), m.at(taken)) << taken;
  }
}

TEST_F(Merge, AnEpisodeAfterAMemoryReplacesWhatItHasAndKeepsTheRest) {
  const auto e = Fold({e_});
  const auto m = Fold({m_});
  const auto both = Fold({m_, e_});
  EXPECT_EQ(decoder_.record().layout, "E3");
  for (const auto& [name, value] : both) {
    const bool kept = name == "last_access" || name == "access_count" || name == "created_at";
    EXPECT_EQ(value, kept ? m.at(name) : e.at(name)) << name;
  }
}

TEST_F(Merge, AnActivationOfItsOwnReplacesThePreviousOne) {
  std::string with = memory_bytes_;
  StoreLe<uint32_t>(with.data() + 9 + 8 + 3072, 0x3f000000);
  EXPECT_EQ(Fold({e_, {2, AsBytes(with)}}).at("activation"), "3f000000");
  EXPECT_EQ(Fold({e_, {2, AsBytes(with)}, m_}).at("activation"), "3f000000");
  EXPECT_EQ(Fold({m_}).at("activation"), "00000000") << "without a previous version 0.0 stays";
}

TEST_F(Merge, PayloadsOfTwoIdsAreRefused) {
  const std::string other = Renamed(episode_, "y");
  const std::vector<AuditPayload> two = {e_, {1, AsBytes(other)}};
  EXPECT_FALSE(decoder_.Fold(two).ok());
  EXPECT_FALSE(decoder_.Fold({}).ok());
}

TEST_F(Merge, AKnownHashIsUsedOnlyForTheSameBytes) {
  const AuditPayload first = e_;
  ASSERT_TRUE(decoder_.Fold({&first, 1}).ok());
  const Bytes embedding = decoder_.record().embedding;
  const Sha256Digest real = decoder_.record().embedding_sha256;
  Sha256Digest fake{};
  decoder_.SetKnownHash({embedding, fake});
  ASSERT_TRUE(decoder_.Fold({&first, 1}).ok());
  EXPECT_EQ(decoder_.record().embedding_sha256, fake) << "taken as given";
  ASSERT_TRUE(decoder_.Fold({&first, 1}).ok());
  EXPECT_EQ(decoder_.record().embedding_sha256, real) << "forgotten after one fold";
  decoder_.SetKnownHash({embedding.subspan(4), fake});
  ASSERT_TRUE(decoder_.Fold({&first, 1}).ok());
  EXPECT_EQ(decoder_.record().embedding_sha256, real) << "other bytes";
}

}  // namespace
}  // namespace engram::migration
