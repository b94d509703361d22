#include "api/v2/tensor.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

namespace millrace::api::v2 {
namespace {

using model::from_half;
using model::round_to;

Tensor tensor(Datatype type, std::vector<std::int64_t> shape) {
  return {.name = "x", .datatype = type, .shape = std::move(shape)};
}

// The elements as text, "-" for missing, or the reason of the refusal.
std::string shown(const Result<void>& result, const Tensor& t) {
  if (!result) return result.error().reason;
  std::string out;
  for (const auto& value : t.elements) {
    out += out.empty() ? "" : " ";
    if (table::is_null(value))
      out += "-";
    else
      out += std::holds_alternative<double>(value) ? table::to_text(value) + "d" : table::to_text(value);
  }
  return out;
}

TEST(Tensor, Json) {
  struct Case {
    Datatype type;
    std::vector<std::int64_t> shape;
    std::string json, elements;
  };
  const std::string bad = "v2.bad_data", broken = "api.bad_json";
  const Case cases[] = {
      {Datatype::fp64, {3}, "[1, 2.5 ,-1e-3]", "1d 2.5d -0.001d"},
      {Datatype::fp64, {3}, "[NaN,1,2]", "- 1d 2d"},
      {Datatype::fp64, {2, 2}, "[[1,2],[3,4]]", "1d 2d 3d 4d"},
      {Datatype::fp64, {2, 2}, "[1,2,3,4]", "1d 2d 3d 4d"},
      {Datatype::fp64, {2, 1}, "[[1],[2]]", "1d 2d"},
      {Datatype::fp64, {1}, "[1e-400]", "0d"},
      {Datatype::fp64, {1}, "[1e400]", bad},
      {Datatype::fp64, {1}, "[Infinity]", bad},
      {Datatype::fp64, {1}, "[-Infinity]", bad},
      {Datatype::fp64, {1}, "[null]", bad},
      {Datatype::fp64, {1}, "[\"1\"]", bad},
      {Datatype::fp64, {1}, "[true]", bad},
      {Datatype::fp64, {1}, "[[[1]]]", bad},
      {Datatype::fp64, {1}, "[{}]", bad},
      {Datatype::fp64, {1}, "[01]", broken},
      {Datatype::fp64, {1}, "[1.]", broken},
      {Datatype::fp64, {1}, "[+1]", broken},
      {Datatype::fp64, {1}, "[1,]", broken},
      {Datatype::fp64, {1}, "[1", broken},
      {Datatype::fp64, {2}, "[1]", bad},
      {Datatype::fp64, {1}, "[1,2]", bad},
      {Datatype::fp64, {2, 2}, "[[1,2],[3]]", bad},
      {Datatype::fp64, {2, 2}, "[[1,2,3],[4]]", bad},
      {Datatype::fp64, {2, 2}, "[[1,2],3,4]", bad},
      {Datatype::fp64, {2, 2}, "[1,2,[3,4]]", bad},
      {Datatype::fp64, {2}, "[[1],[2]]", bad},
      {Datatype::fp32, {2}, "[0.1,3.5e38]", bad},
      {Datatype::fp32, {1}, "[0.1]", "0.10000000149011612d"},
      {Datatype::fp32, {1}, "[1e-45]", "1.401298464324817e-45d"},
      {Datatype::fp16, {2}, "[0.1,65504]", "0.0999755859375d 65504d"},
      {Datatype::fp16, {1}, "[65520]", bad},
      {Datatype::bf16, {2}, "[0.1,1]", "0.10009765625d 1d"},
      {Datatype::int8, {3}, "[-128,127,5.0]", "-128 127 5"},
      {Datatype::int8, {1}, "[128]", bad},
      {Datatype::int8, {1}, "[1.5]", bad},
      {Datatype::int8, {1}, "[NaN]", bad},
      {Datatype::uint8, {2}, "[0,255]", "0 255"},
      {Datatype::uint8, {1}, "[-1]", bad},
      {Datatype::uint8, {1}, "[256]", bad},
      {Datatype::int64, {2}, "[-9223372036854775808,9223372036854775807]", "-9223372036854775808 9223372036854775807"},
      {Datatype::int64, {1}, "[9223372036854775808]", bad},
      {Datatype::uint64,
       {2},
       "[9223372036854775807,18446744073709551615]",
       "9223372036854775807 18446744073709551616d"},
      {Datatype::uint64, {1}, "[18446744073709551616]", bad},
      {Datatype::uint64, {1}, "[-1]", bad},
      {Datatype::boolean, {2}, "[true,false]", "true false"},
      {Datatype::boolean, {1}, "[1]", bad},
      {Datatype::bytes, {2}, R"(["a\"\u00e5\ud83d\ude00\n",""])", "a\"\xC3\xA5\xF0\x9F\x98\x80\n "},
      {Datatype::bytes, {1}, R"(["\ud83d"])", broken},
      {Datatype::bytes, {1}, R"(["\x"])", broken},
      {Datatype::bytes, {1}, "[\"a\nb\"]", broken},
      {Datatype::bytes, {1}, "[1]", bad},
  };
  for (const auto& c : cases) {
    auto t = tensor(c.type, c.shape);
    const auto result = read_json(c.json, {}, t);
    EXPECT_EQ(c.elements, shown(result, t)) << datatype_name(c.type) << " " << c.json;
  }
}

