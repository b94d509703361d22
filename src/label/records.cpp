#include "label/records.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.hpp"

namespace millrace::label {

namespace {

struct LabelsAdded {
  std::string model;
  std::int64_t count = 0;
  std::int64_t seq = 0;
};

constexpr std::string_view columns =
    "seq, model, prediction, label_key, client_id, label_time, time_given, arrived, origin, author, value";

Result<Label> from_row(const meta::Row& row) {
  Label label{.model = row.text(1),
              .key = row.maybe_text(3),
              .id = row.maybe_text(4),
              .time = row.time(5),
              .time_given = row.truth(6),
              .author = row.text(9),
              .value = row.maybe_text(10),
              .seq = row.integer(0),
              .arrived = row.time(7)};
  if (const auto id = row.maybe_text(2)) {
    TRY(label.prediction, Id::parse(*id));
  }
  TRY(label.origin, parse_origin(row.text(8)));
  return label;
}

// Numbers and stamps go on where the newest label of any model stopped.
struct Counter {
  std::int64_t seq = 0;
  TimePoint stamp{};
};
Result<Counter> read_counter(meta::Tx& tx) {
  TRY(const auto row, tx.query_one("SELECT seq, arrived FROM label_labels ORDER BY seq DESC LIMIT 1"));
  return row ? Counter{row->integer(0), row->time(1)} : Counter{};
}

// Whether the client's own id is taken by a label that says something else.
Result<void> check_client_id(meta::Tx& tx, const Label& label, std::size_t index) {
  if (!label.id) return {};
  TRY(const auto other,
      tx.query_one("SELECT seq FROM label_labels WHERE model = $1 AND client_id = $2", {label.model, *label.id}));
  if (!other) return {};
  return fail(
      Code::already_exists, "label.id_reused",
      fmt::format("labels[{}].id: '{}' stands for another label already (number {}); a correction needs an id of "
                  "its own",
                  index, *label.id, other->integer(0)));
}

Result<void> insert(meta::Tx& tx, const Label& label, const std::string& digest) {
  TRY_VOID(tx.exec(
      fmt::format("INSERT INTO label_labels ({}, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
                  "$11, $12)",
                  columns),
      {label.seq, label.model, meta::value(label.prediction ? std::optional(label.prediction->text()) : std::nullopt),
       meta::value(label.key), meta::value(label.id), meta::value(label.time), std::int64_t{label.time_given},
       meta::value(label.arrived), std::string(origin_name(label.origin)), label.author, meta::value(label.value),
       digest}));
  return {};
}

}  // namespace

std::vector<meta::Migration> migrations() {
  return {{"label", 1,
           "CREATE TABLE label_labels ("
           "  seq BIGINT PRIMARY KEY,"
           "  model TEXT NOT NULL,"
           "  digest TEXT NOT NULL,"
           "  prediction TEXT,"
           "  label_key TEXT,"
           "  client_id TEXT,"
           "  label_time BIGINT NOT NULL,"
           "  time_given BIGINT NOT NULL,"
           "  arrived BIGINT NOT NULL,"
           "  origin TEXT NOT NULL,"
           "  author TEXT NOT NULL,"
           "  value TEXT,"
           "  CHECK ((prediction IS NULL) <> (label_key IS NULL))"
           ");"
           "CREATE UNIQUE INDEX label_labels_digest ON label_labels (model, digest);"
           "CREATE UNIQUE INDEX label_labels_client ON label_labels (model, client_id);"
           "CREATE INDEX label_labels_model ON label_labels (model, seq);"},
          {"label", 2,
           "CREATE INDEX label_labels_prediction ON label_labels (prediction) WHERE prediction IS NOT NULL;"
           "CREATE INDEX label_labels_key ON label_labels (label_key, label_time) WHERE label_key IS NOT NULL;"}};
}

Result<Intake> add(meta::Tx& tx, Faults& faults, std::string_view model, std::span<const Label> labels, TimePoint now) {
  TRY(Counter counter, read_counter(tx));
  Intake intake;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i == labels.size() / 2) TRY_VOID(faults.reach("label.add.halfway"));
    Label label = labels[i];
    if (label.model != model) {
      return fail(Code::invalid_argument, "label.mixed_models",
                  fmt::format("labels[{}]: is of model '{}', the batch of '{}'", i, label.model, model));
    }
    const std::string digest = digest_of(label).hex();
    TRY(const auto known,
        tx.query_one("SELECT seq FROM label_labels WHERE model = $1 AND digest = $2", {label.model, digest}));
    if (known) {
      ++intake.duplicates;
      continue;
    }
    TRY_VOID(check_client_id(tx, label, i));
    counter.stamp = std::max(now, counter.stamp + Duration(1));
    label.seq = ++counter.seq;
    label.arrived = counter.stamp;
    if (!label.time_given) label.time = counter.stamp;
    TRY_VOID(insert(tx, label, digest));
    ++intake.accepted;
  }
  TRY(intake.last_seq, last_seq(tx, model));
  if (intake.accepted > 0) {
    TRY_VOID(tx.emit({"labels.added", std::string(model),
                      json::render(LabelsAdded{std::string(model), intake.accepted, intake.last_seq})}));
  }
  TRY_VOID(faults.reach("label.add.before_commit"));
  return intake;
}

