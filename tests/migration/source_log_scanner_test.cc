#include "migration/sources/log_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/testing/fixture_manifest.h"
#include "tests/testing/memory_file.h"

namespace engram::migration {
namespace {

using engram::testing::FixturePath;
using engram::testing::LoadManifest;
using engram::testing::MemoryFile;
using engram::testing::ReadWholeFile;
using nlohmann::json;

struct Seen {
  uint64_t offset = 0;
  uint64_t end = 0;
  std::string damage;  // "" for a record
  std::string bytes;   // of a record
  bool operator==(const Seen&) const = default;
};
void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "[" << seen.offset << "," << seen.end << ") " << seen.damage;
}

std::vector<Seen> Scan(const std::string& bytes, uint64_t window = 2u << 20) {
  MemoryFile file(bytes);
  LogScanner scanner(file, bytes.size(), {.window_size_bytes = window});
  LogScanner::Event event;
  std::vector<Seen> out;
  uint64_t expected_offset = 0;
  while (true) {
    Result<bool> more = scanner.Next(&event);
    EXPECT_TRUE(more.ok()) << more.status().ToString();
    if (!more.ok() || !*more) break;
    EXPECT_EQ(event.offset, expected_offset) << "stretches must not overlap or leave gaps";
    EXPECT_GT(event.length, 0u);
    expected_offset = event.offset + event.length;
    Seen seen{event.offset, expected_offset, "", ""};
    if (event.is_record) {
      seen.bytes = std::string(AsView(event.bytes));
    } else {
      seen.damage = DamageKindName(event.kind);
    }
    out.push_back(std::move(seen));
  }
  EXPECT_EQ(expected_offset, bytes.size());
  return out;
}

std::vector<Seen> WithoutBytes(std::vector<Seen> seen) {
  for (Seen& s : seen) s.bytes.clear();
  return seen;
}

class LogScannerFixture : public ::testing::TestWithParam<const char*> {};

TEST_P(LogScannerFixture, FindsEveryRecordAndEveryDamagedStretchOfTheManifest) {
  std::string fixture = GetParam();
  json manifest = LoadManifest(fixture + "/manifest.json");
  for (const json& file : manifest["files"]) {
    std::string path = file["path"];
    SCOPED_TRACE(path);
    std::vector<Seen> expected;
    for (const json& entry : file["records"]) {
      expected.push_back({entry["offset"], entry["end"], entry.value("damage", ""), ""});
    }
    std::string bytes = ReadWholeFile(FixturePath(fixture + "/data/" + path));
    EXPECT_EQ(WithoutBytes(Scan(bytes)), expected);
    EXPECT_EQ(WithoutBytes(Scan(bytes, 4096)), expected) << "the window must not matter";
  }
}

INSTANTIATE_TEST_SUITE_P(All, LogScannerFixture,
                         ::testing::Values("all-types", "damaged", "duplicates", "grpc", "killed",
                                           "legacy-e0", "legacy-e2", "made-e1", "older-e2", "plain",
                                           "restart", "spaces"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(LogScannerDamagedFixture, ReadableRecordsAreThoseOfExpectedJson) {
  json expected = LoadManifest("damaged/expected.json");
  json plain = LoadManifest("plain/manifest.json")["files"][0];
  std::string original =
      ReadWholeFile(FixturePath("plain/data/" + plain["path"].get<std::string>()));
  for (const auto& [space, want] : expected.items()) {
    SCOPED_TRACE(space);
    std::string bytes =
        ReadWholeFile(FixturePath("damaged/data/" + space + "/wal/wal-000000006b01378f.log"));
    std::set<std::string> found;
    for (const Seen& seen : Scan(bytes)) {
      if (!seen.damage.empty()) continue;
      std::string identity = seen.bytes;
      identity.erase(56, 8);
      found.insert(identity);
    }
    std::set<std::string> readable;
    for (uint64_t i : want["readable_records"]) {
      const json& entry = plain["records"][i];
      std::string identity = original.substr(
          entry["offset"], entry["end"].get<uint64_t>() - entry["offset"].get<uint64_t>());
      identity.erase(56, 8);
      readable.insert(identity);
    }
    EXPECT_TRUE(found == readable) << found.size() << " found, " << readable.size() << " expected";
  }
}

std::string Record(uint64_t sequence, std::string payload, uint32_t type = 1) {
  std::string out;
  compat::EncodeUpstreamRecord(sequence, 1000 + sequence, type, AsBytes(payload), &out);
  return out;
}
std::string Payload(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}
std::vector<std::string> Kinds(const std::string& bytes) {
  std::vector<std::string> out;
  for (const Seen& seen : Scan(bytes)) out.push_back(seen.damage.empty() ? "record" : seen.damage);
  return out;
}
using ::testing::ElementsAre;

TEST(LogScanner, AnEmptyFileHoldsNothing) { EXPECT_TRUE(Scan("").empty()); }

TEST(LogScanner, AnOrphanHeaderInFrontOfEquallyFramedRecordsHidesNone) {
  // The orphan's size ends exactly where the second record does: skipping by size would lose one.
  std::string orphan = Record(0, Payload(1, 264)).substr(0, 64);
  std::string bytes = orphan + Record(1, Payload(2, 200)) + Record(2, Payload(3, 200));
  EXPECT_THAT(Kinds(bytes), ElementsAre("orphan-header", "record", "record"));
}

TEST(LogScanner, SeveralOrphanHeadersAndOneAtTheEnd) {
  std::string header = Record(0, Payload(1, 500)).substr(0, 64);
  std::string bytes = header + header + Record(1, Payload(2, 200)) + header;
  EXPECT_THAT(Kinds(bytes),
              ElementsAre("orphan-header", "orphan-header", "record", "torn-payload"));
}

TEST(LogScanner, ARecordInsideADamagedPayloadIsNotTakenForOne) {
  // An embedding may hold anything, a deletion record for instance.
  std::string payload = Payload(1, 300) + Record(9, "victim", 3) + Payload(2, 300);
  std::string outer = Record(1, payload);
  outer[100] ^= 1;
  EXPECT_THAT(Kinds(outer + Record(2, "x")), ElementsAre("payload-checksum", "record"));
  outer = Record(1, payload);
  outer[6] ^= 1;  // in the header: the payload still proves where it ends
  EXPECT_THAT(Kinds(outer + Record(2, "x")), ElementsAre("header-checksum", "record"));
}

TEST(LogScanner, ARecordThatFillsUpADamagedOneExactlyIsFound) {
  std::string inner = Record(2, Payload(2, 50)) + Record(3, Payload(3, 60));
  std::string outer = Record(1, Payload(1, 500));
  outer.resize(outer.size() - inner.size());
  EXPECT_THAT(Kinds(outer + inner), ElementsAre("payload-checksum", "record", "record"));
  EXPECT_THAT(Kinds(outer + inner + Record(4, "x")),
              ElementsAre("payload-checksum", "record", "record", "record"));
}

TEST(LogScanner, APayloadCutShortByTheNextRecordDoesNotSwallowIt) {
  std::string cut = Record(1, Payload(1, 3000)).substr(0, 1000);
  std::string bytes = cut + Record(2, Payload(2, 3000)) + Record(3, Payload(3, 3000));
  EXPECT_THAT(Kinds(bytes), ElementsAre("payload-checksum", "record", "record"));
  EXPECT_THAT(Kinds(cut + Record(2, Payload(2, 10))), ElementsAre("torn-payload", "record"));
}

TEST(LogScanner, AHeaderCutShortByTheNextRecordDoesNotSwallowIt) {
  std::string bytes = Record(1, "abc").substr(0, 20) + Record(2, Payload(2, 100));
  EXPECT_THAT(Kinds(bytes), ElementsAre("header-checksum", "record"));
}

TEST(LogScanner, AnyNumberOfBytesAtTheEndIsClassified) {
  std::string whole = Record(1, Payload(1, 100));
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_THAT(Kinds(whole + whole.substr(0, size)),
                ElementsAre("record", size < 64 ? "torn-header" : "torn-payload"))
        << size;
  }
  for (size_t size : {1, 63, 64, 65, 5000}) {
    EXPECT_THAT(Kinds(whole + std::string(size, '\0')), ElementsAre("record", "zero-tail"));
    EXPECT_THAT(Kinds(whole + std::string(size, 'x')), ElementsAre("record", "foreign-bytes"));
    EXPECT_THAT(Kinds(std::string(size, '\0') + whole), ElementsAre("foreign-bytes", "record"));
  }
}

TEST(LogScanner, TwoDamagedHeadersInARowAreTwoEntries) {
  std::string a = Record(1, Payload(1, 200));
  std::string b = Record(2, Payload(2, 300));
  a[5] ^= 1;
  b[5] ^= 1;
  EXPECT_THAT(Kinds(a + b + Record(3, "z")),
              ElementsAre("header-checksum", "header-checksum", "record"));
  EXPECT_THAT(Kinds("junk" + b + Record(3, "z")),
              ElementsAre("foreign-bytes", "header-checksum", "record"));
}

TEST(LogScanner, ARecordLargerThanTheWindowIsYielded) {
  std::string bytes = Record(1, Payload(1, 100)) + Record(2, Payload(2, 70000)) +
                      Record(3, Payload(3, 100)) + Record(4, "");
  std::vector<Seen> seen = Scan(bytes, 4096);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[1].bytes, Record(2, Payload(2, 70000)));
}

TEST(LogScanner, AHostileSizeNeitherAllocatesNorHidesWhatFollows) {
  std::string hostile = Record(1, "x");
  StoreLe<uint32_t>(hostile.data() + 24, 0xFFFFFFFF);
  EXPECT_THAT(Kinds(hostile + Record(2, Payload(2, 100))),
              ElementsAre("header-checksum", "record"));
  std::string magics;
  for (int i = 0; i < 100000; ++i) magics += "\xEF\xBE\xAD\xDE";
  std::vector<std::string> kinds = Kinds(magics + Record(2, Payload(2, 100)));
  EXPECT_EQ(kinds.back(), "record");
}

// Random damage: whatever happens, every record that was not touched is found.
class Damager {
 public:
  explicit Damager(uint64_t seed) : random_(seed) {}
  // Pieces of the original file: a record's bytes, and whether it is still whole.
  struct Piece {
    std::string bytes;
    bool whole = true;
  };
  std::vector<Piece> Make() {
    std::vector<Piece> pieces;
    for (uint64_t i = 0, n = 3 + random_() % 12; i < n; ++i) {
      pieces.push_back({Record(i, Payload(random_(), random_() % 700), 1 + random_() % 7)});
    }
    for (uint64_t i = 0, n = random_() % 6; i < n; ++i) Hurt(&pieces);
    return pieces;
  }

