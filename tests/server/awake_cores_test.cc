#include "server/http/awake_cores.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

class AwakeCoresTest : public ::testing::Test {
 protected:
  AwakeCoresTest() : device_(dir_.Join("cpu_dma_latency")) { std::ofstream(device_).flush(); }

  // What the kernel was told last: microseconds, -1 for no bound.
  std::string Told() const {
    std::ostringstream bytes;
    bytes << std::ifstream(device_, std::ios::binary).rdbuf();
    if (bytes.str().size() != sizeof(int32_t)) return bytes.str();
    int32_t latency_us;
    std::memcpy(&latency_us, bytes.str().data(), sizeof latency_us);
    return std::to_string(latency_us);
  }

  engram::testing::TempDir dir_;
  const std::string device_;
};

TEST_F(AwakeCoresTest, ItAsksForNoLatencyAndTakesItBack) {
  AwakeCores cores(device_);
  ASSERT_TRUE(cores.available());
  EXPECT_EQ(Told(), "") << "nothing is asked for before it is held";
  cores.Hold();
  EXPECT_EQ(Told(), "0");
  cores.Release();
  EXPECT_EQ(Told(), "-1");
  cores.Hold();
  EXPECT_EQ(Told(), "0");
}

TEST_F(AwakeCoresTest, ItsEndTakesItBack) {
  AwakeCores(device_).Hold();
  EXPECT_EQ(Told(), "-1");
}

TEST_F(AwakeCoresTest, WithoutTheDeviceNothingHappens) {
  for (const std::string& device :
       {std::string(), dir_.Join("missing"), std::string("/dev/full")}) {
    AwakeCores cores(device);
    cores.Hold();
    EXPECT_FALSE(cores.available()) << device;
    EXPECT_FALSE(cores.held()) << device;
    cores.Release();
  }
}

}  // namespace
}  // namespace engram::server