TEST(Tensor, MissingAsDeclared) {
  auto t = tensor(Datatype::int32, {2});
  EXPECT_EQ("- 1", shown(read_json("[null,1]", {.null = true}, t), t));
  t = tensor(Datatype::bytes, {3});
  EXPECT_EQ("NA - a", shown(read_json(R"(["NA","","a"])", {.text = ""}, t), t));
  EXPECT_EQ("- - a", shown(read_json(R"(["NA",null,"a"])", {.null = true, .text = "NA"}, t), t));
  EXPECT_EQ("-", shown(read_binary(std::string("\2\0\0\0NA", 6), {.text = "NA"}, t = tensor(Datatype::bytes, {1})), t));
}

template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string out;
  for (const T value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}

TEST(Tensor, Binary) {
  struct Case {
    Datatype type;
    std::string data, elements;
  };
  const std::string bad = "v2.bad_data";
  const double inf = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {Datatype::fp64, bytes_of<double>({0.1, std::nan("")}), "0.1d -"},
      {Datatype::fp64, bytes_of<double>({0.1, -inf}), bad},
      {Datatype::fp64, bytes_of<double>({0.1}), bad},
      {Datatype::fp64, bytes_of<double>({0.1, 0.2, 0.3}), bad},
      {Datatype::fp32, bytes_of<float>({0.1f, 2}), "0.10000000149011612d 2d"},
      {Datatype::fp16, bytes_of<std::uint16_t>({0x2E66, 0x8001}), "0.0999755859375d -5.960464477539063e-08d"},
      {Datatype::fp16, bytes_of<std::uint16_t>({0x7E00, 0x7BFF}), "- 65504d"},
      {Datatype::fp16, bytes_of<std::uint16_t>({0x7C00, 0}), bad},
      {Datatype::bf16, bytes_of<std::uint16_t>({0x3DCD, 0x7FC0}), "0.10009765625d -"},
      {Datatype::int8, bytes_of<std::int8_t>({-128, 127}), "-128 127"},
      {Datatype::uint8, bytes_of<std::uint8_t>({0, 255}), "0 255"},
      {Datatype::int16, bytes_of<std::int16_t>({-32768, 1}), "-32768 1"},
      {Datatype::uint16, bytes_of<std::uint16_t>({65535, 1}), "65535 1"},
      {Datatype::int32, bytes_of<std::int32_t>({-5, 1}), "-5 1"},
      {Datatype::uint32, bytes_of<std::uint32_t>({4294967295u, 1}), "4294967295 1"},
      {Datatype::int64, bytes_of<std::int64_t>({INT64_MIN, 1}), "-9223372036854775808 1"},
      {Datatype::uint64, bytes_of<std::uint64_t>({UINT64_MAX, 1}), "18446744073709551616d 1"},
      {Datatype::boolean, std::string("\1\0", 2), "true false"},
      {Datatype::boolean, std::string("\2\0", 2), bad},
      {Datatype::bytes, std::string("\1\0\0\0a\0\0\0\0", 9), "a "},
      {Datatype::bytes, std::string("\1\0\0\0a\0\0\0", 8), bad},
      {Datatype::bytes, std::string("\1\0\0\0a\377\377\377\377", 9), bad},
      {Datatype::bytes, std::string("\1\0\0\0a\0\0\0\0!", 10), bad},
      {Datatype::bytes, std::string("\1\0\0\0\377\0\0\0\0", 9), bad},
  };
  for (const auto& c : cases) {
    auto t = tensor(c.type, {2});
    EXPECT_EQ(c.elements, shown(read_binary(c.data, {}, t), t)) << datatype_name(c.type) << " " << c.data.size();
  }
}

TEST(Tensor, EveryHalfRoundsToItself) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double x = from_half(static_cast<std::uint16_t>(bits));
    if (!std::isfinite(x)) continue;
    ASSERT_EQ(x, *round_to(Datatype::fp16, x)) << bits;
    if ((bits & 0x7FFF) == 0x7BFF) continue;
    const double next = from_half(static_cast<std::uint16_t>(bits + 1));  // ties go to the even one
    ASSERT_EQ(bits & 1 ? next : x, *round_to(Datatype::fp16, (x + next) / 2)) << bits;
  }
}

TEST(Tensor, FloatsRoundAsTheProcessorDoes) {
  for (const double x : {0.1, -1e-40, 3.4028234e38, 1.0 / 3, 5e-324, 1e-45, 16777217.0})
    EXPECT_EQ(static_cast<double>(static_cast<float>(x)), *round_to(Datatype::fp32, x)) << x;
}

TEST(Tensor, NamesOfDatatypes) {
  for (int i = 0; i <= static_cast<int>(Datatype::bytes); ++i) {
    const auto type = static_cast<Datatype>(i);
    EXPECT_EQ(type, datatype_of(datatype_name(type)));
  }
  EXPECT_FALSE(datatype_of("FP8"));
  EXPECT_FALSE(datatype_of(""));
}

}  // namespace
}  // namespace millrace::api::v2
