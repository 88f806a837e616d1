// Keeps the machine's idle cores awake while it is asked to, by the kernel's interface for it:
// /dev/cpu_dma_latency, a bound on how long a core may take to wake up (PM QoS). The kernel takes
// the request back when the process ends, however it ends.
#ifndef ENGRAM_SERVER_HTTP_AWAKE_CORES_H_
#define ENGRAM_SERVER_HTTP_AWAKE_CORES_H_

#include <cstdint>
#include <string>

namespace engram::server {

inline constexpr char kCpuLatencyDevice[] = "/dev/cpu_dma_latency";

// One thread at a time.
class AwakeCores {
 public:
  // `device` empty: never. Where it is not there or may not be written, nothing is asked for.
  explicit AwakeCores(const std::string& device);
  ~AwakeCores();
  AwakeCores(const AwakeCores&) = delete;
  AwakeCores& operator=(const AwakeCores&) = delete;

  bool available() const { return device_ >= 0; }
  bool held() const { return held_; }
  void Hold();
  void Release();

 private:
  void Bound(int32_t latency_us);

  int device_ = -1;
  bool held_ = false;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_AWAKE_CORES_H_
