#include "data/profile.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>

#include "data/hash_internal.hpp"

namespace millrace::data {

namespace {

using table::Type;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return static_cast<std::size_t>(hash_text(text)); }
};
using TextCounts = std::unordered_map<std::string, std::int64_t, TextHash, std::equal_to<>>;
using BitCounts = std::unordered_map<std::uint64_t, std::int64_t>;

// How many different values went by: the k smallest hashes tell (Bar-Yossef et al. 2002), within 1 / sqrt(k).
class DistinctSketch {
 public:
  void add(std::uint64_t hash) {
    if (smallest_.size() < size) {
      smallest_.insert(hash);
    } else if (hash < *smallest_.rbegin() && smallest_.insert(hash).second) {
      smallest_.erase(std::prev(smallest_.end()));
    }
  }
  std::int64_t estimate() const {
    if (smallest_.size() < size) return static_cast<std::int64_t>(smallest_.size());
    const double largest = (static_cast<double>(*smallest_.rbegin()) + 1) * 0x1p-64;
    return std::llround(static_cast<double>(size - 1) / largest);
  }

 private:
  static constexpr std::size_t size = 4096;
  std::set<std::uint64_t> smallest_;
};

std::int64_t share(std::int64_t total, std::size_t columns, std::int64_t low, std::int64_t high) {
  return std::clamp(total / static_cast<std::int64_t>(std::max<std::size_t>(columns, 1)), low, high);
}

std::int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

table::Value value_of_bits(Type type, std::uint64_t bits) {
  switch (type) {
    case Type::boolean:
      return bits != 0;
    case Type::float64:
      return std::bit_cast<double>(bits);
    case Type::date:
      return table::Date{static_cast<std::int32_t>(static_cast<std::int64_t>(bits))};
    case Type::timestamp:
      return table::Timestamp{static_cast<std::int64_t>(bits)};
    default:
      return static_cast<std::int64_t>(bits);
  }
}

// numpy.histogram: equal width, each value in the bin whose edges hold it, the last bin closed.
Histogram histogram_of(const std::vector<double>& sorted, int bins) {
  Histogram out{sorted.front(), sorted.back(), std::vector<std::int64_t>(static_cast<std::size_t>(bins))};
  const double width = (out.high - out.low) / bins;
  if (!(width > 0) || !std::isfinite(width)) {
    out.counts.assign(1, static_cast<std::int64_t>(sorted.size()));
    return out;
  }
  const auto edge = [&](int i) { return i == bins ? out.high : out.low + i * width; };
  for (const double value : sorted) {
    int bin = std::min(bins - 1, static_cast<int>((value - out.low) / (out.high - out.low) * bins));
    if (value < edge(bin)) {
      bin--;
    } else if (bin < bins - 1 && value >= edge(bin + 1)) {
      bin++;
    }
    out.counts[static_cast<std::size_t>(bin)]++;
  }
  return out;
}

}  // namespace

double quantile_linear(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const double part = position - static_cast<double>(below);
  if (below + 1 >= sorted.size()) return sorted.back();
  // numpy's lerp: counted from the nearer end, so that it never leaves the interval.
  const double low = sorted[below], high = sorted[below + 1], gap = high - low;
  return part >= 0.5 ? high - gap * (1 - part) : low + gap * part;
}

struct Profiler::Column {
  std::string name;
  Type type = Type::text;
  std::int64_t counted_max = 0;
  std::int64_t kept_max = 0;

  std::int64_t count = 0, nulls = 0;
  BitCounts bits;    // of all types but text: the value's bits
  TextCounts texts;  // of text
  bool counts_full = false;
  DistinctSketch sketch;  // used once the counts are full

  std::int64_t finite = 0;
  double mean = 0, squares = 0;  // Welford
  std::vector<double> kept;
  std::uint64_t random = 0;
  bool increasing = true;
  table::Value lowest, highest;  // lowest is also the last one while increasing
  table::Value last;
  std::int64_t length = 0;  // of texts, together

