#include "api/v2/tensor.hpp"

#include <simdjson.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <format>
#include <limits>

#include "api/json_reader_internal.hpp"

namespace millrace::api::v2 {

namespace {

struct DatatypeInfo {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DatatypeInfo, 14> kDatatypes = {{{"BOOL", 1},
                                                      {"UINT8", 1},
                                                      {"UINT16", 2},
                                                      {"UINT32", 4},
                                                      {"UINT64", 8},
                                                      {"INT8", 1},
                                                      {"INT16", 2},
                                                      {"INT32", 4},
                                                      {"INT64", 8},
                                                      {"FP16", 2},
                                                      {"FP32", 4},
                                                      {"FP64", 8},
                                                      {"BF16", 2},
                                                      {"BYTES", 0}}};

bool is_float(Datatype type) {
  return type == Datatype::fp16 || type == Datatype::fp32 || type == Datatype::fp64 || type == Datatype::bf16;
}

std::unexpected<Error> bad_data(const Tensor& tensor, std::string what) {
  return fail(Code::invalid_argument, "v2.bad_data", std::format("input '{}': {}", tensor.name, what));
}

std::size_t count_of(const Tensor& tensor) {
  std::size_t count = 1;
  for (const auto size : tensor.shape) count *= static_cast<std::size_t>(size);
  return count;
}

// The nearest number of `mantissa` bits behind the point and exponents from `least` on.
double round_bits(double x, int mantissa, int least) {
  if (x == 0) return x;
  const int unit = std::max(std::ilogb(x), least) - mantissa;
  return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

Result<table::Value> take_float(const Tensor& tensor, double x, std::size_t index) {
  if (std::isnan(x)) return table::Value();
  if (!std::isfinite(x)) {
    return bad_data(tensor, std::format("element {} is infinite; send NaN for a missing number", index));
  }
  return table::Value(x);
}

// Elements of `data` in JSON, one after the other.
class ElementReader {
 public:
  ElementReader(std::string_view data, const MissingRule& missing, Tensor& tensor)
      : json_(data), missing_(missing), tensor_(tensor), count_(count_of(tensor)) {}

  Result<void> read() {
    tensor_.elements.clear();
    tensor_.elements.reserve(count_);
    TRY_VOID(level(0));
    if (tensor_.elements.size() != count_) {
      return bad_data(tensor_, std::format("{} elements, but its shape wants {}", tensor_.elements.size(), count_));
    }
    return {};
  }

 private:
  // An array of the given depth. Of the outermost, the first item says whether it is flat or nested.
  Result<void> level(std::size_t depth) {
    std::size_t items = 0;
    bool nested = false;
    const bool innermost = depth + 1 == tensor_.shape.size();
    const auto wrong_length = [&] {
      return bad_data(tensor_,
                      std::format("a list in its data is not of the length {} of its shape", tensor_.shape[depth]));
    };
    auto walked = json_.array([&]() -> Result<void> {
      const bool array = json_.peek() == JsonReader::Kind::array;
      if (items++ == 0) nested = array;
      if (array != nested || (array && innermost) || (!array && !innermost && depth > 0)) {
        return bad_data(tensor_, "its data is neither flat nor nested as its shape is");
      }
      if (array) return level(depth + 1);
      if (depth > 0 && items > static_cast<std::size_t>(tensor_.shape[depth])) return wrong_length();
      return element();
    });
    if (!walked) return walked;
    const bool flat = depth == 0 && !nested;
    if (!flat && items != static_cast<std::size_t>(tensor_.shape[depth])) return wrong_length();
    return {};
  }

  std::unexpected<Error> mistyped(std::string_view got) {
    return bad_data(tensor_, std::format("element {}: expected {}, got {}", tensor_.elements.size(),
                                         datatype_name(tensor_.datatype), got));
  }

  Result<void> element() {
    using Kind = JsonReader::Kind;
    if (tensor_.elements.size() >= count_)
      return bad_data(tensor_, std::format("more than the {} elements of its shape", count_));
    const auto kind = json_.peek();
    if (kind == Kind::null) {
      TRY_VOID(json_.null());
      if (!missing_.null) {
        return mistyped(
            "null; a missing number is NaN in an FP tensor, or declare nulls with the parameter "
            "\"null_is_missing\": true");
      }
      tensor_.elements.emplace_back();
      return {};
    }
    switch (tensor_.datatype) {
      case Datatype::boolean: {
        if (kind != Kind::boolean) return other(kind);
        TRY(const bool flag, json_.boolean());
        tensor_.elements.emplace_back(flag);
        return {};
      }
      case Datatype::bytes: {
        if (kind != Kind::string) return other(kind);
        TRY(auto text, json_.string());
        if (missing_.text && text == *missing_.text)
          tensor_.elements.emplace_back();
        else
          tensor_.elements.emplace_back(std::move(text));
        return {};
      }
      default:
        break;
    }
    if (kind == Kind::nan && is_float(tensor_.datatype)) {
      TRY(const auto text, json_.nan());
      TRY(auto value, take_float(tensor_, text == "NaN" ? std::nan("") : std::numeric_limits<double>::infinity(),
                                 tensor_.elements.size()));
      tensor_.elements.push_back(std::move(value));
      return {};
    }
    if (kind != Kind::number) return other(kind);
    TRY(const auto text, json_.number());
    return number(text);
  }

  Result<void> other(JsonReader::Kind kind) {
    if (kind == JsonReader::Kind::broken || kind == JsonReader::Kind::end) return json_.wrong("a value");
    TRY(const auto text, json_.raw());
    return mistyped(table::excerpt(text, 40));
  }

  Result<void> number(std::string_view text) {
    if (!is_float(tensor_.datatype) && text.find_first_of(".eE") == text.npos && tensor_.datatype != Datatype::uint64) {
      std::int64_t whole = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
      if (error != std::errc() || !fits(static_cast<double>(whole))) return mistyped(text);
      tensor_.elements.emplace_back(whole);
      return {};
    }
    double x = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
    if (error != std::errc()) x = std::strtod(std::string(text).c_str(), nullptr);  // too large, or all but 0
    if (is_float(tensor_.datatype)) {
      const auto rounded = round_to(tensor_.datatype, x);
      if (!rounded || !std::isfinite(*rounded)) return mistyped(text);
      tensor_.elements.emplace_back(*rounded);
      return {};
    }
    std::uint64_t natural = 0;  // exactly, where it is one
    const auto [natural_end, natural_error] = std::from_chars(text.data(), text.data() + text.size(), natural);
    if (natural_error == std::errc() && natural_end == text.data() + text.size()) {
      put_natural(natural);
      return {};
    }
    if (x != std::trunc(x) || !fits(x)) return mistyped(text);
    if (x < 0x1p63)
      tensor_.elements.emplace_back(static_cast<std::int64_t>(x));
    else
      tensor_.elements.emplace_back(x);
    return {};
  }

  void put_natural(std::uint64_t value) {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      tensor_.elements.emplace_back(static_cast<std::int64_t>(value));
    else
      tensor_.elements.emplace_back(static_cast<double>(value));
  }

  // Whether the datatype, of whole numbers, holds it.
  bool fits(double x) const {
    const int bits = static_cast<int>(8 * element_bytes(tensor_.datatype));
    const bool is_signed = tensor_.datatype >= Datatype::int8 && tensor_.datatype <= Datatype::int64;
    if (bits == 64 && is_signed) return x >= -0x1p63 && x <= 0x1p63;  // from_chars has seen to the last bit
    return is_signed ? x >= -std::ldexp(1.0, bits - 1) && x < std::ldexp(1.0, bits - 1)
                     : x >= 0 && x < std::ldexp(1.0, bits);
  }

  JsonReader json_;
  const MissingRule& missing_;
  Tensor& tensor_;
  std::size_t count_;
};

template <class T>
T load(std::string_view data, std::size_t index) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

Result<table::Value> element_at(std::string_view data, std::size_t i, const Tensor& tensor) {
  const auto whole = [](auto value) -> table::Value { return static_cast<std::int64_t>(value); };
  switch (tensor.datatype) {
    case Datatype::boolean: {
      const auto byte = load<std::uint8_t>(data, i);
      if (byte > 1) return bad_data(tensor, std::format("element {} is no BOOL: its byte is {}", i, byte));
      return table::Value(byte == 1);
    }
    case Datatype::uint8:
      return whole(load<std::uint8_t>(data, i));
    case Datatype::uint16:
      return whole(load<std::uint16_t>(data, i));
    case Datatype::uint32:
      return whole(load<std::uint32_t>(data, i));
    case Datatype::uint64: {
      const auto value = load<std::uint64_t>(data, i);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return table::Value(static_cast<double>(value));
      return whole(value);
    }
    case Datatype::int8:
      return whole(load<std::int8_t>(data, i));
    case Datatype::int16:
      return whole(load<std::int16_t>(data, i));
    case Datatype::int32:
      return whole(load<std::int32_t>(data, i));
    case Datatype::int64:
      return whole(load<std::int64_t>(data, i));
    case Datatype::fp16:
      return take_float(tensor, from_half(load<std::uint16_t>(data, i)), i);
    case Datatype::bf16:
      return take_float(
          tensor,
          static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(data, i)) << 16)), i);
    case Datatype::fp32:
      return take_float(tensor, static_cast<double>(load<float>(data, i)), i);
    default:
      return take_float(tensor, load<double>(data, i), i);
  }
}

Result<void> read_texts(std::string_view data, const MissingRule& missing, Tensor& tensor, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (data.size() < 4) return bad_data(tensor, std::format("its binary data ends before element {}", i));
    const std::size_t length = load<std::uint32_t>(data, 0);
    data.remove_prefix(4);
    if (data.size() < length) return bad_data(tensor, std::format("its binary data ends within element {}", i));
    const auto text = data.substr(0, length);
    data.remove_prefix(length);
    if (!simdjson::validate_utf8(text)) return bad_data(tensor, std::format("element {} is no UTF-8 text", i));
    if (missing.text && text == *missing.text)
      tensor.elements.emplace_back();
    else
      tensor.elements.emplace_back(std::string(text));
  }
  if (!data.empty()) return bad_data(tensor, std::format("{} bytes follow its {} elements", data.size(), count));
  return {};
}

}  // namespace

