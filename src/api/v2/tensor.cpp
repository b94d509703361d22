#include "api/v2/tensor.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <format>
#include <limits>

#include "api/json_reader_internal.hpp"

namespace millrace::api::v2 {

namespace {

using model::is_float;

std::unexpected<Error> bad_data(const Tensor& tensor, std::string what) {
  return fail(Code::invalid_argument, "v2.bad_data", std::format("input '{}': {}", tensor.name, what));
}

std::size_t count_of(const Tensor& tensor) {
  std::size_t count = 1;
  for (const auto size : tensor.shape) count *= static_cast<std::size_t>(size);
  return count;
}

Result<table::Value> take_float(const Tensor& tensor, double x, std::size_t index) {
  if (std::isnan(x)) return table::Value();
  if (!std::isfinite(x)) {
    return bad_data(tensor, std::format("element {} is infinite; send NaN for a missing number", index));
  }
  return table::Value(x);
}

// Walks `data` in JSON, flat or nested as the shape is.
class DataReader {
 public:
  DataReader(std::string_view data, const MissingRule& missing, Tensor& tensor)
      : json_(data), missing_(missing), tensor_(tensor), count_(count_of(tensor)) {}
  virtual ~DataReader() = default;

  Result<void> read() {
    TRY_VOID(level(0));
    if (read_ != count_) return bad_data(tensor_, std::format("{} elements, but its shape wants {}", read_, count_));
    return {};
  }

 protected:
  using Kind = JsonReader::Kind;
  virtual Result<void> element(Kind kind) = 0;

  std::size_t at() const { return read_; }  // the place of the element that is read
  std::unexpected<Error> mistyped(std::string_view got) {
    return bad_data(tensor_,
                    std::format("element {}: expected {}, got {}", read_, datatype_name(tensor_.datatype), got));
  }
  std::unexpected<Error> missing_here() {
    return mistyped(
        "null; a missing number is NaN in an FP tensor, or declare nulls with the parameter \"null_is_missing\": true");
  }
  Result<void> other(Kind kind) {
    if (kind == Kind::broken || kind == Kind::end) return json_.wrong("a value");
    TRY(const auto text, json_.raw());
    return mistyped(table::excerpt(text, 40));
  }
  // NaN, an infinity.
  static double special(std::string_view text) {
    if (text == "NaN") return std::nan("");
    return text.starts_with('-') ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  static double parse_double(std::string_view text) {
    double x = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
    if (error != std::errc()) x = std::strtod(std::string(text).c_str(), nullptr);  // too large, or all but 0
    return x;
  }

  JsonReader json_;
  const MissingRule& missing_;
  Tensor& tensor_;
  const std::size_t count_;

 private:
  Result<void> counted() {
    if (read_ >= count_) return bad_data(tensor_, std::format("more than the {} elements of its shape", count_));
    TRY_VOID(element(json_.peek()));
    ++read_;
    return {};
  }

  // An array of the given depth. Of the outermost, the first item says whether it is flat or nested.
  Result<void> level(std::size_t depth) {
    std::size_t items = 0;
    bool nested = false;
    const bool innermost = depth + 1 >= tensor_.shape.size();
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
      return counted();
    });
    if (!walked) return walked;
    const bool flat = depth == 0 && !nested;
    if (!flat && items != static_cast<std::size_t>(tensor_.shape[depth])) return wrong_length();
    return {};
  }

  std::size_t read_ = 0;
};

// Into values.
class ElementReader final : public DataReader {
 public:
  ElementReader(std::string_view data, const MissingRule& missing, Tensor& tensor) : DataReader(data, missing, tensor) {
    tensor_.elements.clear();
    tensor_.elements.reserve(count_);
  }

 private:
  Result<void> element(Kind kind) override {
    if (kind == Kind::null) {
      TRY_VOID(json_.null());
      if (!missing_.null) return missing_here();
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
      TRY(auto value, take_float(tensor_, special(text), at()));
      tensor_.elements.push_back(std::move(value));
      return {};
    }
    if (kind != Kind::number) return other(kind);
    TRY(const auto text, json_.number());
    return number(text);
  }