  void add_bits(std::uint64_t value, double number, const table::Value& full) {
    count++;
    if (const auto found = bits.find(value); found != bits.end()) {
      found->second++;
      increasing = false;
    } else if (!counts_full && static_cast<std::int64_t>(bits.size()) < counted_max) {
      bits.emplace(value, 1);
    } else {
      if (!counts_full) {
        for (const auto& [known, n] : bits) sketch.add(mix(known));
      }
      counts_full = true;
    }
    if (counts_full) sketch.add(mix(value));
    if (table::is_null(lowest) || full < lowest) lowest = full;
    if (table::is_null(highest) || highest < full) highest = full;
    if (!table::is_null(last) && !(last < full)) increasing = false;
    last = full;
    if (type == Type::boolean || !std::isfinite(number)) return;
    finite++;
    const double step = number - mean;
    mean += step / static_cast<double>(finite);
    squares += step * (number - mean);
    keep(number);
  }

  // Reservoir sampling (Vitter's R) once there are too many.
  void keep(double number) {
    if (static_cast<std::int64_t>(kept.size()) < kept_max) {
      kept.push_back(number);
      return;
    }
    random = mix(random);
    const auto place = static_cast<std::int64_t>(random % static_cast<std::uint64_t>(finite));
    if (place < kept_max) kept[static_cast<std::size_t>(place)] = number;
  }

  void add_text(std::string_view value) {
    count++;
    length += characters(value);
    if (const auto found = texts.find(value); found != texts.end()) {
      found->second++;
    } else if (!counts_full && static_cast<std::int64_t>(texts.size()) < counted_max) {
      texts.emplace(value, 1);
    } else {
      if (!counts_full) {
        for (const auto& [known, n] : texts) sketch.add(hash_text(known));
      }
      counts_full = true;
    }
    if (counts_full) sketch.add(hash_text(value));
    if (table::is_null(lowest) || value < std::get<std::string>(lowest)) lowest = std::string(value);
    if (table::is_null(highest) || value > std::get<std::string>(highest)) highest = std::string(value);
  }

  void add(const table::Column& column, std::int64_t row) {
    if (column.is_null(row)) {
      nulls++;
      increasing = false;
      return;
    }
    switch (type) {
      case Type::boolean:
        return add_bits(column.boolean_at(row), 0, column.boolean_at(row));
      case Type::int64: {
        const std::int64_t value = column.int64_at(row);
        return add_bits(static_cast<std::uint64_t>(value), static_cast<double>(value), value);
      }
      case Type::float64: {
        const double value = column.float64_at(row) + 0.0;  // makes -0 a 0
        if (!std::isnan(value)) return add_bits(std::bit_cast<std::uint64_t>(value), value, value);
        nulls++;
        increasing = false;
        return;
      }
      case Type::text:
        return add_text(column.text_at(row));
      case Type::date: {
        const table::Date value = column.date_at(row);
        return add_bits(static_cast<std::uint64_t>(std::int64_t{value.days}), value.days, value);
      }
      case Type::timestamp: {
        const table::Timestamp value = column.timestamp_at(row);
        return add_bits(static_cast<std::uint64_t>(value.us), static_cast<double>(value.us), value);
      }
    }
  }

  std::vector<ValueCount> most_frequent(std::size_t wanted) const {
    std::vector<std::pair<std::int64_t, table::Value>> all;
    for (const auto& [value, n] : bits) all.emplace_back(n, value_of_bits(type, value));
    for (const auto& [value, n] : texts) all.emplace_back(n, value);
    const auto more = [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    };
    wanted = std::min(wanted, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(wanted), all.end(), more);
    std::vector<ValueCount> out;
    for (std::size_t i = 0; i < wanted; i++) out.push_back({table::to_text(all[i].second), all[i].first});
    return out;
  }

