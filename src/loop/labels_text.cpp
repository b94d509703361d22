#include "loop/labels_text.hpp"

#include "base/json.hpp"

namespace millrace::loop {

namespace stored {

struct Line {
  std::string model;
  std::optional<std::string> prediction;
  std::optional<std::string> key;
  std::optional<std::string> id;
  std::int64_t time_us = 0;
  bool time_given = true;
  std::string origin;
  std::string author;
  std::optional<std::string> value;
  std::int64_t seq = 0;
  std::int64_t arrived_us = 0;
};

}  // namespace stored

using namespace stored;

std::string render_labels(const std::vector<label::Label>& labels) {
  std::string out;
  for (const auto& one : labels) {
    Line line{one.model,
              {},
              one.key,
              one.id,
              one.time.time_since_epoch().count(),
              one.time_given,
              std::string(label::origin_name(one.origin)),
              one.author,
              one.value,
              one.seq,
              one.arrived.time_since_epoch().count()};
    if (one.prediction) line.prediction = one.prediction->text();
    out += json::render(line) + "\n";
  }
  return out;
}

Result<std::vector<label::Label>> parse_labels_text(std::string_view text) {
  std::vector<label::Label> labels;
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find('\n', at);
    TRY(auto line, json::parse<Line>(text.substr(at, end - at), "a line of labels"));
    label::Label one;
    one.model = line.model;
    if (line.prediction) {
      TRY(one.prediction, Id::parse(*line.prediction));
    }
    one.key = line.key;
    one.id = line.id;
    one.time = TimePoint(Duration(line.time_us));
    one.time_given = line.time_given;
    TRY(one.origin, label::parse_origin(line.origin));
    one.author = line.author;
    one.value = line.value;
    one.seq = line.seq;
    one.arrived = TimePoint(Duration(line.arrived_us));
    labels.push_back(std::move(one));
    if (end == std::string_view::npos) break;
    at = end + 1;
  }
  return labels;
}

}  // namespace millrace::loop
