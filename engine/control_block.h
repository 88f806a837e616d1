// The mirror of a space's state in shared memory: <space>/dual/control. Lock-free for its readers,
// who may be other processes; readable while the owner is stopped, hung or dead. Never the truth.
// Format and invariants: docs/format/control.md.
#ifndef ENGRAM_ENGINE_CONTROL_BLOCK_H_
#define ENGRAM_ENGINE_CONTROL_BLOCK_H_

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/coding.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::engine {

// As stored. Phases are those of the plugin boundary; 0 is off.
struct ControlState {
  uint32_t mode = 0;
  uint32_t phase = 0;
  uint32_t pid = 0;  // 0: nobody holds the space
  uint32_t http_port = 0;
  uint64_t pid_start_time = 0;
  int64_t updated_unix_ns = 0;
  uint64_t lsn = 0;
  uint64_t count = 0;
  uint64_t old_count = 0;
  uint64_t converted = 0;
  uint64_t quarantined = 0;
  uint64_t lag_lsn = 0;
  double rate_per_second = 0;
  double eta_seconds = 0;
  uint64_t rate_limit_per_second = 0;
  uint8_t paused = 0;
  uint8_t history_scan = 0;
  uint8_t zeros[6] = {};
  int64_t throttled_since_unix_ns = 0;
  char throttle_reason[48] = {};
  uint8_t digest[32] = {};
};
static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(ControlState) == 200 && offsetof(ControlState, lsn) == 32);
static_assert(offsetof(ControlState, paused) == 104 && offsetof(ControlState, digest) == 168);
static_assert(std::is_trivially_copyable_v<ControlState>);

inline constexpr uint64_t kControlFileSizeBytes = 4096;
std::string ControlPath(std::string_view dual_directory);

// The newest state in the bytes of a control file; empty if there is none that is whole.
std::optional<ControlState> DecodeControl(Bytes file);

// Reads without waiting for anyone; changes nothing. kNotFound: no file, or none of ours.
Result<ControlState> ReadControl(FileSystem& fs, const std::string& path);

// The owner's side. REQUIRES: the exclusive lease of the space. Thread-safe.
class ControlBlock {
 public:
  // Makes the file if there is none, or none of this store. Publications go on from what is there.
  static Result<std::unique_ptr<ControlBlock>> Open(FileSystem& fs, const std::string& path,
                                                    const Uuid& store_uuid);
  ~ControlBlock();
  ControlBlock(const ControlBlock&) = delete;
  ControlBlock& operator=(const ControlBlock&) = delete;

  void Publish(const ControlState& state);
  // Publishes the last state once more, without an owner.
  void Retire();

 private:
  struct Mapping;
  explicit ControlBlock(std::unique_ptr<Mapping> mapping, uint64_t sequence);
  void PublishLocked(const ControlState& state);

  std::mutex mutex_;
  const std::unique_ptr<Mapping> mapping_;
  uint64_t sequence_;                 // guarded by mutex_; of the last publication
  std::optional<ControlState> last_;  // guarded by mutex_
};

// The stores of one publication, for tests that stop the owner anywhere.
namespace internal {
inline constexpr uint64_t kControlStoresPerPublication = 28;
// Does the first `stores_max` of them. `file` is the mapped page.
void PublishInto(void* file, uint64_t sequence, const ControlState& state, uint64_t stores_max);
std::string NewControlFile(const Uuid& store_uuid);
}  // namespace internal

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_CONTROL_BLOCK_H_
