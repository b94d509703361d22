// The flat form of proven trees as bytes: as they lie in memory, for the same build of the program on the same kind of
// processor only. flat_cache.hpp sees to that, and to damage.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/runtime.hpp"
#include "model/trees_engine_internal.hpp"

namespace millrace::model {

struct FlatTrees {
  OutputKind kind = OutputKind::margin;
  std::string version, build;  // of the engine that they were proven against
  TreesForm form;
};

std::string write_flat(const FlatTrees& trees);
// Nothing where the bytes end too early or late, or a number in them leads outside.
std::optional<FlatTrees> read_flat(std::string_view text);

}  // namespace millrace::model
