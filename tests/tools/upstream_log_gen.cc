// upstream_log_gen: writes upstream-format logs, byte-exact and deterministic from the seed, with
// the kinds of damage of the `damaged` fixture, and a manifest in the shape of the fixtures'
// manifests. Streams: holds one record and, for a manifest, eight bytes per id.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/crypto.h"
#include "base/utf8.h"
#include "compat/upstream_codec.h"
#include "tests/testing/fixture_manifest.h"

namespace engram::tools {
namespace {

using engine::Layout;
using engine::Memory;
using nlohmann::json;

struct Options {
  std::string out;
  uint64_t records = 1000;
  uint64_t seed = 1;
  uint64_t spaces = 1;
  uint64_t versions_percent = 0;
  uint64_t deletes_percent = 0;
  std::vector<std::string> layouts = {"E3"};
  std::string damage = "none";
  std::string manifest;
};

[[noreturn]] void Die(const std::string& message) {
  std::cerr << "upstream_log_gen: " << message << "\n";
  std::exit(1);
}

// xoshiro256**, seeded by splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      word = z ^ (z >> 31);
    }
  }
  uint64_t Next() {
    uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  bool Percent(uint64_t percent) { return Below(100) < percent; }

 private:
  uint64_t state_[4];
};

// In [-1, 1), from 24 random bits.
float UnitFloat(uint32_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits) >> 8) * (1.0f / 8388608.0f);
}

// Content of records: ids, texts, times, optional parts.
class Maker {
 public:
  Maker(uint64_t seed, std::vector<Layout> layouts)
      : seed_(seed), random_(seed ^ 0xE17A9u), layouts_(std::move(layouts)) {}

  Random& random() { return random_; }

  // The id with number `n`: mostly short, some UUIDs, some odd.
  std::string Id(uint64_t n) const {
    if (n % 7 == 3) return UuidText(n);
    std::string number = std::to_string(seed_ % 1000) + "-" + std::to_string(n);
    if (n % 101 == 5) return "ep/\xC3\xBC " + number;
    if (n % 211 == 9) return "\xE6\x9D\xB1\xE4\xBA\xAC-" + number;
    return "mem-" + number;
  }

  const Memory& Make(uint64_t id_number) {
    Layout layout = layouts_[random_.Below(layouts_.size())];
    memory_ = Memory();
    memory_.layout = layout;
    memory_.text.id = Id(id_number);
    memory_.decay_rate = 0.05f;
    uint32_t* out = reinterpret_cast<uint32_t*>(embedding_.data());
    for (size_t i = 0; i < embedding_.size(); i += 2) {
      uint64_t r = random_.Next();
      embedding_[i] = UnitFloat(static_cast<uint32_t>(r));
      embedding_[i + 1] = UnitFloat(static_cast<uint32_t>(r >> 32));
    }
    (void)out;
    layout == Layout::kM ? FillMemory() : FillEpisode(layout);
    return memory_;
  }
  Bytes embedding() const {
    return {reinterpret_cast<const uint8_t*>(embedding_.data()), engine::kEmbeddingSizeBytes};
  }

