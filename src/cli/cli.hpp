// The command line: reads arguments, runs the command, prints. Commands that need no server are handed in by app.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "cli/commands.hpp"

namespace millrace::cli {

struct UpOptions {
  std::vector<std::string> files;  // none: the project file of the folder
  std::string target;
  std::string project_file = "millrace.toml";
  std::string profile;
  std::string listen;
  std::string grpc;
  std::string data_dir;
  bool ephemeral = false;
  bool open = false;
  bool serves = true;      // false: predictors of other machines answer
  bool no_worker = false;  // jobs wait for workers of other processes
  bool restart = false;    // start again when it is killed
};
struct PredictorOptions {
  std::string models;  // a folder; or
  std::string admin;   // URL of the server whose models are served
  std::string ca;      // file of authorities that may vouch for that server; "" the system's
  std::string http = "127.0.0.1:8000";
  std::string grpc;
  std::string poll = "1s";
  std::string memory;
  std::vector<std::string> pins;
  int queue = 64;
  int concurrency = 0;                  // 0: as many as there are processors
  std::vector<std::string> priorities;  // "NAME=high"
  int batch_rows = 0;                   // 0: no batching
  std::string batch_delay = "2ms";
  std::string cache;
  std::string token_file;
  std::string tls_certificate;
  std::string tls_key;
  std::string xgboost;      // path of another build of the library
  std::string onnxruntime;  // the same
  std::string log;
  std::string otlp;  // address of a collector; "": no traces
  double otlp_sample = 0.01;
  bool allow_upload = false;
  std::string data_dir = ".millrace-predictor";  // of an admin's predictor, as are the next
  std::string name;
  std::string unshipped_max = "1GB";
  bool restart = false;
};
struct WorkerOptions {
  std::string server;
  std::string data_dir;
  std::string name;
  std::string ca;
};
struct InitOptions {
  std::string file;
  std::string target;
  std::string project_file = "millrace.toml";
  bool force = false;
  bool json = false;
};
struct DemoOptions {
  std::string name;
  std::string data;
  std::uint64_t seed = 1;
  double rate = 25;  // images a second
  bool keep = false;
};
using Tell = std::function<void(const std::string& line)>;  // how far it is

struct DoctorOptions {
  std::string data_dir = ".millrace";
  std::string from;                  // a backup folder; "" the one that the last backup went to
  std::vector<std::string> give_up;  // digests of blobs
  bool mend = false;
  bool kinds = false;
  bool json = false;
  std::string chaos;       // for so long; "" no chaos
  std::uint64_t seed = 0;  // of the chaos; 0: any
  Tell tell;
};

struct BackupOptions {
  std::string folder;
  std::string data_dir = ".millrace";
  int keep = 0;
  bool list = false;
  bool json = false;
  Tell tell;
};
struct RestoreOptions {
  std::string folder;
  std::string id;
  std::string data_dir = ".millrace";
  std::string project_file = "millrace.toml";
  std::string keys;
  bool json = false;
  Tell tell;
};

// What needs no server. Each returns what to print, or prints by itself and returns an empty text.
struct LocalCommands {
  std::function<Result<Output>(const UpOptions&)> up;
  std::function<Result<Output>(const InitOptions&)> init;
  std::function<Result<Output>(const std::string& project_file, bool json)> schema;
  std::function<Result<Output>(const std::string& project_file, bool loop, bool json)> explain;
  std::function<Result<Output>(const DoctorOptions&)> doctor;
  std::function<Result<Output>(const DemoOptions&)> demo;
  std::function<Result<Output>(const BackupOptions&)> backup;
  std::function<Result<Output>(const RestoreOptions&)> restore;
  std::function<Result<Output>(const WorkerOptions&)> worker;
  std::function<Result<Output>(const PredictorOptions&)> predictor;
  std::function<Result<Output>()> faults;
};

struct Terminal {
  std::function<void(const std::string&)> out;  // standard output
  std::function<void(const std::string&)> err;  // standard error
  std::function<std::optional<std::string>(const char*)> environment;
  std::function<Result<std::string>(const std::string& path)> read_input;  // a file, or standard input for "-"
  std::function<bool()> pause;                                             // between two looks; false: interrupted
  std::function<bool()> interrupted;  // Ctrl-C was pressed; from now on it is caught
  std::function<int()> columns;       // how wide standard output's terminal is; 0: it is none
  bool progress_in_place = false;     // a terminal: one line rewritten; else plain lines
  std::string folder;                 // current one
};

// The process's exit status.
int run(int argc, char** argv, const std::string& version, Env& env, const LocalCommands& local,
        const Terminal& terminal);

}  // namespace millrace::cli
