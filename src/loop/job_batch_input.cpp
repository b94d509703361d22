#include <fnmatch.h>

#include <format>

#include "base/fs.hpp"
#include "loop/job_batch_internal.hpp"

namespace millrace::loop {

namespace {

constexpr std::size_t inputs_max = 10'000;

std::unexpected<Error> no_input(const std::string& pattern, const std::string& why) {
  return fail(Code::not_found, "loop.no_input",
              std::format("there is nothing to answer for: {}: {}; put the rows there or change `in`, then run the "
                          "batch again: millrace batch run NAME",
                          pattern, why));
}

Result<std::vector<std::string>> matching(Fs& fs, const std::string& pattern) {
  if (pattern.find_first_of("*?") == pattern.npos) return std::vector{pattern};
  const auto folder = parent_path(pattern);
  const auto name = pattern.substr(pattern.rfind('/') + 1);
  const auto files = fs.list(folder);
  if (!files) return no_input(pattern, files.error().message);
  std::vector<std::string> out;
  for (const auto& file : *files) {
    if (!file.is_dir && ::fnmatch(name.c_str(), file.name.c_str(), FNM_PERIOD) == 0)
      out.push_back(join_path(folder, file.name));
  }
  if (out.empty()) return no_input(pattern, "no file has such a name");
  if (out.size() > inputs_max) {
    return fail(Code::resource_exhausted, "loop.input_too_large",
                std::format("{} names {} files, of which one batch takes at most {}", pattern, out.size(), inputs_max));
  }
  return out;
}

Result<BatchInput> take(const Task& task, blob::Store& blobs, const std::string& path) {
  const auto file = task.env.fs.open_read(path);
  if (!file) return no_input(path, file.error().message);
  TRY(auto writer, blobs.create());
  std::vector<std::byte> piece(blob::piece_bytes_max);
  for (std::uint64_t at = 0;;) {
    if (task.cancelled && task.cancelled()) return fail(Code::cancelled, "loop.cancelled", "the batch was stopped");
    TRY(const auto got, (*file)->read(at, piece));
    if (got == 0) break;
    TRY_VOID(writer->append(std::span(piece).first(got)));
    at += got;
  }
  TRY(const auto stored, writer->commit());
  return BatchInput{path.substr(path.rfind('/') + 1), stored.digest.hex(), static_cast<std::int64_t>(stored.size)};
}

class Inputs final : public table::BatchReader {
 public:
  using Open = std::function<Result<std::unique_ptr<table::BatchReader>>(const BatchInput&)>;
  Inputs(std::vector<BatchInput> inputs, Open open, std::unique_ptr<table::BatchReader> first)
      : inputs_(std::move(inputs)), open_(std::move(open)), schema_(first->schema()), reader_(std::move(first)) {}
  const table::Schema& schema() const override { return schema_; }

  Result<std::optional<table::Batch>> next() override {
    for (;;) {
      TRY(auto batch, reader_->next());
      if (batch || at_ + 1 == inputs_.size()) return std::move(batch);
      TRY(reader_, open_(inputs_[++at_]));
      if (reader_->schema() == schema_) continue;
      return fail(Code::invalid_argument, "loop.inputs_differ",
                  std::format("{} has not the columns of {}, in their order and with their types: {}; files of one "
                              "batch must agree",
                              inputs_[at_].name, inputs_[0].name, difference(reader_->schema())));
    }
  }

 private:
  std::string difference(const table::Schema& other) const {
    for (std::size_t i = 0; i < std::max(schema_.fields.size(), other.fields.size()); ++i) {
      const auto text = [&](const table::Schema& schema) {
        if (i >= schema.fields.size()) return std::string("nothing");
        return std::format("'{}' {}", schema.fields[i].name, table::type_name(schema.fields[i].type));
      };
      if (text(schema_) != text(other))
        return std::format("column {} is {} instead of {}", i + 1, text(other), text(schema_));
    }
    return "";
  }

  std::vector<BatchInput> inputs_;
  Open open_;
  table::Schema schema_;
  std::unique_ptr<table::BatchReader> reader_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<BatchInput>> take_inputs(const Task& task, blob::Store& blobs, const std::string& pattern) {
  TRY(const auto paths, matching(task.env.fs, pattern));
  std::vector<BatchInput> out;
  for (const auto& path : paths) {
    TRY(auto one, take(task, blobs, path));
    out.push_back(std::move(one));
    task.progress({.phase = "read", .done = -1, .step = static_cast<std::int64_t>(out.size())});
  }
  return out;
}

Result<std::unique_ptr<table::BatchReader>> open_inputs(blob::Store& blobs, const std::vector<BatchInput>& inputs,
                                                        const table::CsvOptions& options) {
  Inputs::Open open = [&blobs, options](const BatchInput& input) -> Result<std::unique_ptr<table::BatchReader>> {
    TRY(const auto digest, Digest::parse(input.digest));
    TRY(auto file, blobs.open(digest));
    return table::open_file(std::move(file), options);
  };
  TRY(auto first, open(inputs.at(0)));
  if (inputs.size() == 1) return std::move(first);
  return std::make_unique<Inputs>(inputs, std::move(open), std::move(first));
}

}  // namespace millrace::loop
