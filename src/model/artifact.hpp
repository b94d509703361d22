// The model artifact: one ZIP archive, entries stored, times fixed: the same manifest and engine file give the same
// bytes.
//   manifest.json   see manifest.hpp
//   model.*         the engine's own file, named by Manifest::engine.file (model.ubj, model.json, model.onnx, ...)
// It holds no training rows. What it does hold of the data: the category tables (values that occur in several rows, see
// fit.hpp), class names, and the engine's split points. Format page: docs/formats/artifact.md.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/manifest.hpp"

namespace millrace::model {

// Fills in engine.digest and engine.bytes. invalid_argument `model.bad_artifact` when the manifest contradicts itself.
Result<std::string> write_artifact(Manifest manifest, std::string_view engine_file);

struct Artifact {
  Manifest manifest;
  std::string_view engine_file;  // points into the bytes given to read_artifact
};

// Checks all of it: structure, checksums, manifest, digest of the engine file. data_loss or invalid_argument
// `model.bad_artifact`, failed_precondition `model.newer_format`. Never aborts, whatever the bytes are.
Result<Artifact> read_artifact(std::string_view bytes);

}  // namespace millrace::model
