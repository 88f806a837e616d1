// Golden files: bytes that every later version must still write and read. A new file is written by
// running the test with ENGRAM_WRITE_GOLDEN=1; an existing one is never overwritten.
#ifndef ENGRAM_TESTS_TESTING_GOLDEN_H_
#define ENGRAM_TESTS_TESTING_GOLDEN_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace engram::testing {

inline std::string GoldenPath(const std::string& name) {
  return std::string(ENGRAM_SOURCE_DIR) + "/tests/format/golden/" + name;
}

// The bytes of a golden file; fails the test if it is not there.
inline std::string ReadGolden(const std::string& name) {
  std::ifstream in(GoldenPath(name), std::ios::binary);
  EXPECT_TRUE(in.good()) << "no golden file " << GoldenPath(name);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void ExpectGolden(const std::string& name, const std::string& bytes) {
  if (std::getenv("ENGRAM_WRITE_GOLDEN") != nullptr && !std::ifstream(GoldenPath(name)).good()) {
    std::ofstream(GoldenPath(name), std::ios::binary) << bytes;
  }
  const std::string golden = ReadGolden(name);
  ASSERT_EQ(golden.size(), bytes.size()) << name;
  for (size_t i = 0; i < golden.size(); ++i) {
    ASSERT_EQ(static_cast<uint8_t>(golden[i]), static_cast<uint8_t>(bytes[i]))
        << name << " differs at offset " << i;
  }
}

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_GOLDEN_H_
