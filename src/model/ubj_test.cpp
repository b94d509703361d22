#include "model/ubj_internal.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "model/artifact.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

using namespace std::string_literals;

TEST(Ubj, WholeAndNotWhole) {
  const std::pair<std::string, bool> cases[] = {
      {"{}"s, true},
      {"{i\1aS\x69\2hi}"s, true},
      {"{i\1a[$d#i\2\0\0\0\0\0\0\0\0}"s, true},
      {"{i\1a[$d#i\3\0\0\0\0\0\0\0\0}"s, false},                // one float too few
      {"{i\1a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff}"s, false},  // a count beyond all memory
      {"{i\1a[$d#L\xff\xff\xff\xff\xff\xff\xff\xff}"s, false},  // a negative one
      {"{i\1a[#i\2TF}"s, true},
      {"{i\1a[TF]}"s, true},
      {"{i\1a[TF}"s, false},
      {"{#i\1i\1aT"s, true},
      {"{i\x05a}"s, false},
      {"{i\1aX}"s, false},
      {"{} "s, false},
      {""s, false},
      {"{"s, false},
      {std::string(100'000, '['), false},
  };
  for (const auto& [file, whole] : cases) EXPECT_EQ(whole, check_ubj(file, 13).has_value()) << file.substr(0, 40);
}

TEST(Ubj, XgboostsOwnFilesAreWholeAndNoPieceOfThemIs) {
  for (const auto task : {TaskType::binary, TaskType::multiclass, TaskType::regression}) {
    auto bytes = testing::sample_artifact(task);
    ASSERT_TRUE(bytes);
    const std::string_view file = read_artifact(*bytes)->engine_file;
    EXPECT_TRUE(check_ubj(file, 13));
    EXPECT_FALSE(check_ubj(file, 1)) << "it asks for more features";
    for (std::size_t cut = 0; cut < file.size(); ++cut) ASSERT_FALSE(check_ubj(file.substr(0, cut), 13)) << cut;
  }
}

// Three nodes: a root that asks for feature 0 and two leaves; then one number changed at a time.
TEST(Ubj, TreesMustBeTrees) {
  const auto numbers = [](const std::string& name, const std::vector<std::int32_t>& values) {
    std::string out = "i" + std::string(1, static_cast<char>(name.size())) + name + "[$l#i" +
                      std::string(1, static_cast<char>(values.size()));
    for (const auto value : values) {
      for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(static_cast<std::uint32_t>(value) >> shift & 0xFF);
    }
    return out;
  };
  using V = std::vector<std::int32_t>;
  const auto whole = [&](const V& left, const V& right, const V& parents, const V& features) {
    return check_ubj("{" + numbers("left_children", left) + numbers("right_children", right) +
                         numbers("parents", parents) + numbers("split_indices", features) + "}",
                     2)
        .has_value();
  };
  const V left = {1, -1, -1}, right = {2, -1, -1}, parents = {INT32_MAX, 0, 0}, features = {0, 0, 0};
  EXPECT_TRUE(whole(left, right, parents, features));
  EXPECT_FALSE(whole({3, -1, -1}, right, parents, features)) << "no such child";
  EXPECT_FALSE(whole({-2, -1, -1}, right, parents, features));
  EXPECT_FALSE(whole({0, -1, -1}, right, parents, features)) << "its own child";
  EXPECT_FALSE(whole({2, -1, -1}, right, parents, features)) << "one child twice";
  EXPECT_FALSE(whole({-1, -1, -1}, right, parents, features)) << "half a split";
  EXPECT_FALSE(whole({1, 2, -1}, {2, 1, -1}, parents, features)) << "a circle";
  EXPECT_FALSE(whole(left, right, {INT32_MAX, 2, 0}, features));
  EXPECT_FALSE(whole(left, right, {INT32_MAX, 0, 7}, features));
  EXPECT_FALSE(whole(left, right, {0, 0, 0}, features)) << "no root";
  EXPECT_FALSE(whole(left, right, parents, {2, 0, 0})) << "no such feature";
  EXPECT_FALSE(whole(left, right, parents, {0, 0})) << "too short";
  EXPECT_FALSE(whole({}, {}, {}, {}));
}

TEST(Ubj, NoiseIsHarmless) {
  auto bytes = testing::sample_artifact(TaskType::binary);
  ASSERT_TRUE(bytes);
  const std::string file(read_artifact(*bytes)->engine_file);
  SeededRng rng(3);
  for (int i = 0; i < 5'000; ++i) {
    std::string damaged = file;
    for (int k = 0; k < 5; ++k) damaged[rng.below(damaged.size())] = static_cast<char>(rng.next());
    (void)check_ubj(damaged, 13);
  }
}

}  // namespace
}  // namespace millrace::model
