#include "train/matrices_internal.hpp"

namespace millrace::train {
namespace {

using model::Matrix;
using model::XgboostPtr;

struct Block {
  std::vector<float> features;
  std::vector<float> labels;
};

struct Blocks {
  explicit Blocks(std::size_t width) : features_per_row(width) {}
  void add(const float* features, float label) {
    if (blocks.empty() || blocks.back().labels.size() == kRows) {
      blocks.emplace_back();
      // Reserved in full but for the first, which is all there is of a small data set.
      if (blocks.size() > 1) blocks.back().features.reserve(kRows * features_per_row);
    }
    Block& block = blocks.back();
    block.features.insert(block.features.end(), features, features + features_per_row);
    block.labels.push_back(label);
  }
  static constexpr std::size_t kRows = 65'536;
  std::size_t features_per_row;
  std::vector<Block> blocks;
};

// What XGBoost's callbacks get: hands one block after the other to the proxy matrix. Each pass of XGBoost begins with
// reset.
struct Feed {
  const XgboostPtr& library;
  const Blocks& source;
  DMatrixHandle proxy = nullptr;
  std::size_t at = 0;

  static int next(DataIterHandle self) {
    auto& feed = *static_cast<Feed*>(self);
    if (feed.at == feed.source.blocks.size()) return 0;
    const Block& block = feed.source.blocks[feed.at++];
    const std::size_t rows = block.labels.size();
    const std::string values = model::array_interface(block.features.data(), rows, feed.source.features_per_row);
    if (feed.library->XGProxyDMatrixSetDataDense(feed.proxy, values.c_str()) != 0) return 0;
    if (feed.library->XGDMatrixSetInfoFromInterface(feed.proxy, "label",
                                                    model::array_interface(block.labels.data(), rows).c_str()) != 0)
      return 0;
    return 1;
  }
  static void reset(DataIterHandle self) { static_cast<Feed*>(self)->at = 0; }
};

Result<Matrix> fill(const XgboostPtr& library, const Blocks& blocks, int nthread, int max_bin,
                    DMatrixHandle reference) {
  DMatrixHandle handle = nullptr;
  TRY_VOID(library->check(library->XGProxyDMatrixCreate(&handle), "making a matrix"));
  const Matrix proxy(library, handle);
  Feed feed{library, blocks, proxy.get()};
  const std::string config =
      R"({"missing":NaN,"nthread":)" + std::to_string(nthread) + R"(,"max_bin":)" + std::to_string(max_bin) + "}";
  DMatrixHandle out = nullptr;
  TRY_VOID(library->check(library->XGQuantileDMatrixCreateFromCallback(&feed, proxy.get(), reference, &Feed::reset,
                                                                       &Feed::next, config.c_str(), &out),
                          "filling a matrix"));
  return Matrix(library, out);
}

}  // namespace

Result<Matrices> build_matrices(const TrainInput& input, const Prepared& prepared, const model::Encoder& encoder,
                                int max_bin, const XgboostPtr& library, TrainingData& data, Task& task) {
  const auto width = static_cast<std::size_t>(encoder.features());
  Blocks train(width), validation(width);
  model::EncodeStats stats;
  std::vector<float> features;
  std::int64_t done = 0;
  TRY_VOID(data.rewind());
  const int target = data.schema().index_of(input.target);
  while (true) {
    TRY_VOID(check_cancelled(task));
    TRY(auto part, data.next());
    if (!part) break;
    features.clear();
    TRY_VOID(encoder.encode_batch(part->rows, features, stats));
    const table::Column labels = part->rows.column(target);
    for (std::int64_t row = 0; row < part->rows.rows(); ++row) {
      TRY(const auto label, prepared.target.label(labels, row));
      if (!label) continue;
      const bool held_out = part->validation[static_cast<std::size_t>(row)];
      (held_out ? validation : train).add(features.data() + static_cast<std::size_t>(row) * width, *label);
    }
    done += part->rows.rows();
    const auto total = static_cast<double>(prepared.rows + prepared.validation_rows + prepared.unlabelled_rows);
    report(task, {.phase = "encode", .done = static_cast<double>(done) / total, .step = done});
  }
  Matrices out;
  TRY(out.train, fill(library, train, input.nthread, max_bin, nullptr));
  train.blocks.clear();
  if (!validation.blocks.empty()) {
    TRY(out.validation, fill(library, validation, input.nthread, max_bin, out.train.get()));
  }
  return out;
}

}  // namespace millrace::train
