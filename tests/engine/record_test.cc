#include "engine/record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "tests/testing/golden.h"
#include "tests/testing/record_generator.h"

namespace engram::engine {
namespace {

using engram::testing::BareMemory;
using engram::testing::ExpectGolden;
using engram::testing::GoldenConcept;
using engram::testing::GoldenMemory;
using engram::testing::RecordGenerator;

SpaceId Space(std::string_view name) {
  const Result<SpaceId> space = SpaceId::Parse(name);
  return space.value();
}

// Builds the node here, not with compat: the engine's tests know the engine only.
DualNode NodeOf(const Memory& memory, const Extension& extension = {}) {
  DualNode node;
  node.extension = extension;
  node.embedding_sha256 = memory.embedding_sha256;
  node.activation = memory.activation;
  node.confidence = memory.confidence_encoding;
  node.last_access = memory.last_access;
  node.created_at = memory.created_at;
  node.residual = {memory.when,         memory.confidence_vividness, memory.confidence_reliability,
                   memory.decay_rate,   memory.decay_function,       memory.last_recall,
                   memory.recall_count, memory.access_count,         memory.layout};
  node.text = memory.text;
  return node;
}

Extension GoldenEpisode() {
  Extension extension;
  extension.strength = 0.5f;
  extension.consolidation_score = 0.25f;
  return extension;
}

TEST(NodeUuidTest, AnIdThatIsAUuidKeepsIt) {
  for (const char* id :
       {"f47ac10b-58cc-4372-a567-0e02b2c3d479", "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff", "f47ac10b-58cc-1372-0567-0e02b2c3d479"}) {
    EXPECT_EQ(NodeUuid(Space("default"), id).ToString(), id);
    EXPECT_EQ(NodeUuid(Space("other"), id).ToString(), id);
  }
}

TEST(NodeUuidTest, AnyOtherIdIsHashedWithItsSpace) {
  auto uuid = [](std::string_view space, std::string_view id) {
    return NodeUuid(Space(space), id).ToString();
  };
  // Computed with Python's hashlib.
  EXPECT_EQ(uuid("default", ""), "e3792edf-25b3-8417-abf4-67a28d669bd0");
  EXPECT_EQ(uuid("default", "m1"), "1ebc8e83-4b57-8d89-906e-ba479d71e66f");
  EXPECT_EQ(uuid("team-a", "m1"), "49357d18-41d2-8f28-807c-3bfd16b26053");
  EXPECT_EQ(uuid("default", std::string_view("a\0b", 3)), "f2ee0e1d-a8d1-8580-8cad-b1c42fc1e603");
}

TEST(NodeUuidTest, NobodyTakesTheUuidOfAnotherIdInAdvance) {
  const std::string taken = NodeUuid(Space("default"), "m1").ToString();
  EXPECT_NE(NodeUuid(Space("default"), taken).ToString(), taken);
  EXPECT_EQ(NodeUuid(Space("default"), "f47ac10b-58cc-8372-a567-0e02b2c3d479").ToString(),
            "8c11be41-c458-85f7-833c-208a98a534cd");
}

TEST(NodeUuidTest, OnlyTheLowercaseHyphenatedFormIsAUuid) {
  std::set<std::string> uuids;
  for (const char* id :
       {"f47ac10b-58cc-4372-a567-0e02b2c3d479", "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        "{f47ac10b-58cc-4372-a567-0e02b2c3d479}", "f47ac10b58cc4372a5670e02b2c3d479",
        "urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-4372-a567-0e02b2c3d479 "}) {
    uuids.insert(NodeUuid(Space("default"), id).ToString());
  }
  EXPECT_EQ(uuids.size(), 6u);
  EXPECT_EQ(NodeUuid(Space("default"), "F47AC10B-58CC-4372-A567-0E02B2C3D479").ToString(),
            "062b69d9-9418-893c-b0c7-d473327b3a10");
}

TEST(TierTest, ThresholdsAreTheFloatsAndNaNIsCold) {
  EXPECT_EQ(TierOf(0.7f), Tier::kHot);
  EXPECT_EQ(TierOf(std::nextafter(0.7f, 0.0f)), Tier::kWarm);
  EXPECT_EQ(TierOf(0.3f), Tier::kWarm);
  EXPECT_EQ(TierOf(std::nextafter(0.3f, 0.0f)), Tier::kCold);
  EXPECT_EQ(TierOf(-0.0f), Tier::kCold);
  EXPECT_EQ(TierOf(std::numeric_limits<float>::infinity()), Tier::kHot);
  EXPECT_EQ(TierOf(-std::numeric_limits<float>::infinity()), Tier::kCold);
  EXPECT_EQ(TierOf(std::numeric_limits<float>::quiet_NaN()), Tier::kCold);
  EXPECT_EQ(TierOf(-std::numeric_limits<float>::quiet_NaN()), Tier::kCold);
}

TEST(NamesTest, LayoutsAndTiersHaveTheNamesOfTheCommandLine) {
  EXPECT_EQ(LayoutName(Layout::kNone), "");
  EXPECT_EQ(LayoutName(Layout::kE0), "E0");
  EXPECT_EQ(LayoutName(Layout::kE1), "E1");
  EXPECT_EQ(LayoutName(Layout::kE2), "E2");
  EXPECT_EQ(LayoutName(Layout::kE3), "E3");
  EXPECT_EQ(LayoutName(Layout::kM), "M");
  EXPECT_EQ(TierName(Tier::kHot), "hot");
  EXPECT_EQ(TierName(Tier::kWarm), "warm");
  EXPECT_EQ(TierName(Tier::kCold), "cold");
}

// ---- canonical encoding ----

std::string Canonical(const DualNode& node) {
  std::string out;
  AppendCanonical(node, &out);
  return out;
}

TEST(CanonicalTest, GoldenBytes) {
  ExpectGolden("canonical-episode.bin", Canonical(NodeOf(GoldenMemory(), GoldenEpisode())));
  ExpectGolden("canonical-concept.bin", Canonical(NodeOf(GoldenMemory(), GoldenConcept())));
  ExpectGolden("canonical-bare.bin", Canonical(NodeOf(BareMemory())));
}

TEST(CanonicalTest, AppendsToWhatIsThere) {
  const DualNode node = NodeOf(GoldenMemory());
  std::string out = "before";
  AppendCanonical(node, &out);
  EXPECT_EQ(out, "before" + Canonical(node));
}

TEST(CanonicalTest, TheTextFieldsMayComeFromElsewhere) {
  const Memory memory = GoldenMemory();
  DualNode head = NodeOf(memory);
  head.text = {};
  EXPECT_EQ(RecordDigest(head, memory.text), RecordDigest(NodeOf(memory)));
}

// A second encoder, written from docs/format/digest.md with the plainest means.
class PlainEncoder {
 public:
  std::string Encode(const DualNode& node) {
    const TextFields& text = node.text;
    const Residual& rest = node.residual;
    out_.assign("engram/record/1\0", 16);
    String(text.id);
    Optional(text.content, &PlainEncoder::String);
    Optional(rest.when, &PlainEncoder::Time);
    Optional(text.where, &PlainEncoder::String);
    Optional(text.who, &PlainEncoder::Strings);
    for (uint8_t byte : node.embedding_sha256) out_.push_back(static_cast<char>(byte));
    Optional(text.provenance, &PlainEncoder::Provenance);
    Float(node.activation);
    Float(node.confidence);
    Optional(rest.confidence_vividness, &PlainEncoder::Float);
    Optional(rest.confidence_reliability, &PlainEncoder::Float);
    Float(rest.decay_rate);
    Optional(rest.decay_function, &PlainEncoder::Decay);
    Optional(rest.last_recall, &PlainEncoder::Time);
    Optional(rest.recall_count, &PlainEncoder::U32);
    Optional(node.last_access, &PlainEncoder::Time);
    Optional(rest.access_count, &PlainEncoder::U64);
    Optional(node.created_at, &PlainEncoder::Time);
    Map(text.metadata);
    Node(node.extension);
    return out_;
  }

