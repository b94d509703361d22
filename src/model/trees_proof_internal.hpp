// Proof that the flat form of a model's trees answers as their engine does.
#pragma once

#include <memory>
#include <vector>

#include "model/trees_engine_internal.hpp"

namespace millrace::model {

// Made-up rows that ask for what could be wrong: thresholds, their neighbours, values that lead to nodes however deep,
// missing values, infinities, denormal numbers, categories known and not. The same forest and seed give the same rows.
std::vector<float> proof_rows(const Forest& forest, std::size_t rows, std::uint64_t seed);

// Both answer proof_rows, as many as keep the engine busy for a few milliseconds (64 to 8,192), alone and in blocks. Of
// a model of few splits (up to about 32,000 / trees) each is asked at its threshold, just below, and without its value;
// of a larger one a share. failed_precondition `model.trees_differ` with the first row where a bit differs; else the
// engine's own errors.
Result<void> prove_trees(const Forest& forest, const TreesEngine& trees, const Runtime& engine);

// The runtime to serve with: our own trees if they can be read from `ubj` and are proven against `engine`, else
// `engine` as it is, and one line `model_trees_refused` in `options.log` says why.
std::unique_ptr<Runtime> with_own_trees(std::unique_ptr<Runtime> engine, std::string_view ubj,
                                        const RuntimeOptions& options);
// Of a runtime that serves by our own trees: all of it as bytes, for this build of the program only. "" for others.
std::string flat_of(const Runtime& runtime);
// Back again; nothing where the bytes are no such thing.
std::unique_ptr<Runtime> runtime_of_flat(std::string_view flat, std::size_t features, std::size_t outputs);

// `engine` as it is, with that line.
std::unique_ptr<Runtime> engine_after_all(std::unique_ptr<Runtime> engine, const Error& error,
                                          const RuntimeOptions& options);
// The second half of that: with a forest that was read, so that a test may hand in another one.
std::unique_ptr<Runtime> with_own_trees(std::unique_ptr<Runtime> engine, const Forest& forest,
                                        const RuntimeOptions& options);

}  // namespace millrace::model