std::string_view datatype_name(Datatype type) { return kDatatypes[static_cast<std::size_t>(type)].name; }

std::optional<Datatype> datatype_of(std::string_view name) {
  for (std::size_t i = 0; i < kDatatypes.size(); ++i) {
    if (kDatatypes[i].name == name) return static_cast<Datatype>(i);
  }
  return std::nullopt;
}

std::size_t element_bytes(Datatype type) { return kDatatypes[static_cast<std::size_t>(type)].bytes; }

double from_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

std::optional<double> round_to(Datatype type, double x) {
  const auto within = [](double rounded, double max) {
    return std::fabs(rounded) <= max ? std::optional(rounded) : std::nullopt;
  };
  switch (type) {
    case Datatype::fp16:
      return within(round_bits(x, 10, -14), 65504);
    case Datatype::bf16:
      return within(round_bits(x, 7, -126), 0x1.FEp127);
    case Datatype::fp32:
      return within(round_bits(x, 23, -126), static_cast<double>(std::numeric_limits<float>::max()));
    default:
      return x;
  }
}

Result<void> read_json(std::string_view data, const MissingRule& missing, Tensor& tensor) {
  return ElementReader(data, missing, tensor).read();
}

Result<void> read_binary(std::string_view data, const MissingRule& missing, Tensor& tensor) {
  const auto count = count_of(tensor);
  tensor.elements.clear();
  tensor.elements.reserve(count);
  if (tensor.datatype == Datatype::bytes) return read_texts(data, missing, tensor, count);
  const auto wanted = count * element_bytes(tensor.datatype);
  if (data.size() != wanted) {
    return bad_data(tensor, std::format("{} bytes of binary data; {} elements of {} are {} bytes", data.size(), count,
                                        datatype_name(tensor.datatype), wanted));
  }
  for (std::size_t i = 0; i < count; ++i) {
    TRY(auto value, element_at(data, i, tensor));
    tensor.elements.push_back(std::move(value));
  }
  return {};
}

}  // namespace millrace::api::v2