 private:
  std::string UuidText(uint64_t n) const {
    Random random(seed_ * 0x10001 + n);
    Uuid uuid;
    StoreLe(uuid.bytes.data(), random.Next());
    StoreLe(uuid.bytes.data() + 8, random.Next());
    uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0F) | 0x40);
    uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3F) | 0x80);
    return uuid.ToString();
  }
  std::string Words() {
    static const char* const kWords[] = {
        "alpha",   "saffron", "orbit",        "harbor", "violet", "tundra",
        "lantern", "quartz",  "memory",       "decay",  "graph",  "zephyr",
        "walnut",  "ribbon",  "na\xC3\xAFve", "rest",   "tier",   "\xE6\x9D\xB1\xE4\xBA\xAC"};
    std::string text = std::to_string(count_++);
    for (uint64_t i = 2 + random_.Below(8); i > 0; --i) {
      text += ' ';
      text += kWords[random_.Below(std::size(kWords))];
    }
    return text;
  }
  engine::Timestamp Time() {
    engine::Timestamp time;
    time.seconds = 1763000000 + static_cast<int64_t>(random_.Below(30000000));
    uint64_t kind = random_.Below(16);
    uint32_t nanos = static_cast<uint32_t>(random_.Below(1000000000));
    time.nanos = kind == 0 ? 0 : kind == 1 ? nanos / 1000000 * 1000000 : nanos;
    if (random_.Below(500) == 0) time.seconds -= 62135596800 + 40000000;  // before year 1
    return time;
  }
  float Confidence() {
    uint64_t kind = random_.Below(2000);
    if (kind == 0) return std::bit_cast<float>(0x7fc00000u);
    if (kind == 1) return -0.0f;
    return static_cast<float>(random_.Below(1001)) / 1000.0f;
  }
  engine::MetadataMap Map() {
    engine::MetadataMap map;
    for (uint64_t i = 0, n = random_.Below(4); i < n; ++i) {
      map.emplace_back("key" + std::to_string(i), "value " + std::to_string(random_.Below(100)));
    }
    return map;
  }
  std::optional<engine::EmbeddingProvenance> Provenance() {
    if (random_.Below(8) != 0) return std::nullopt;
    engine::EmbeddingProvenance out;
    out.model_name = "bge-base-en";
    out.model_version = "1." + std::to_string(random_.Below(9));
    out.dimension = 768;
    if (random_.Below(2) == 0) out.language = "en";
    out.created_at_s = 1760000000 + random_.Below(1000000);
    if (random_.Below(2) == 0) out.quality_score = 0.75f;
    out.metadata = Map();
    return out;
  }
  void FillMemory() {
    memory_.activation = random_.Below(3) == 0 ? Confidence() : 0.0f;
    memory_.confidence_encoding = Confidence();
    memory_.last_access = Time();
    memory_.created_at = Time();
    memory_.access_count = random_.Below(1000);
    if (random_.Below(16) != 0) memory_.text.content = Words();
    memory_.text.provenance = Provenance();
  }
  void FillEpisode(Layout layout) {
    memory_.confidence_encoding = Confidence();
    memory_.confidence_vividness = memory_.confidence_encoding;
    memory_.confidence_reliability = memory_.confidence_encoding;
    memory_.when = Time();
    memory_.last_recall = Time();
    memory_.recall_count = random_.Below(10) == 0 ? static_cast<uint32_t>(random_.Below(50)) : 0;
    memory_.text.content = Words();
    if (random_.Below(6) == 0) memory_.text.where = random_.Below(5) == 0 ? "" : "Lab 4";
    if (random_.Below(6) == 0) {
      memory_.text.who.emplace();
      for (uint64_t i = random_.Below(4); i > 0; --i)
        memory_.text.who->push_back("p" + std::to_string(i));
    }
    if (layout >= Layout::kE1) memory_.text.provenance = Provenance();
    if (layout >= Layout::kE2 && random_.Below(8) == 0) FillDecay();
    if (layout >= Layout::kE3 && random_.Below(4) == 0) memory_.text.metadata = Map();
  }
  void FillDecay() {
    auto& decay = memory_.decay_function.emplace();
    decay.kind = static_cast<engine::DecayKind>(random_.Below(4));
    if (decay.kind != engine::DecayKind::kTwoComponent) decay.a = 0.8f;
    if (decay.kind == engine::DecayKind::kHybrid) decay.b = 0.25f;
    if (decay.kind >= engine::DecayKind::kTwoComponent) decay.n = random_.Below(100000);
  }

  const uint64_t seed_;
  Random random_;
  const std::vector<Layout> layouts_;
  uint64_t count_ = 0;
  Memory memory_;
  alignas(16) std::array<float, engine::kEmbeddingDimension> embedding_;
};

// An output file that hashes what it writes when a manifest is wanted.
class LogFile {
 public:
  LogFile(const std::string& path, bool hashed) : hashed_(hashed), path_(path) {
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) Die("cannot create " + path + ": " + strerror(errno));
    buffer_.reserve(kFlushBytes + (1u << 16));
  }
  void Write(std::string_view bytes) {
    buffer_ += bytes;
    offset_ += bytes.size();
    if (buffer_.size() >= kFlushBytes) Flush();
  }
  std::string Close() {
    Flush();
    if (close(fd_) != 0) Die("cannot close " + path_);
    return hashed_ ? ToHex(sha256_.Finish()) : "";
  }
  uint64_t offset() const { return offset_; }

 private:
  static constexpr size_t kFlushBytes = 1u << 20;
  void Flush() {
    if (hashed_) sha256_.Update(AsBytes(buffer_));
    for (size_t done = 0; done < buffer_.size();) {
      ssize_t count = write(fd_, buffer_.data() + done, buffer_.size() - done);
      if (count <= 0) Die("cannot write " + path_ + ": " + strerror(errno));
      done += static_cast<size_t>(count);
    }
    buffer_.clear();
  }
  const bool hashed_;
  const std::string path_;
  int fd_;
  std::string buffer_;
  uint64_t offset_ = 0;
  Sha256 sha256_;
};

