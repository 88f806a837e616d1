#include "server/graph/text_vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "base/crypto.h"

namespace engram::server {
namespace {

double Dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

std::string Sha256Of(const Vector& vector) {
  return ToHex(engram::Sha256Of(
      {reinterpret_cast<const uint8_t*>(vector.data()), vector.size() * sizeof(float)}));
}

TEST(TextVector, IsOfUnitLengthWhateverTheText) {
  for (const std::string& text :
       {std::string("a"), std::string(), std::string(" "), std::string("mitochondria are small"),
        std::string("\xE4\xBD\xA0\xE5\xA5\xBD"), std::string(100'000, 'x')}) {
    EXPECT_NEAR(Dot(TextVector(text), TextVector(text)), 1.0, 1e-5) << text.substr(0, 20);
  }
}

TEST(TextVector, DiffersForTextsOfTheSameWords) {
  std::set<std::string> seen;
  for (const char* text : {"one two", "two one", "One two", "one  two", "one two ", "one\ttwo"}) {
    EXPECT_TRUE(seen.insert(Sha256Of(TextVector(text))).second) << text;
  }
}

TEST(TextVector, NeverTakesTwoOfManyTextsForTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(seen.insert(Sha256Of(TextVector("memory number " + std::to_string(i)))).second)
        << i;
  }
}

TEST(TextVector, PutsTextsWithCommonWordsNearer) {
  const Vector query = TextVector("the powerhouse of the cell");
  const double near = Dot(query, TextVector("mitochondria, the powerhouse of the cell"));
  EXPECT_GT(near, 0.6);
  EXPECT_LT(std::abs(Dot(query, TextVector("quarterly revenue grew by nine percent"))), near / 2);
}

// The model's name promises these bytes: another vector needs another name.
TEST(TextVector, OfThisModelNeverChanges) {
  EXPECT_EQ(Sha256Of(TextVector("The mitochondria is the powerhouse of the cell")),
            "ea8a6de1de5ea3cbb3d92db57c9c57d974efcf060f7570427ae47409f4425012");
}

}  // namespace
}  // namespace engram::server
