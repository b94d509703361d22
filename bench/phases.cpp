// What a prediction of one row spends its time on, next to the bare XGBoost call on the same model. Prints JSON:
// microseconds per call, the median of many rounds; all in one thread, one after the other in each round.
// usage: phases ARTIFACT ROW.json FOLDER
#include <xgboost/c_api.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <format>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "model/artifact.hpp"
#include "model/loaded.hpp"
#include "must.hpp"
#include "serve/answer_internal.hpp"
#include "serve/prediction_log.hpp"

namespace {

using namespace millrace;

std::string read_all(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One row after the other through XGBoost's in-place prediction, its configuration text made once: nothing of ours.
class BareXgboost {
 public:
  BareXgboost(std::string_view file, std::span<const float> features) {
    check(XGBoosterCreate(nullptr, 0, &booster_));
    check(XGBoosterSetParam(booster_, "nthread", "1"));
    check(XGBoosterLoadModelFromBuffer(booster_, file.data(), file.size()));
    interface_ = std::format(R"({{"data":[{},false],"shape":[1,{}],"typestr":"<f4","version":3}})",
                             reinterpret_cast<std::uintptr_t>(features.data()), features.size());
  }
  ~BareXgboost() { XGBoosterFree(booster_); }
  BareXgboost(const BareXgboost&) = delete;
  float predict() {
    const bst_ulong* shape = nullptr;
    bst_ulong dimensions = 0;
    const float* out = nullptr;
    check(XGBoosterPredictFromDense(booster_, interface_.c_str(), config, nullptr, &shape, &dimensions, &out));
    return out[0];
  }

 private:
  static constexpr auto config =
      R"({"type":1,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true,"missing":NaN})";
  static void check(int status) {
    if (status == 0) return;
    std::cerr << XGBGetLastError() << "\n";
    std::exit(1);
  }
  BoosterHandle booster_ = nullptr;
  std::string interface_;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: phases ARTIFACT ROW.json FOLDER\n";
    return 64;
  }
  RealFs fs;
  SystemClock clock;
  SystemRng rng;
  auto faults = must(Faults::parse(""));
  auto quiet = must(open_log({}, clock));
  Env env{fs, clock, rng, *faults, *quiet};
  const auto artifact_bytes = read_all(argv[1]);
  const auto row = read_all(argv[2]);
  const auto artifact = must(model::read_artifact(artifact_bytes));
  const auto loaded = must(model::LoadedModel::load(artifact_bytes));
  const auto& manifest = loaded->manifest();
  auto log = must(serve::PredictionLog::open({argv[3]}, env));
  serve::LogSchema schema{"bench", 1, {}, manifest.classes};
  for (const auto& input : manifest.inputs) schema.inputs.push_back({input.name, input.type});
  const auto handle = log->schema(schema);
  IdMaker ids(clock, rng);

  std::vector<float> features(static_cast<std::size_t>(loaded->encoder().features()));
  std::vector<float> outputs;
  model::EncodeStats stats;
  auto parsed = must(loaded->parser().parse_json(row));
  must(loaded->encoder().encode_row(parsed.rows[0], features.data(), stats));
  BareXgboost bare(artifact.engine_file, features);

  enum Phase { parse, encode, engine, answer, append, render, bare_call, phases };
  constexpr std::array names = {"parse", "encode", "engine", "answer", "log", "render", "bare xgboost"};
  std::array<std::vector<double>, phases> times;
  constexpr int rounds = 200, calls = 50;
  for (int round = 0; round < rounds; ++round) {
    auto timed = [&](Phase phase, auto&& call) {
      const auto began = std::chrono::steady_clock::now();
      for (int i = 0; i < calls; ++i) call();
      const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - began;
      times[phase].push_back(took.count() / calls);
    };
    timed(parse, [&] { parsed = must(loaded->parser().parse_json(row)); });
    timed(encode, [&] { must(loaded->encoder().encode_row(parsed.rows[0], features.data(), stats)); });
    timed(engine, [&] { must(loaded->runtime().predict(features, 1, outputs)); });
    std::vector<model::Answer> answers;
    timed(answer, [&] { answers = must(loaded->predict(parsed.rows, stats)); });  // encode and engine again; taken off
    std::vector<Id> made(1);
    timed(append, [&] {
      made[0] = ids.make();
      const auto score = static_cast<float>(answers[0].score);
      must(log->append(handle, made[0], clock.now(), "", {&score, 1}, answers[0].decision, parsed.rows[0]));
    });
    timed(render, [&] { (void)serve::render_answer(manifest, answers, made, {}, true, "bench:1", 0.1); });
    timed(bare_call, [&] { (void)bare.predict(); });
  }
  std::cout << "{";
  for (int phase = 0; phase < phases; ++phase) {
    auto value = median(times[static_cast<std::size_t>(phase)]);
    if (phase == answer) value = std::max(0.0, value - median(times[encode]) - median(times[engine]));
    std::cout << std::format("{}\"{}\":{:.3f}", phase ? "," : "", names[static_cast<std::size_t>(phase)], value);
  }
  std::cout << "}\n";
  return 0;
}