// The manifest as a stream: entries are written while the logs are.
class Manifest {
 public:
  explicit Manifest(const std::string& path) {
    if (path.empty()) return;
    file_ = std::fopen(path.c_str(), "w");
    if (file_ == nullptr) Die("cannot create " + path);
    std::fputs("{\"files\": [", file_);
  }
  bool wanted() const { return file_ != nullptr; }
  void BeginFile(const std::string& path) {
    if (!wanted()) return;
    std::fprintf(file_, "%s\n{\"path\": %s, \"records\": [", first_file_ ? "" : ",",
                 json(path).dump().c_str());
    first_file_ = false;
    first_record_ = true;
  }
  void Add(const json& entry) {
    if (!wanted()) return;
    std::fprintf(file_, "%s\n%s", first_record_ ? "" : ",", entry.dump().c_str());
    first_record_ = false;
  }
  void EndFile(uint64_t bytes, const std::string& sha256) {
    if (!wanted()) return;
    std::fprintf(file_, "], \"bytes\": %llu, \"sha256\": \"%s\"}",
                 static_cast<unsigned long long>(bytes), sha256.c_str());
  }
  void BeginSpaces() {
    if (wanted()) std::fputs("\n], \"spaces\": {", file_);
  }
  void AddSpace(const std::string& space, uint64_t memories, uint64_t versions, uint64_t damage) {
    spaces_ += (spaces_.empty() ? "" : ",") + std::string("\n") + json(space).dump() +
               ": {\"memories\": " + std::to_string(memories) +
               ", \"versions\": " + std::to_string(versions) +
               ", \"damage\": " + std::to_string(damage) + ", \"newest\": {" + newest_ + "}}";
    newest_.clear();
  }
  void AddNewest(const std::string& id, const std::string& file, uint64_t offset) {
    newest_ += (newest_.empty() ? "" : ", ") + json(id).dump() + ": [" + json(file).dump() + ", " +
               std::to_string(offset) + "]";
  }
  void End() {
    if (!wanted()) return;
    std::fputs("\n], \"spaces\": {", file_);
    std::fputs(spaces_.c_str(), file_);
    std::fputs("}}\n", file_);
    if (std::fclose(file_) != 0) Die("cannot write the manifest");
  }

 private:
  std::FILE* file_ = nullptr;
  bool first_file_ = true;
  bool first_record_ = true;
  std::string spaces_;
  std::string newest_;
};

// The kinds of the `damaged` fixture, one file each.
enum class Damage {
  kNone,
  kTornHeader,
  kTornPayload,
  kHeaderOnly,
  kFlipPayload,
  kFlipHeader,
  kFlipSize,
  kFlipUnprotected,
  kOrphanHeader,
  kGarbageBetween,
  kDuplicatedRecord,
  kZeroPage,
  kZeroTail,
  kHalf,
};

std::vector<Damage> DamagePlan(const std::string& name) {
  std::vector<Damage> torn = {Damage::kTornPayload, Damage::kTornHeader, Damage::kHeaderOnly};
  std::vector<Damage> flips = {Damage::kFlipPayload, Damage::kFlipHeader, Damage::kFlipSize,
                               Damage::kFlipUnprotected};
  if (name == "none") return {Damage::kNone};
  if (name == "torn") return torn;
  if (name == "flips") return flips;
  std::vector<Damage> all = torn;
  all.insert(all.end(), flips.begin(), flips.end());
  for (Damage damage : {Damage::kOrphanHeader, Damage::kGarbageBetween, Damage::kDuplicatedRecord,
                        Damage::kZeroPage, Damage::kZeroTail, Damage::kHalf}) {
    all.push_back(damage);
  }
  return all;
}

