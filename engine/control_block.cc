#include "engine/control_block.h"

#include <atomic>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>

#include "base/crc32c.h"
#include "engine/internal/fault_guard.h"

namespace engram::engine {
namespace {

constexpr std::string_view kMagic = "ENGRCTL1";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderCrcOffset = 32;
constexpr size_t kSlotOffset = 64;
constexpr size_t kSlotSizeBytes = 256;
constexpr size_t kStateWords = sizeof(ControlState) / 8;
constexpr size_t kCrcWord = 1 + kStateWords;
constexpr int kReadTries = 16;
static_assert(internal::kControlStoresPerPublication == kStateWords + 3);
static_assert((kCrcWord + 1) * 8 <= kSlotSizeBytes);

using Words = std::array<uint64_t, kCrcWord>;  // sequence and state

uint64_t CrcOf(const Words& words) {
  return Crc32c({reinterpret_cast<const uint8_t*>(words.data()), sizeof words});
}

struct FoundSlot {
  uint64_t sequence = 0;  // 0: none is valid
  int valid_count = 0;
  ControlState state;
};

FoundSlot NewestSlot(Bytes file) {
  FoundSlot newest;
  for (size_t slot = 0; slot < 2; ++slot) {
    const uint8_t* at = file.data() + kSlotOffset + slot * kSlotSizeBytes;
    Words words;
    std::memcpy(words.data(), at, sizeof words);
    const uint64_t sequence = words[0];
    if (sequence % 2 != slot || sequence == 0) continue;
    if (LoadLe<uint64_t>(at + kCrcWord * 8) != CrcOf(words)) continue;
    ++newest.valid_count;
    if (sequence < newest.sequence) continue;
    newest.sequence = sequence;
    std::memcpy(static_cast<void*>(&newest.state), &words[1], sizeof newest.state);
  }
  return newest;
}

bool HasHeader(Bytes file) {
  return file.size() == kControlFileSizeBytes && AsView(file.first(8)) == kMagic &&
         LoadLe<uint32_t>(file.data() + 8) == kVersion &&
         LoadLe<uint32_t>(file.data() + kHeaderCrcOffset) == Crc32c(file.first(kHeaderCrcOffset));
}

Result<std::string> ReadPage(FileSystem& fs, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kReadOnly));
  std::string page(kControlFileSizeBytes, '\0');
  ENGRAM_ASSIGN_OR_RETURN(
      const uint64_t got,
      file->ReadAt(0, std::span(reinterpret_cast<uint8_t*>(page.data()), page.size())));
  page.resize(got);
  return page;
}

}  // namespace

namespace internal {

std::string NewControlFile(const Uuid& store_uuid) {
  std::string file(kMagic);
  PutLe(&file, kVersion);
  PutLe(&file, uint32_t{0});
  PutBytes(&file, store_uuid.bytes);
  PutLe(&file, Crc32c(AsBytes(file)));
  file.resize(kControlFileSizeBytes, '\0');
  return file;
}

void PublishInto(void* file, uint64_t sequence, const ControlState& state, uint64_t stores_max) {
  Words words;
  words[0] = sequence;
  std::memcpy(&words[1], &state, sizeof state);
  auto* slot = reinterpret_cast<uint64_t*>(static_cast<uint8_t*>(file) + kSlotOffset +
                                           sequence % 2 * kSlotSizeBytes);
  uint64_t stores = 0;
  const auto store = [&](size_t word, uint64_t value, std::memory_order order) {
    if (stores++ < stores_max) std::atomic_ref<uint64_t>(slot[word]).store(value, order);
  };
  store(0, 0, std::memory_order_release);
  // Each is a release: none may be seen before the zero above. A fence would say it once, but the
  // thread sanitizer does not know fences.
  for (size_t i = 1; i <= kStateWords; ++i) store(i, words[i], std::memory_order_release);
  store(kCrcWord, CrcOf(words), std::memory_order_release);
  store(0, sequence, std::memory_order_release);
}

}  // namespace internal

std::string ControlPath(std::string_view dual_directory) {
  return JoinPath(std::string(dual_directory), "control");
}

std::optional<ControlState> DecodeControl(Bytes file) {
  if (!HasHeader(file)) return std::nullopt;
  const FoundSlot newest = NewestSlot(file);
  return newest.sequence == 0 ? std::nullopt : std::optional<ControlState>(newest.state);
}

Result<ControlState> ReadControl(FileSystem& fs, const std::string& path) {
  std::string before;
  for (int attempt = 1; attempt <= kReadTries; ++attempt) {
    ENGRAM_ASSIGN_OR_RETURN(std::string page, ReadPage(fs, path));
    if (!HasHeader(AsBytes(page))) break;
    const FoundSlot found = NewestSlot(AsBytes(page));
    // One valid slot counts when nothing moves: beside a quick owner it may be an old one.
    const bool settled = found.valid_count == 2 || page == before || attempt == kReadTries;
    if (found.sequence != 0 && settled) return found.state;
    before = std::move(page);
  }
  return Status::NotFound(path + " holds no state of a space",
                          "start the server: it writes the file anew");
}

struct ControlBlock::Mapping {
  explicit Mapping(const std::string& path)
      : file(path.c_str(), boost::interprocess::read_write),
        region(file, boost::interprocess::read_write, 0, kControlFileSizeBytes) {}
  boost::interprocess::file_mapping file;
  boost::interprocess::mapped_region region;
};

ControlBlock::ControlBlock(std::unique_ptr<Mapping> mapping, uint64_t sequence)
    : mapping_(std::move(mapping)), sequence_(sequence) {}

ControlBlock::~ControlBlock() = default;

Result<std::unique_ptr<ControlBlock>> ControlBlock::Open(FileSystem& fs, const std::string& path,
                                                         const Uuid& store_uuid) {
  internal::InstallFaultGuard();
  const std::string fresh = internal::NewControlFile(store_uuid);
  uint64_t sequence = 0;
  auto page = ReadPage(fs, path);
  if (!page.ok() && page.status().code() != StatusCode::kNotFound) return page.status();
  const bool ours = page.ok() && HasHeader(AsBytes(*page)) &&
                    std::string_view(*page).substr(0, kSlotOffset) ==
                        std::string_view(fresh).substr(0, kSlotOffset);
  if (ours) {
    sequence = NewestSlot(AsBytes(*page)).sequence;
  } else {
    ENGRAM_ASSIGN_OR_RETURN(auto file,
                            fs.Open(path, page.ok() ? OpenMode::kReadWrite : OpenMode::kCreate));
    ENGRAM_TRY(file->WriteAtDurable(0, AsBytes(fresh)));
  }
  try {
    return std::unique_ptr<ControlBlock>(
        new ControlBlock(std::make_unique<Mapping>(path), sequence));
  } catch (const boost::interprocess::interprocess_exception& error) {
    return Status::Io(path + " can not be mapped: " + error.what());
  }
}

// A file that somebody cut shows nothing until the space is opened again.
void ControlBlock::PublishLocked(const ControlState& state) {
  void* const page = mapping_->region.get_address();
  const uint64_t sequence = ++sequence_;
  internal::RunGuarded([&] { internal::PublishInto(page, sequence, state, UINT64_MAX); });
}

void ControlBlock::Publish(const ControlState& state) {
  std::lock_guard lock(mutex_);
  PublishLocked(state);
  last_ = state;
}

void ControlBlock::Retire() {
  std::lock_guard lock(mutex_);
  if (!last_ || last_->pid == 0) return;
  last_->pid = 0;
  last_->pid_start_time = 0;
  PublishLocked(*last_);
}

}  // namespace engram::engine
