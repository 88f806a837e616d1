#include "migration/audit_decoder.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "compat/conversion.h"
#include "compat/upstream_codec.h"

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

// The converter's decoder with two fields swapped must not agree with the audit decoder, for every
// pair of fields of one type: else that pair could be confused unnoticed.
TEST(AuditDecoder, ASwapOfAnyTwoFieldsInTheConverterIsNoticed) {
  using engine::Memory;
  using Swap = void (*)(Memory&);
  const std::map<std::string, Swap> swaps = {
      {"when/last_recall", [](Memory& m) { std::swap(m.when, m.last_recall); }},
      {"last_access/created_at", [](Memory& m) { std::swap(m.last_access, m.created_at); }},
      {"when/created_at", [](Memory& m) { std::swap(m.when, m.created_at); }},
      {"vividness/reliability",
       [](Memory& m) { std::swap(m.confidence_vividness, m.confidence_reliability); }},
      {"encoding/decay_rate", [](Memory& m) { std::swap(m.confidence_encoding, m.decay_rate); }},
      {"activation/encoding", [](Memory& m) { std::swap(m.activation, m.confidence_encoding); }},
      {"activation/decay_rate", [](Memory& m) { std::swap(m.activation, m.decay_rate); }},
      {"content/where", [](Memory& m) { std::swap(m.text.content, m.text.where); }},
      {"model name/version",
       [](Memory& m) {
         if (m.text.provenance) {
           std::swap(m.text.provenance->model_name, m.text.provenance->model_version);
         }
       }},
      {"dimension/created_at_s",
       [](Memory& m) {
         if (m.text.provenance) {
           std::swap(m.text.provenance->dimension, m.text.provenance->created_at_s);
         }
       }},
      {"metadata/provenance metadata",
       [](Memory& m) {
         if (m.text.provenance) std::swap(m.text.metadata, m.text.provenance->metadata);
       }},
      {"hybrid a/b",
       [](Memory& m) {
         if (m.decay_function) std::swap(m.decay_function->a, m.decay_function->b);
       }},
      {"decay kinds",
       [](Memory& m) {
         if (m.decay_function && m.decay_function->kind == engine::DecayKind::kExponential) {
           m.decay_function->kind = engine::DecayKind::kPowerLaw;
         }
       }},
  };
  AuditDecoder decoder;
  std::map<std::string, int> noticed;
  for (const Known& known : KnownOfFixtures()) {
    ASSERT_TRUE(FoldOne(decoder, known).ok());
    for (const auto& [name, swap] : swaps) {
      Memory memory = Converted(known);
      swap(memory);
      noticed[name] += compat::MemoryDigest(memory, {}) != decoder.digest();
    }
  }
  for (const auto& [name, swap] : swaps) {
    // activation == encoding in every episode by rule, so only type-2 records tell them apart.
    EXPECT_GT(noticed[name], 0) << name << " can be swapped without anyone noticing";
  }
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