  ColumnProfile finish(const ProfileOptions& options) {
    ColumnProfile out;
    out.name = name;
    out.type = table::type_name(type);
    out.count = count;
    out.nulls = nulls;
    out.distinct_exact = !counts_full;
    out.distinct = counts_full ? sketch.estimate() : static_cast<std::int64_t>(bits.size() + texts.size());
    out.min = table::to_text(lowest);
    out.max = table::to_text(highest);
    out.increasing = increasing && count > 1 && type != Type::text && type != Type::boolean;
    const bool all = name == options.all_values_of && out.distinct <= static_cast<std::int64_t>(options.all_values_max);
    out.top = most_frequent(all ? options.all_values_max : options.top);
    if (type == Type::text && count > 0) out.mean_length = static_cast<double>(length) / static_cast<double>(count);
    if (!kept.empty()) {
      if (std::isfinite(mean)) out.mean = mean;
      if (finite > 1 && std::isfinite(squares)) out.std_dev = std::sqrt(squares / static_cast<double>(finite - 1));
      std::ranges::sort(kept);
      out.quantiles_exact = finite == static_cast<std::int64_t>(kept.size());
      for (const double q : {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}) {
        // Between ends that are further apart than a double reaches, a quantile is no number: left out.
        if (const double value = quantile_linear(kept, q); std::isfinite(value)) out.quantiles.push_back({q, value});
      }
      out.histogram = histogram_of(kept, options.histogram_bins);
    }
    return out;
  }
};

Profiler::Profiler(const table::Schema& schema, const ProfileOptions& options) : options_(options) {
  const std::size_t n = schema.fields.size();
  for (const table::Field& field : schema.fields) {
    auto column = std::make_unique<Column>();
    column->name = field.name;
    column->type = field.type;
    column->counted_max = share(options.counted_total, n, options.counted_min, options.counted_max);
    column->kept_max = share(options.kept_total, n, options.kept_min, options.kept_max);
    column->random = hash_text(field.name);
    columns_.push_back(std::move(column));
  }
}

Profiler::~Profiler() = default;

void Profiler::add(const table::Batch& batch) {
  rows_ += batch.rows();
  for (std::size_t c = 0; c < columns_.size(); c++) {
    const table::Column column = batch.column(static_cast<int>(c));
    for (std::int64_t row = 0; row < batch.rows(); row++) columns_[c]->add(column, row);
  }
}

std::vector<ColumnProfile> Profiler::finish() {
  std::vector<ColumnProfile> out;
  for (auto& column : columns_) {
    out.push_back(column->finish(options_));
    column.reset();
  }
  return out;
}

void RowSample::add(const table::Batch& batch) {
  Piece piece;
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < batch.rows(); row++) {
    const std::uint64_t hash = mix(seen_++);
    if (!chosen(hash)) continue;
    rows.push_back(row);
    piece.hashes.push_back(hash);
  }
  if (rows.empty()) return;
  piece.rows = batch.take(rows);
  kept_ += rows.size();
  pieces_.push_back(std::move(piece));
  while (kept_ > 2 * size_) thin();
}

void RowSample::thin() {
  level_++;
  kept_ = 0;
  std::vector<Piece> thinner;
  for (Piece& piece : pieces_) {
    Piece next;
    std::vector<std::int64_t> rows;
    for (std::size_t i = 0; i < piece.hashes.size(); i++) {
      if (!chosen(piece.hashes[i])) continue;
      rows.push_back(static_cast<std::int64_t>(i));
      next.hashes.push_back(piece.hashes[i]);
    }
    if (rows.empty()) continue;
    next.rows = piece.rows.take(rows);
    kept_ += rows.size();
    thinner.push_back(std::move(next));
  }
  pieces_ = std::move(thinner);
}

std::vector<table::Batch> RowSample::finish() {
  std::vector<table::Batch> out;
  for (Piece& piece : pieces_) out.push_back(std::move(piece.rows));
  pieces_.clear();
  return out;
}

}  // namespace millrace::data
