// The commands that need no server, or are one.
#pragma once

#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "cli/cli.hpp"

namespace millrace::app {

Result<cli::Output> up(const cli::UpOptions& options, const std::string& version, Env& env);
Result<cli::Output> init(const cli::InitOptions& options, Env& env);
Result<cli::Output> schema();
Result<cli::Output> explain(const std::string& project_file, bool loop, bool json, Env& env);
// Serves a folder of model files until it is interrupted.
Result<cli::Output> predictor(const cli::PredictorOptions& options, const std::string& version, Env& env);
// Serves what a server on another machine wants to be served, until it is interrupted.
Result<cli::Output> fleet_predictor(const cli::PredictorOptions& options, const std::string& version, Env& env);
Result<cli::Output> worker(const cli::WorkerOptions& options, Env& env);
// With `options.chaos` the kills, which need the program's version; else the look, and mending.
Result<cli::Output> doctor(const cli::DoctorOptions& options, const std::string& version, Env& env);
Result<cli::Output> make_backup(const cli::BackupOptions& options, const std::string& version, Env& env);
Result<cli::Output> restore(const cli::RestoreOptions& options, Env& env);
// Starts this program without `--restart` again and again while it is killed; ends as it ended otherwise. POSIX
// processes, no threads before.
Result<cli::Output> supervise(int argc, char** argv);

// A folder's name below $TMPDIR that nobody else uses; it is not made.
std::string temp_folder(Env& env);
// From the root on, links followed; `path` itself where nothing is there.
std::string absolute(const std::string& path);

// Set by SIGINT and SIGTERM; the second SIGINT ends the process at once.
bool interrupted();
void catch_signals();
class Wakeup;
void wake_at_signals(Wakeup* wakeup);  // from now on; nullptr: none
void next_signal_ends();               // for a stop that began otherwise: the first signal then counts as the second

}  // namespace millrace::app
