// `millrace demo digits`: the whole loop on real data, checked at every turn. Exit status 0 only when all of it held.
#pragma once

#include "base/env.hpp"
#include "base/result.hpp"
#include "cli/cli.hpp"

namespace millrace::app {

Result<cli::Output> demo_digits(const cli::DemoOptions& options, Env& env);

}  // namespace millrace::app
