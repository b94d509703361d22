// Trees of XGBoost by our own runtime, next to XGBoost's C API, on three models made here: the same rows, one thread,
// the engines in turn in each round, the median of the rounds. Every answer is compared too. Prints JSON.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <format>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>

#include "base/log.hpp"
#include "base/rng.hpp"
#include "model/loaded.hpp"
#include "model/xgboost_library.hpp"
#include "must.hpp"

namespace {

using namespace millrace;

struct Shape {
  const char* name;
  const char* text;
  int rounds, depth, classes;
  std::size_t features;
};
constexpr Shape kShapes[] = {{"a", "100 trees of depth 6, 30 features", 100, 6, 0, 30},
                             {"b", "500 trees of depth 8, 100 features", 500, 8, 0, 100},
                             {"c", "1,000 trees of depth 6, 10 classes, 64 features", 100, 6, 10, 64}};
constexpr std::size_t kTrainRows = 8'000, kRows = 1'000;

std::vector<float> rows_of(const Shape& shape, std::size_t rows, std::uint64_t seed, bool missing) {
  SeededRng rng(seed);
  std::vector<float> out(rows * shape.features);
  for (float& value : out) {
    value =
        missing && rng.below(20) == 0 ? std::nanf("") : static_cast<float>(rng.unit() + rng.unit() + rng.unit() - 1.5);
  }
  return out;
}

std::string train(const Shape& shape) {
  const auto library = must(model::XgboostLibrary::open(""));
  const auto features = rows_of(shape, kTrainRows, 1, true);
  std::vector<float> target(kTrainRows);
  SeededRng rng(2);
  for (std::size_t i = 0; i < kTrainRows; ++i) {
    float signal = static_cast<float>(rng.unit());
    for (std::size_t f = 0; f < shape.features; ++f) {
      const float value = features[i * shape.features + f];
      if (value == value) signal += std::sin(value * static_cast<float>(1 + f % 5));
    }
    target[i] = shape.classes > 0 ? std::floor(std::fabs(std::fmod(signal * 3, static_cast<float>(shape.classes))))
                                  : (signal > 0 ? 1.0f : 0.0f);
  }
  auto matrix = must(model::Matrix::dense(library, features, kTrainRows, 2));
  const std::string labels = model::array_interface(target.data(), target.size());
  must(library->check(library->XGDMatrixSetInfoFromInterface(matrix.get(), "label", labels.c_str()), "labels"));
  const DMatrixHandle cached[] = {matrix.get()};
  auto booster = must(model::Booster::create(library, cached));
  std::map<std::string, std::string> parameters = {
      {"nthread", "2"},
      {"verbosity", "0"},
      {"tree_method", "hist"},
      {"max_depth", std::to_string(shape.depth)},
      {"max_bin", "64"},
      {"min_child_weight", "0"},
      {"objective", shape.classes > 0 ? "multi:softprob" : "binary:logistic"}};
  if (shape.classes > 0) parameters["num_class"] = std::to_string(shape.classes);
  for (const auto& [name, value] : parameters) must(booster.set(name, value));
  for (int round = 0; round < shape.rounds; ++round)
    must(library->check(library->XGBoosterUpdateOneIter(booster.get(), round, matrix.get()), "training"));
  return must(booster.save_ubj());
}

model::Manifest manifest_of(const Shape& shape) {
  model::Manifest manifest{.name = "bench",
                           .task = shape.classes > 0 ? model::TaskType::multiclass : model::TaskType::binary,
                           .target = "y"};
  manifest.engine = {.name = "xgboost", .file = "model.ubj"};
  for (int i = 0; i < std::max(2, shape.classes); ++i) manifest.classes.push_back("c" + std::to_string(i));
  for (std::size_t f = 0; f < shape.features; ++f)
    manifest.inputs.push_back(
        {.name = "x" + std::to_string(f), .type = table::Type::float64, .encoding = model::Encoding::number});
  return manifest;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double seconds_of(auto&& call) {
  const auto began = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: trees FOLDER\n";
    return 64;
  }
  must(model::XgboostLibrary::open(""));  // once for the process, so not part of a model's load
  std::cout << "[";
  int first = 0;
  for (const Shape& shape : kShapes) {
    const std::string path = std::format("{}/trees-{}.ubj", argv[1], shape.name);
    if (!std::ifstream(path)) std::ofstream(path, std::ios::binary) << train(shape);
    std::ifstream saved(path, std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(saved), {}};
    const auto manifest = manifest_of(shape);
    std::unique_ptr<model::Runtime> ours, engine;
    const double load_ours = seconds_of([&] { ours = must(model::open_runtime(manifest, file, {.explains = false})); });
    const double load_engine =
        seconds_of([&] { engine = must(model::open_runtime(manifest, file, {.own_trees = false})); });
    if (!ours->own_trees()) {
      std::cerr << "the trees were refused\n";
      return 1;
    }
    // Missing values send XGBoost another way, so both are measured.
    for (const bool missing : {false, true}) {
      const auto features = rows_of(shape, kRows, 3, missing);
      const std::span<const float> all(features);
      std::vector<float> out, expected;
      std::size_t different = 0;
      must(engine->predict(all, kRows, expected));
      must(ours->predict(all, kRows, out));
      for (std::size_t i = 0; i < out.size(); ++i)
        different += std::bit_cast<std::uint32_t>(out[i]) != std::bit_cast<std::uint32_t>(expected[i]) ? 1 : 0;

      // Another row each time, as requests are; fewer of them through XGBoost, which needs so much longer.
      const auto one_by_one = [&](const model::Runtime& runtime, std::size_t count, std::size_t start) {
        return seconds_of([&] {
                 for (std::size_t i = 0; i < count; ++i)
                   must(runtime.predict(all.subspan((start + i) % kRows * shape.features, shape.features), 1, out));
               }) /
               static_cast<double>(count) * 1e9;
      };
      const auto together = [&](const model::Runtime& runtime) {
        return seconds_of([&] { must(runtime.predict(all, kRows, out)); }) / kRows * 1e9;
      };
      std::vector<double> times[4];
      for (std::size_t round = 0; round < 20; ++round) {
        times[0].push_back(one_by_one(*ours, 300, round * 31));
        times[1].push_back(one_by_one(*engine, 10, round * 31));
        times[2].push_back(together(*ours));
        times[3].push_back(together(*engine));
      }
      std::cout
          << (first++ == 0 ? "" : ",")
          << std::format(
                 R"({{"name":"{}","text":"{}","missing":{},"one":{:.0f},"one_engine":{:.0f},"batch":{:.1f},"batch_engine":{:.1f},"answers":{},"different":{},"load_ms":{:.1f},"load_engine_ms":{:.1f},"file_kb":{}}})",
                 shape.name, shape.text, missing, median(times[0]), median(times[1]), median(times[2]),
                 median(times[3]), expected.size(), different, load_ours * 1e3, load_engine * 1e3, file.size() / 1024);
    }
  }
  std::cout << "]\n";
}