Result<std::int64_t> count(meta::Reader& reader, std::string_view model, const LabelFilter& filter) {
  std::string sql =
      "SELECT COUNT(*) FROM label_labels WHERE model = $1 AND seq > $2 AND arrived > $3 AND value IS NOT NULL";
  meta::Params params{std::string(model), filter.after_seq,
                      filter.arrived_after ? meta::value(*filter.arrived_after) : meta::Value(std::int64_t{-1})};
  std::string places;
  for (const Origin origin : filter.origins) {
    params.emplace_back(std::string(origin_name(origin)));
    places += fmt::format("{}${}", places.empty() ? "" : ", ", params.size());
  }
  if (places.empty()) return 0;
  sql += fmt::format(" AND origin IN ({})", places);
  TRY(const auto row, reader.query_one(sql, std::move(params)));
  return row->integer(0);
}

Result<std::int64_t> last_seq(meta::Reader& reader, std::string_view model) {
  TRY(const auto row,
      reader.query_one("SELECT COALESCE(MAX(seq), 0) FROM label_labels WHERE model = $1", {std::string(model)}));
  return row->integer(0);
}

Result<std::vector<Label>> labels_after(meta::Reader& reader, std::string_view model, std::int64_t after_seq,
                                        std::size_t max) {
  TRY(const meta::Rows rows,
      reader.query(
          fmt::format("SELECT {} FROM label_labels WHERE model = $1 AND seq > $2 ORDER BY seq LIMIT $3", columns),
          {std::string(model), after_seq, static_cast<std::int64_t>(max)}));
  std::vector<Label> labels;
  labels.reserve(rows.size());
  for (const meta::Row& row : rows) {
    TRY(Label label, from_row(row));
    labels.push_back(std::move(label));
  }
  return labels;
}

Result<bool> speaks_of(meta::Reader& reader, std::string_view model, const Id& prediction, std::string_view key,
                       TimePoint time) {
  TRY(const auto by_id, reader.query_one("SELECT seq FROM label_labels WHERE prediction = $1 AND model = $2 LIMIT 1",
                                         {prediction.text(), std::string(model)}));
  if (by_id) return true;
  if (key.empty()) return false;
  TRY(const auto by_key, reader.query_one("SELECT seq FROM label_labels WHERE label_key = $1 AND "
                                          "label_time >= $2 AND model = $3 LIMIT 1",
                                          {std::string(key), meta::value(time), std::string(model)}));
  return by_key.has_value();
}

}  // namespace millrace::label