constexpr uint64_t kHeaderBytes = compat::kUpstreamHeaderSizeBytes;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kDeleted = ~uint64_t{0};

// What one record of the log is, before damage.
struct Item {
  uint64_t id = 0;
  bool is_delete = false;
  std::string bytes;  // header and payload
  json entry;         // of the manifest, without offset and end
};

// One space: its ids, its files, the record stream.
class SpaceWriter {
 public:
  SpaceWriter(const Options& options, const std::string& space, uint64_t number,
              const std::vector<Layout>& layouts, Manifest* manifest)
      : options_(options),
        space_(space),
        number_(number),
        maker_(options.seed + 7919 * number, layouts),
        manifest_(*manifest) {}

  void Write(uint64_t records) {
    std::vector<Damage> plan = DamagePlan(options_.damage);
    uint64_t file_count = std::max<uint64_t>(1, std::min<uint64_t>(plan.size(), records / 4));
    for (uint64_t i = 0; i < file_count; ++i) {
      uint64_t share = records / file_count + (i < records % file_count ? 1 : 0);
      WriteFile(i, share, plan[i % plan.size()]);
    }
    Finish();
  }

 private:
  struct Place {
    uint32_t file = 0;
    uint64_t offset = kDeleted;
  };

  void WriteFile(uint64_t index, uint64_t count, Damage damage) {
    char name[40];
    std::snprintf(name, sizeof name, "wal-%016llx.log",
                  static_cast<unsigned long long>(0x6b000000 + 97 * number_ + index));
    paths_.push_back(space_ + "/wal/" + name);
    LogFile file(options_.out + "/" + paths_.back(), manifest_.wanted());
    manifest_.BeginFile(paths_.back());
    bool at_end = damage == Damage::kTornHeader || damage == Damage::kTornPayload ||
                  damage == Damage::kHeaderOnly || damage == Damage::kZeroTail;
    uint64_t hurt = at_end                    ? count - 1
                    : damage == Damage::kHalf ? 0
                    : count > 2               ? maker_.random().Below(count - 2)
                                              : 0;
    zero_until_ = 0;
    lost_from_.reset();
    for (uint64_t i = 0; i < count; ++i) {
      MakeItem(i);
      WriteItem(&file, i == hurt ? damage : Damage::kNone, index);
    }
    CloseLost(file.offset());
    uint64_t bytes = file.offset();
    manifest_.EndFile(bytes, file.Close());
  }

  // Fills item_ with the next record of the stream.
  void MakeItem(uint64_t sequence) {
    Random& random = maker_.random();
    bool existing = next_id_ > 0;
    item_.is_delete = existing && random.Percent(options_.deletes_percent);
    bool again = item_.is_delete || (existing && random.Percent(options_.versions_percent));
    item_.id = again ? random.Below(next_id_) : next_id_++;
    timestamp_ns_ += 1000 + random.Below(100000);
    payload_.clear();
    item_.bytes.clear();
    uint32_t type = 3;
    if (item_.is_delete) {
      payload_ = maker_.Id(item_.id);
    } else {
      const Memory& memory = maker_.Make(item_.id);
      type = memory.layout == Layout::kM ? 2 : 1;
      Status status = compat::EncodeUpstreamPayload(memory, maker_.embedding(), &payload_);
      if (!status.ok()) Die(status.ToString());
      if (manifest_.wanted()) {
        Memory hashed = memory;
        hashed.embedding_sha256 = Sha256Of(maker_.embedding());
        item_.entry = testing::PayloadJson(hashed);
      }
    }
    compat::EncodeUpstreamRecord(sequence, timestamp_ns_, type, AsBytes(payload_), &item_.bytes);
    if (!manifest_.wanted()) return;
    if (item_.is_delete) item_.entry = {{"delete", payload_}};
    item_.entry["sequence"] = sequence;
    item_.entry["timestamp_ns"] = timestamp_ns_;
    item_.entry["type"] = type;
    item_.entry["size"] = payload_.size();
  }