 private:
  void Number(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
  void U32(const uint32_t& value) { Number(value, 4); }
  void U64(const uint64_t& value) { Number(value, 8); }
  void Float(const float& value) { Number(std::bit_cast<uint32_t>(value), 4); }
  void String(const std::string& text) {
    Number(text.size(), 4);
    out_ += text;
  }
  void Time(const Timestamp& time) { String(FormatTimestamp(time)); }
  void Strings(const std::vector<std::string>& list) {
    Number(list.size(), 4);
    for (const auto& text : list) String(text);
  }
  void Map(const MetadataMap& pairs) {
    std::map<std::string, std::string> sorted;
    for (const auto& [key, value] : pairs) sorted[key] = value;
    Number(sorted.size(), 4);
    for (const auto& [key, value] : sorted) {
      String(key);
      String(value);
    }
  }
  void Provenance(const EmbeddingProvenance& provenance) {
    String(provenance.model_name);
    String(provenance.model_version);
    U64(provenance.dimension);
    Optional(provenance.language, &PlainEncoder::String);
    U64(provenance.created_at_s);
    Optional(provenance.quality_score, &PlainEncoder::Float);
    Map(provenance.metadata);
  }
  void Decay(const DecayFunction& decay) {
    const auto kind = static_cast<uint32_t>(decay.kind);
    Number(kind, 1);
    if (kind != 2) Float(decay.a);
    if (kind == 3) Float(decay.b);
    if (kind >= 2) U64(decay.n);
  }
  void Node(const Extension& extension) {
    if (extension.type == NodeType::kEpisode) {
      Number(1, 1);
      Optional(extension.strength, &PlainEncoder::Float);
      Optional(extension.consolidation_score, &PlainEncoder::Float);
    } else {
      Number(2, 1);
      Float(extension.coherence);
      U32(extension.instance_count);
      Time(extension.formation_time);
    }
  }
  template <typename T>
  void Optional(const std::optional<T>& value, void (PlainEncoder::*write)(const T&)) {
    Number(value ? 1 : 0, 1);
    if (value) (this->*write)(*value);
  }
  std::string out_;
};

TEST(CanonicalTest, AgreesWithASecondEncoderOnRandomRecords) {
  RecordGenerator random(21);
  PlainEncoder plain;
  for (int i = 0; i < 30000; ++i) {
    const DualNode node = NodeOf(random.Memory(), random.Extension());
    const std::string expected = plain.Encode(node);
    ASSERT_EQ(Canonical(node), expected) << "record " << i;
    ASSERT_EQ(RecordDigest(node), Sha256Of(AsBytes(expected)));
  }
}

struct Mutation {
  const char* name;
  std::function<void(DualNode&)> apply;
};

void Flip(float* value) { *value = std::bit_cast<float>(std::bit_cast<uint32_t>(*value) ^ 1); }
void Flip(std::optional<float>* value) { Flip(&**value); }

// Starts from GoldenMemory() with GoldenEpisode(): everything is present.
const std::vector<Mutation>& ContentMutations() {
  static const std::vector<Mutation> kMutations = {
      {"id", [](DualNode& n) { n.text.id = "m2"; }},
      {"content", [](DualNode& n) { n.text.content = "hj"; }},
      {"content absent", [](DualNode& n) { n.text.content.reset(); }},
      {"content empty", [](DualNode& n) { n.text.content = ""; }},
      {"when", [](DualNode& n) { n.residual.when->nanos += 1; }},
      {"when absent", [](DualNode& n) { n.residual.when.reset(); }},
      {"where", [](DualNode& n) { n.text.where = "lab"; }},
      {"where absent", [](DualNode& n) { n.text.where.reset(); }},
      {"where empty", [](DualNode& n) { n.text.where = ""; }},
      {"who", [](DualNode& n) { n.text.who->at(1) = "Bp"; }},
      {"who order", [](DualNode& n) { std::swap(n.text.who->at(0), n.text.who->at(1)); }},
      {"who split",
       [](DualNode& n) {
         n.text.who = {"A", "lBo"};
       }},
      {"who absent", [](DualNode& n) { n.text.who.reset(); }},
      {"who empty", [](DualNode& n) { n.text.who->clear(); }},
      {"embedding", [](DualNode& n) { n.embedding_sha256[31] ^= 1; }},
      {"provenance absent", [](DualNode& n) { n.text.provenance.reset(); }},
      {"model name", [](DualNode& n) { n.text.provenance->model_name = "n"; }},
      {"model version", [](DualNode& n) { n.text.provenance->model_version = "2"; }},
      {"dimension", [](DualNode& n) { n.text.provenance->dimension = 767; }},
      {"language", [](DualNode& n) { n.text.provenance->language = "eo"; }},
      {"language absent", [](DualNode& n) { n.text.provenance->language.reset(); }},
      {"provenance created at", [](DualNode& n) { ++n.text.provenance->created_at_s; }},
      {"quality score", [](DualNode& n) { Flip(&n.text.provenance->quality_score); }},
      {"quality score absent", [](DualNode& n) { n.text.provenance->quality_score.reset(); }},
      {"provenance metadata", [](DualNode& n) { n.text.provenance->metadata[0].second = "3"; }},
      {"provenance key", [](DualNode& n) { n.text.provenance->metadata[0].first = "c"; }},
      {"activation", [](DualNode& n) { Flip(&n.activation); }},
      {"encoding confidence", [](DualNode& n) { Flip(&n.confidence); }},
      {"vividness", [](DualNode& n) { Flip(&n.residual.confidence_vividness); }},
      {"vividness absent", [](DualNode& n) { n.residual.confidence_vividness.reset(); }},
      {"reliability", [](DualNode& n) { Flip(&n.residual.confidence_reliability); }},
      {"reliability +0", [](DualNode& n) { n.residual.confidence_reliability = 0.0f; }},
      {"reliability absent", [](DualNode& n) { n.residual.confidence_reliability.reset(); }},
      {"decay rate", [](DualNode& n) { Flip(&n.residual.decay_rate); }},
      {"decay kind",
       [](DualNode& n) { n.residual.decay_function->kind = DecayKind::kExponential; }},
      {"decay kind 1", [](DualNode& n) { n.residual.decay_function->kind = DecayKind::kPowerLaw; }},
      {"decay kind 2",
       [](DualNode& n) { n.residual.decay_function->kind = DecayKind::kTwoComponent; }},
      {"decay a", [](DualNode& n) { Flip(&n.residual.decay_function->a); }},
      {"decay b", [](DualNode& n) { Flip(&n.residual.decay_function->b); }},
      {"decay n", [](DualNode& n) { ++n.residual.decay_function->n; }},
      {"decay absent", [](DualNode& n) { n.residual.decay_function.reset(); }},
      {"last recall", [](DualNode& n) { n.residual.last_recall->seconds += 60; }},
      {"last recall leap", [](DualNode& n) { n.residual.last_recall->nanos -= 1000000000; }},
      {"last recall absent", [](DualNode& n) { n.residual.last_recall.reset(); }},
      {"recall count", [](DualNode& n) { ++*n.residual.recall_count; }},
      {"recall count 0", [](DualNode& n) { n.residual.recall_count = 0; }},
      {"recall count absent", [](DualNode& n) { n.residual.recall_count.reset(); }},
      {"last access", [](DualNode& n) { --n.last_access->seconds; }},
      {"last access absent", [](DualNode& n) { n.last_access.reset(); }},
      {"access count", [](DualNode& n) { *n.residual.access_count ^= uint64_t{1} << 63; }},
      {"access count absent", [](DualNode& n) { n.residual.access_count.reset(); }},
      {"created at", [](DualNode& n) { ++n.created_at->nanos; }},
      {"created at absent", [](DualNode& n) { n.created_at.reset(); }},
      {"metadata value", [](DualNode& n) { n.text.metadata[2].second = "newer"; }},
      {"metadata key", [](DualNode& n) { n.text.metadata[1].first = "y"; }},
      {"metadata pair more", [](DualNode& n) { n.text.metadata.emplace_back("", ""); }},
      {"metadata empty", [](DualNode& n) { n.text.metadata.clear(); }},
      {"strength", [](DualNode& n) { Flip(&n.extension.strength); }},
      {"strength unset", [](DualNode& n) { n.extension.strength.reset(); }},
      {"score", [](DualNode& n) { Flip(&n.extension.consolidation_score); }},
      {"score unset", [](DualNode& n) { n.extension.consolidation_score.reset(); }},
      {"type", [](DualNode& n) { n.extension = GoldenConcept(); }},
      {"coherence",
       [](DualNode& n) {
         n.extension = GoldenConcept();
         Flip(&n.extension.coherence);
       }},
      {"instance count",
       [](DualNode& n) {
         n.extension = GoldenConcept();
         ++n.extension.instance_count;
       }},
      {"formation time",
       [](DualNode& n) {
         n.extension = GoldenConcept();
         ++n.extension.formation_time.seconds;
       }},
  };
  return kMutations;
}

TEST(RecordDigestTest, EveryFieldChangesItAndNoTwoChangesAreAlike) {
  const DualNode base = NodeOf(GoldenMemory(), GoldenEpisode());
  std::map<Sha256Digest, std::string> seen{{RecordDigest(base), "unchanged"}};
  for (const Mutation& mutation : ContentMutations()) {
    DualNode node = base;
    mutation.apply(node);
    const auto [it, fresh] = seen.emplace(RecordDigest(node), mutation.name);
    EXPECT_TRUE(fresh) << mutation.name << " gives the digest of " << it->second;
  }
}

TEST(RecordDigestTest, SwappedFieldsOfOneTypeChangeIt) {
  const DualNode base = NodeOf(GoldenMemory(), GoldenEpisode());
  const Mutation swaps[] = {
      {"content, where", [](DualNode& n) { std::swap(n.text.content, n.text.where); }},
      {"when, last recall",
       [](DualNode& n) { std::swap(n.residual.when, n.residual.last_recall); }},
      {"last access, created at", [](DualNode& n) { std::swap(n.last_access, n.created_at); }},
      {"when, created at", [](DualNode& n) { std::swap(n.residual.when, n.created_at); }},
      {"vividness, reliability",
       [](DualNode& n) {
         std::swap(n.residual.confidence_vividness, n.residual.confidence_reliability);
       }},
      {"activation, confidence", [](DualNode& n) { std::swap(n.activation, n.confidence); }},
      {"decay a, b",
       [](DualNode& n) { std::swap(n.residual.decay_function->a, n.residual.decay_function->b); }},
      {"strength, score",
       [](DualNode& n) { std::swap(n.extension.strength, n.extension.consolidation_score); }},
      {"model name, version",
       [](DualNode& n) {
         std::swap(n.text.provenance->model_name, n.text.provenance->model_version);
       }},
      {"metadata, provenance metadata",
       [](DualNode& n) { std::swap(n.text.metadata, n.text.provenance->metadata); }},
  };
  for (const Mutation& swap : swaps) {
    DualNode node = base;
    swap.apply(node);
    EXPECT_NE(RecordDigest(node), RecordDigest(base)) << swap.name;
  }
}

TEST(RecordDigestTest, WhatIsNotContentLeavesItAlone) {
  const DualNode base = NodeOf(GoldenMemory(), GoldenEpisode());
  const Mutation kept[] = {
      {"uuid", [](DualNode& n) { n.uuid.bytes[0] ^= 1; }},
      {"layout", [](DualNode& n) { n.residual.layout = Layout::kM; }},
      {"map order", [](DualNode& n) { std::swap(n.text.metadata[0], n.text.metadata[1]); }},
      {"a value that a later one of its key replaces",
       [](DualNode& n) { n.text.metadata[0].second = "other"; }},
      {"no replaced value at all",
       [](DualNode& n) { n.text.metadata.erase(n.text.metadata.begin()); }},
      {"provenance map order",
       [](DualNode& n) {
         std::swap(n.text.provenance->metadata[0], n.text.provenance->metadata[1]);
       }},
  };
  for (const Mutation& mutation : kept) {
    DualNode node = base;
    mutation.apply(node);
    EXPECT_EQ(RecordDigest(node), RecordDigest(base)) << mutation.name;
  }
}

TEST(CanonicalTest, MapsAreSortedByUnsignedBytes) {
  DualNode node = NodeOf(BareMemory());
  node.text.metadata = {{"\xc3\xa9", "#1"}, {"z", "#2"}, {"", "#3"}, {"za", "#4"}};
  const std::string canonical = Canonical(node);
  EXPECT_LT(canonical.find("#3"), canonical.find("#2"));
  EXPECT_LT(canonical.find("#2"), canonical.find("#4"));
  EXPECT_LT(canonical.find("#4"), canonical.find("#1"));
}

TEST(RecordDigestTest, ManyPairsOfOneKeyCountOnce) {
  DualNode node = NodeOf(BareMemory());
  for (int i = 0; i < 1000; ++i) node.text.metadata.emplace_back("k", std::to_string(i));
  DualNode last = NodeOf(BareMemory());
  last.text.metadata = {{"k", "999"}};
  EXPECT_EQ(RecordDigest(node), RecordDigest(last));
}

}  // namespace
}  // namespace engram::engine
