#include "model/tensor_values.hpp"

#include <simdjson.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/text.hpp"

namespace millrace::model {

namespace {

static_assert(std::endian::native == std::endian::little);

// The nearest number of `mantissa` bits behind the point and exponents from `least` on.
double round_bits(double x, int mantissa, int least) {
  if (x == 0) return x;
  const int unit = std::max(std::ilogb(x), least) - mantissa;
  return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

template <class T>
T load_element(std::string_view bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
bool put_element(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
  return true;
}

// Of a number that half precision holds.
std::uint16_t half_bits(double x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000 : 0);
  x = std::fabs(x);
  if (x == 0) return sign;
  const int exponent = std::max(std::ilogb(x), -14);
  const auto mantissa = static_cast<int>(std::ldexp(x, 10 - exponent));  // 1024 to 2047, below for denormal ones
  const int biased = mantissa < 1024 ? 0 : exponent + 15;
  return static_cast<std::uint16_t>(sign | biased << 10 | (mantissa & 0x3FF));
}

bool put_float(Datatype type, double x, std::string& out) {
  if (!std::isnan(x) && !std::isinf(x)) {
    const auto rounded = round_to(type, x);
    if (!rounded || !std::isfinite(*rounded)) return false;
    x = *rounded;
  }
  switch (type) {
    case Datatype::fp16: {
      const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
      if (std::isnan(x)) return put_element<std::uint16_t>(out, sign | 0x7E00);
      if (std::isinf(x)) return put_element<std::uint16_t>(out, sign | 0x7C00);
      return put_element(out, half_bits(x));
    }
    case Datatype::bf16:
      return put_element(out, static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16));
    case Datatype::fp32:
      return put_element(out, static_cast<float>(x));
    default:
      return put_element(out, x);
  }
}

template <class T, class V>
bool put_in_range(V value, std::string& out) {
  if (!std::in_range<T>(value)) return false;
  return put_element(out, static_cast<T>(value));
}

template <class V>
bool put_whole(Datatype type, V x, std::string& out) {
  switch (type) {
    case Datatype::boolean:
      return (x == 0 || x == 1) && put_element(out, static_cast<std::uint8_t>(x));
    case Datatype::uint8:
      return put_in_range<std::uint8_t>(x, out);
    case Datatype::uint16:
      return put_in_range<std::uint16_t>(x, out);
    case Datatype::uint32:
      return put_in_range<std::uint32_t>(x, out);
    case Datatype::uint64:
      return put_in_range<std::uint64_t>(x, out);
    case Datatype::int8:
      return put_in_range<std::int8_t>(x, out);
    case Datatype::int16:
      return put_in_range<std::int16_t>(x, out);
    case Datatype::int32:
      return put_in_range<std::int32_t>(x, out);
    case Datatype::int64:
      return put_in_range<std::int64_t>(x, out);
    case Datatype::bytes:
      return false;
    default:
      return put_float(type, static_cast<double>(x), out);
  }
}

bool append_json_element(std::string& out, Datatype type, const TensorAnswer::Output& tensor, std::size_t i) {
  const auto& bytes = tensor.bytes;
  switch (type) {
    case Datatype::boolean:
      out += bytes[i] ? "true" : "false";
      return true;
    case Datatype::uint8:
      out += std::to_string(load_element<std::uint8_t>(bytes, i));
      return true;
    case Datatype::uint16:
      out += std::to_string(load_element<std::uint16_t>(bytes, i));
      return true;
    case Datatype::uint32:
      out += std::to_string(load_element<std::uint32_t>(bytes, i));
      return true;
    case Datatype::uint64:
      out += std::to_string(load_element<std::uint64_t>(bytes, i));
      return true;
    case Datatype::int8:
      out += std::to_string(load_element<std::int8_t>(bytes, i));
      return true;
    case Datatype::int16:
      out += std::to_string(load_element<std::int16_t>(bytes, i));
      return true;
    case Datatype::int32:
      out += std::to_string(load_element<std::int32_t>(bytes, i));
      return true;
    case Datatype::int64:
      out += std::to_string(load_element<std::int64_t>(bytes, i));
      return true;
    case Datatype::fp16:
      append_json_float(out, static_cast<float>(from_half(load_element<std::uint16_t>(bytes, i))));
      return true;
    case Datatype::bf16:
      append_json_float(out, static_cast<float>(from_bfloat(load_element<std::uint16_t>(bytes, i))));
      return true;
    case Datatype::fp32:
      append_json_float(out, load_element<float>(bytes, i));
      return true;
    case Datatype::fp64:
      append_json_number(out, load_element<double>(bytes, i));
      return true;
    case Datatype::bytes:
      if (!simdjson::validate_utf8(tensor.texts[i])) return false;
      append_json_text(out, tensor.texts[i]);
      return true;
  }
  return true;
}

}  // namespace

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

double from_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

double from_bfloat(std::uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}

bool pack_number(Datatype type, double x, std::string& out) {
  if (type == Datatype::bytes) return false;
  if (is_float(type)) return put_float(type, x, out);
  if (x != std::trunc(x)) return false;
  if (x >= -0x1p63 && x < 0x1p63) return pack_whole(type, static_cast<std::int64_t>(x), out);
  return x >= 0 && x < 0x1p64 && pack_natural(type, static_cast<std::uint64_t>(x), out);
}

bool pack_whole(Datatype type, std::int64_t x, std::string& out) { return put_whole(type, x, out); }
bool pack_natural(Datatype type, std::uint64_t x, std::string& out) { return put_whole(type, x, out); }

bool append_json_elements(std::string& out, Datatype type, const TensorAnswer::Output& tensor, std::size_t from,
                          std::size_t count) {
  for (std::size_t i = from; i < from + count; ++i) {
    if (i > from) out += ',';
    if (!append_json_element(out, type, tensor, i)) return false;
  }
  return true;
}

bool append_json_nested(std::string& out, Datatype type, const TensorAnswer::Output& tensor, std::size_t axis,
                        std::size_t from) {
  if (axis >= tensor.shape.size()) return append_json_element(out, type, tensor, from);
  const auto items = static_cast<std::size_t>(tensor.shape[axis]);
  const auto each = elements_of(std::span(tensor.shape).subspan(axis + 1));
  out += '[';
  if (axis + 1 == tensor.shape.size()) {
    if (!append_json_elements(out, type, tensor, from, items)) return false;
  } else {
    for (std::size_t i = 0; i < items; ++i) {
      if (i) out += ',';
      if (!append_json_nested(out, type, tensor, axis + 1, from + i * each)) return false;
    }
  }
  out += ']';
  return true;
}

bool all_finite(Datatype type, const TensorAnswer::Output& tensor) {
  if (!is_float(type)) return true;
  const auto count = tensor.bytes.size() / element_bytes(type);
  for (std::size_t i = 0; i < count; ++i) {
    double x = 0;
    switch (type) {
      case Datatype::fp16:
        x = from_half(load_element<std::uint16_t>(tensor.bytes, i));
        break;
      case Datatype::bf16:
        x = from_bfloat(load_element<std::uint16_t>(tensor.bytes, i));
        break;
      case Datatype::fp32:
        x = static_cast<double>(load_element<float>(tensor.bytes, i));
        break;
      default:
        x = load_element<double>(tensor.bytes, i);
    }
    if (!std::isfinite(x)) return false;
  }
  return true;
}

}  // namespace millrace::model