  void WriteItem(LogFile* file, Damage damage, uint64_t file_index) {
    Random& random = maker_.random();
    std::string& bytes = item_.bytes;
    switch (damage) {
      case Damage::kNone:
        return WriteWhole(file, file_index);
      case Damage::kTornHeader:
        return WriteDamaged(file, bytes.substr(0, 1 + random.Below(kHeaderBytes - 1)),
                            "torn-header");
      case Damage::kTornPayload:
        return WriteDamaged(
            file, bytes.substr(0, kHeaderBytes + 1 + random.Below(bytes.size() - kHeaderBytes - 1)),
            "torn-payload");
      case Damage::kHeaderOnly:
        return WriteDamaged(file, bytes.substr(0, kHeaderBytes), "torn-payload");
      case Damage::kZeroTail:
        return WriteDamaged(file, std::string(kPageBytes - file->offset() % kPageBytes, '\0'),
                            "zero-tail");
      case Damage::kFlipPayload:
        bytes[kHeaderBytes + random.Below(bytes.size() - kHeaderBytes)] ^=
            static_cast<char>(1 << random.Below(8));
        return WriteDamaged(file, bytes, "payload-checksum");
      case Damage::kFlipHeader:
        bytes[4 + random.Below(52)] ^= static_cast<char>(1 << random.Below(8));
        return WriteDamaged(file, bytes, "header-checksum");
      case Damage::kFlipSize:
        bytes[24 + random.Below(4)] ^= static_cast<char>(1 << random.Below(8));
        return WriteDamaged(file, bytes, "header-checksum");
      case Damage::kFlipUnprotected:
        bytes[56 + random.Below(8)] ^= static_cast<char>(1 << random.Below(8));
        return WriteWhole(file, file_index);
      case Damage::kOrphanHeader:
        WriteDamaged(file, bytes.substr(0, kHeaderBytes), "orphan-header");
        return WriteWhole(file, file_index);
      case Damage::kGarbageBetween:
        WriteWhole(file, file_index);
        return WriteDamaged(file, Garbage(777), "foreign-bytes");
      case Damage::kDuplicatedRecord:
        WriteWhole(file, file_index);
        return WriteWhole(file, file_index);
      case Damage::kZeroPage:
        return WriteZeroPage(file, file_index);
      case Damage::kHalf:
        return WriteDamaged(file,
                            bytes.substr(kHeaderBytes + random.Below(bytes.size() - kHeaderBytes)),
                            "foreign-bytes");
    }
  }

  // No byte of it is the magic's first.
  std::string Garbage(size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(1 + maker_.random().Below(200));
    return out;
  }

  // A record that a lost page may still reach into.
  void WriteWhole(LogFile* file, uint64_t file_index) {
    uint64_t offset = file->offset();
    if (offset < zero_until_) {
      uint64_t zeros = std::min<uint64_t>(zero_until_ - offset, item_.bytes.size());
      std::fill_n(item_.bytes.begin(), zeros, '\0');
      if (!lost_from_) lost_from_ = offset;
      file->Write(item_.bytes);
      return;
    }
    CloseLost(offset);
    file->Write(item_.bytes);
    Remember(file_index, offset);
    if (!manifest_.wanted()) return;
    item_.entry["offset"] = offset;
    item_.entry["end"] = file->offset();
    manifest_.Add(item_.entry);
  }

  void Remember(uint64_t file_index, uint64_t offset) {
    if (!item_.is_delete) ++versions_;
    if (!manifest_.wanted()) return;
    if (newest_.size() <= item_.id) newest_.resize(item_.id + 1);
    newest_[item_.id] = {static_cast<uint32_t>(file_index), item_.is_delete ? kDeleted : offset};
  }

  void WriteDamaged(LogFile* file, std::string_view bytes, const char* kind) {
    uint64_t offset = file->offset();
    file->Write(bytes);
    ++damage_;
    json entry = {{"damage", kind}, {"offset", offset}, {"end", file->offset()}};
    manifest_.Add(entry);
  }

  // Zeroes the first page that begins inside this record's payload, and what follows of it.
  void WriteZeroPage(LogFile* file, uint64_t file_index) {
    uint64_t offset = file->offset();
    uint64_t page = (offset + kHeaderBytes + kPageBytes) / kPageBytes * kPageBytes;
    if (page + 1 >= offset + item_.bytes.size()) return WriteWhole(file, file_index);
    std::fill(item_.bytes.begin() + static_cast<ptrdiff_t>(page - offset), item_.bytes.end(), '\0');
    WriteDamaged(file, item_.bytes, "payload-checksum");
    zero_until_ = page + kPageBytes;
  }