 private:
  void Hurt(std::vector<Piece>* pieces) {
    size_t at = random_() % pieces->size();
    Piece& piece = (*pieces)[at];
    size_t size = piece.bytes.size();
    switch (random_() % 7) {
      case 0:  // flip a bit that a checksum covers
        if (size == 0) return;
        piece.bytes[random_() % std::min<size_t>(size, 56)] ^=
            static_cast<char>(1 << random_() % 8);
        break;
      case 1:
        if (size <= 64) return;
        piece.bytes[64 + random_() % (size - 64)] ^= static_cast<char>(1 << random_() % 8);
        break;
      case 2:
        if (size == 0) return;
        piece.bytes.resize(random_() % size);
        break;
      case 3:
        if (size == 0) return;
        piece.bytes.erase(0, 1 + random_() % size);
        break;
      case 4:
        if (size == 0) return;
        piece.bytes.replace(random_() % size, 1 + random_() % 300, std::string(200, '\0'));
        break;
      case 5:
        pieces->insert(pieces->begin() + static_cast<ptrdiff_t>(at),
                       Piece{Payload(random_(), random_() % 900), false});
        return;
      default:
        piece.bytes = piece.bytes.substr(0, 64);
        if (size == 64) return;
        break;
    }
    piece.whole = false;
  }
  std::mt19937_64 random_;
};

TEST(LogScannerProperty, EveryUntouchedRecordIsFoundWhateverHappenedAround) {
  for (uint64_t seed = 1; seed <= 20000; ++seed) {
    std::vector<Damager::Piece> pieces = Damager(seed).Make();
    std::string bytes;
    std::vector<uint64_t> whole_offsets;
    for (const Damager::Piece& piece : pieces) {
      if (piece.whole) whole_offsets.push_back(bytes.size());
      bytes += piece.bytes;
    }
    std::vector<Seen> seen = Scan(bytes, seed % 2 ? 4096 : 2u << 20);
    std::set<uint64_t> found;
    for (const Seen& s : seen) {
      if (s.damage.empty()) found.insert(s.offset);
    }
    for (uint64_t offset : whole_offsets) {
      ASSERT_TRUE(found.contains(offset))
          << "seed " << seed << " offset " << offset << " seen " << ::testing::PrintToString(seen);
    }
  }
}

}  // namespace
}  // namespace engram::migration