  Result<void> number(std::string_view text) {
    if (!is_float(tensor_.datatype) && text.find_first_of(".eE") == text.npos && tensor_.datatype != Datatype::uint64) {
      std::int64_t whole = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
      if (error != std::errc() || !fits(static_cast<double>(whole))) return mistyped(text);
      tensor_.elements.emplace_back(whole);
      return {};
    }
    const double x = parse_double(text);
    if (is_float(tensor_.datatype)) {
      const auto rounded = model::round_to(tensor_.datatype, x);
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
};

// Into the engine's own form.
class PackReader final : public DataReader {
 public:
  PackReader(std::string_view data, const MissingRule& missing, Tensor& tensor)
      : DataReader(data, missing, tensor), room_(std::make_shared<Room>()) {
    // A shape may promise more than the text can hold.
    constexpr std::size_t kShortest = 2;
    room_->bytes.reserve(std::min(count_, data.size() / kShortest + 1) * element_bytes(tensor.datatype));
  }

  Result<void> pack() {
    TRY_VOID(read());
    tensor_.bytes = room_->bytes;
    tensor_.texts.assign(room_->texts.begin(), room_->texts.end());
    tensor_.memory = std::move(room_);
    return {};
  }

 private:
  struct Room {
    std::string bytes;
    std::deque<std::string> texts;
  };

  Result<void> element(Kind kind) override {
    const auto type = tensor_.datatype;
    if (type == Datatype::bytes) {
      if (kind != Kind::string) return other(kind);
      TRY(auto text, json_.string());
      room_->texts.push_back(std::move(text));
      return {};
    }
    if (type == Datatype::boolean) {
      if (kind != Kind::boolean) return other(kind);
      TRY(const bool flag, json_.boolean());
      room_->bytes += flag ? '\1' : '\0';
      return {};
    }
    if (kind == Kind::null) {
      TRY_VOID(json_.null());
      if (!missing_.null || !is_float(type)) return missing_here();
      model::pack_number(type, std::nan(""), room_->bytes);
      return {};
    }
    if (kind == Kind::nan && is_float(type)) {
      TRY(const auto text, json_.nan());
      model::pack_number(type, special(text), room_->bytes);
      return {};
    }
    if (kind != Kind::number) return other(kind);
    TRY(const auto text, json_.number());
    if (!number(type, text)) return mistyped(table::excerpt(text, 40));
    return {};
  }

  bool number(Datatype type, std::string_view text) {
    if (!is_float(type)) {
      std::int64_t whole = 0;
      std::uint64_t natural = 0;
      const auto* const last = text.data() + text.size();
      if (const auto [end, error] = std::from_chars(text.data(), last, whole); error == std::errc() && end == last)
        return model::pack_whole(type, whole, room_->bytes);
      if (const auto [end, error] = std::from_chars(text.data(), last, natural); error == std::errc() && end == last)
        return model::pack_natural(type, natural, room_->bytes);
    }
    const double x = parse_double(text);
    return std::isfinite(x) && model::pack_number(type, x, room_->bytes);
  }

  std::shared_ptr<Room> room_;
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
      return take_float(tensor, model::from_half(load<std::uint16_t>(data, i)), i);
    case Datatype::bf16:
      return take_float(tensor, model::from_bfloat(load<std::uint16_t>(data, i)), i);
    case Datatype::fp32:
      return take_float(tensor, static_cast<double>(load<float>(data, i)), i);
    default:
      return take_float(tensor, load<double>(data, i), i);
  }
}

template <class Take>
Result<void> each_text(std::string_view data, const Tensor& tensor, std::size_t count, Take take) {
  for (std::size_t i = 0; i < count; ++i) {
    if (data.size() < 4) return bad_data(tensor, std::format("its binary data ends before element {}", i));
    const std::size_t length = load<std::uint32_t>(data, 0);
    data.remove_prefix(4);
    if (data.size() < length) return bad_data(tensor, std::format("its binary data ends within element {}", i));
    TRY_VOID(take(i, data.substr(0, length)));
    data.remove_prefix(length);
  }
  if (!data.empty()) return bad_data(tensor, std::format("{} bytes follow its {} elements", data.size(), count));
  return {};
}

Result<void> read_texts(std::string_view data, const MissingRule& missing, Tensor& tensor, std::size_t count) {
  return each_text(data, tensor, count, [&](std::size_t i, std::string_view text) -> Result<void> {
    if (!simdjson::validate_utf8(text)) return bad_data(tensor, std::format("element {} is no UTF-8 text", i));
    if (missing.text && text == *missing.text)
      tensor.elements.emplace_back();
    else
      tensor.elements.emplace_back(std::string(text));
    return {};
  });
}

Result<void> check_binary_size(std::string_view data, const Tensor& tensor, std::size_t count) {
  const auto wanted = count * element_bytes(tensor.datatype);
  if (data.size() == wanted) return {};
  return bad_data(tensor, std::format("{} bytes of binary data; {} elements of {} are {} bytes", data.size(), count,
                                      datatype_name(tensor.datatype), wanted));
}

}  // namespace

Result<void> read_json(std::string_view data, const MissingRule& missing, Tensor& tensor) {
  return ElementReader(data, missing, tensor).read();
}

Result<void> read_binary(std::string_view data, const MissingRule& missing, Tensor& tensor) {
  const auto count = count_of(tensor);
  tensor.elements.clear();
  tensor.elements.reserve(count);
  if (tensor.datatype == Datatype::bytes) return read_texts(data, missing, tensor, count);
  TRY_VOID(check_binary_size(data, tensor, count));
  for (std::size_t i = 0; i < count; ++i) {
    TRY(auto value, element_at(data, i, tensor));
    tensor.elements.push_back(std::move(value));
  }
  return {};
}

Result<void> pack_json(std::string_view data, const MissingRule& missing, Tensor& tensor) {
  return PackReader(data, missing, tensor).pack();
}

Result<void> view_binary(std::string_view data, Tensor& tensor) {
  const auto count = count_of(tensor);
  if (tensor.datatype != Datatype::bytes) {
    TRY_VOID(check_binary_size(data, tensor, count));
    tensor.bytes = data;
    if (tensor.datatype != Datatype::boolean) return {};
    const auto at = std::ranges::find_if(data, [](char c) { return static_cast<unsigned char>(c) > 1; });
    if (at == data.end()) return {};
    return bad_data(tensor, std::format("element {} is no BOOL: its byte is {}", at - data.begin(),
                                        static_cast<int>(static_cast<unsigned char>(*at))));
  }
  return each_text(data, tensor, count, [&](std::size_t, std::string_view text) -> Result<void> {
    tensor.texts.push_back(text);
    return {};
  });
}

}  // namespace millrace::api::v2
