// One server in this process: stores opened, modules wired, HTTP started, everything stopped in reverse order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "loop/project.hpp"
#include "net/tls.hpp"

namespace millrace::app {

struct ServerConfig {
  std::string version;
  std::string project_dir;
  std::string data_dir;
  std::string host = "127.0.0.1";
  int port = 7070;
  std::string grpc_host;  // empty: no gRPC
  int grpc_port = 0;
  net::TlsFiles tls;                 // not named: no TLS
  std::vector<std::string> hosts;    // names besides localhost by which browsers may call
  std::string access_log;            // which requests get a line in DATA_DIR/access.log
  std::vector<std::string> origins;  // of pages of other sites that may ask for predictions
  std::string otlp;                  // address of a collector for traces; empty: none
  double otlp_sample = 0.01;
  std::size_t queue_max = 64;        // see serve::Predictor::Config
  bool batching = false;             // requests wait for others, each on a thread
  std::string http_limits;           // as net::set_limits() reads them
  std::uint64_t files_open_max = 0;  // of this process; 0: not known
  int cores = 1;
  std::string master_key;  // its path; empty: nothing is sealed, and what is sealed can't be read
  bool serves = true;      // false: predictors of other machines answer
  bool worker = true;      // false: jobs wait for workers of other processes
  int died_of = 0;         // the signal by which an earlier server of this folder ended, where its parent saw that
};

class Server {
 public:
  // Opens the data folder; nothing runs yet. meta's refusals: `meta.folder_locked`, `meta.newer_format`, ...
  static Result<std::unique_ptr<Server>> open(const ServerConfig& config, Env& env);
  ~Server();

  // Takes the project file where it changed; what it causes is done once start() ran.
  Result<std::string> apply(const std::string& project_text, const std::string& profile);
  // A line about sealing: that it is on, or that there are sealed blobs without their master key; empty else.
  Result<std::string> sealing();
  // Listens, loads models, begins to work. The address is then also in DATA_DIR/address.
  Result<std::string> start();
  std::string certificate_warning() const;  // that it ends soon, or has; empty: nothing to say
  std::string grpc_address() const;         // "127.0.0.1:8001", also in DATA_DIR/grpc_address; empty without gRPC
  // Set by a shutdown request; the owner then calls stop().
  bool stop_asked() const;
  void stop(Duration patience);
  // One screen for `up`: what there is, what is under way, what changed since the last call; empty when nothing did.
  std::string news();
  bool settled();  // a version answers, or the first training ended without one

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::app