  void CloseLost(uint64_t end) {
    if (!lost_from_) return;
    ++damage_;
    manifest_.Add({{"damage", "foreign-bytes"}, {"offset", *lost_from_}, {"end", end}});
    lost_from_.reset();
  }

  void Finish() {
    if (!manifest_.wanted()) return;
    uint64_t memories = 0;
    for (uint64_t id = 0; id < newest_.size(); ++id) {
      if (newest_[id].offset == kDeleted) continue;
      ++memories;
      manifest_.AddNewest(maker_.Id(id), paths_[newest_[id].file], newest_[id].offset);
    }
    manifest_.AddSpace(space_, memories, versions_, damage_);
  }

  const Options& options_;
  const std::string space_;
  const uint64_t number_;
  Maker maker_;
  Manifest& manifest_;
  Item item_;
  std::string payload_;
  std::vector<std::string> paths_;
  std::vector<Place> newest_;
  uint64_t next_id_ = 0;
  uint64_t timestamp_ns_ = 1795241871000000000u;
  uint64_t versions_ = 0;
  uint64_t damage_ = 0;
  uint64_t zero_until_ = 0;
  std::optional<uint64_t> lost_from_;
};

std::vector<Layout> ParseLayouts(const std::vector<std::string>& names) {
  std::vector<Layout> out;
  for (const std::string& name : names) {
    Layout found = Layout::kNone;
    for (Layout layout : {Layout::kE0, Layout::kE1, Layout::kE2, Layout::kE3, Layout::kM}) {
      if (name == engine::LayoutName(layout)) found = layout;
    }
    if (found == Layout::kNone) Die("unknown layout " + name + "; expected E0, E1, E2, E3 or M");
    out.push_back(found);
  }
  return out;
}

void Generate(const Options& options) {
  std::vector<Layout> layouts = ParseLayouts(options.layouts);
  Manifest manifest(options.manifest);
  for (uint64_t i = 0; i < options.spaces; ++i) {
    std::string space = i == 0 ? "default" : "space-" + std::to_string(i);
    std::error_code error;
    std::filesystem::create_directories(options.out + "/" + space + "/wal", error);
    if (error) Die("cannot create " + options.out + "/" + space + "/wal: " + error.message());
    uint64_t share =
        options.records / options.spaces + (i < options.records % options.spaces ? 1 : 0);
    SpaceWriter(options, space, i, layouts, &manifest).Write(share);
  }
  manifest.End();
}

}  // namespace
}  // namespace engram::tools

int main(int argc, char** argv) {
  engram::tools::Options options;
  CLI::App app(
      "Writes log files as an upstream Engram server does, byte for byte, the same for the same "
      "seed.\nExample: upstream_log_gen --out /tmp/src --records 100000 --seed 7 --versions 10 "
      "--deletes 2 --layouts E0,E3,M --damage all --manifest /tmp/manifest.json");
  app.add_option("--out", options.out, "data root to write (created)")->required();
  app.add_option("--records", options.records, "log records in all, deletes included")->required();
  app.add_option("--seed", options.seed, "decides every byte")->required();
  app.add_option("--spaces", options.spaces, "spaces: default, space-1, space-2, ...")
      ->check(CLI::Range(1, 10000));
  app.add_option("--versions", options.versions_percent,
                 "percent of the records that write an earlier id again")
      ->check(CLI::Range(0, 99));
  app.add_option("--deletes", options.deletes_percent,
                 "percent of the records that delete an earlier id")
      ->check(CLI::Range(0, 99));
  app.add_option("--layouts", options.layouts, "E0,E1,E2,E3,M: drawn for each record")
      ->delimiter(',')
      ->check(CLI::IsMember({"E0", "E1", "E2", "E3", "M"}));
  app.add_option("--damage", options.damage, "none, torn, flips or all: one file per kind")
      ->check(CLI::IsMember({"none", "torn", "flips", "all"}));
  app.add_option("--manifest", options.manifest, "every record, as the fixtures' manifests");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.versions_percent + options.deletes_percent > 99) {
    std::cerr << "upstream_log_gen: --versions and --deletes together may be at most 99\n";
    return 2;
  }
  engram::tools::Generate(options);
  return 0;
}
