// The native API's part for predictors of other machines: the wish that they serve, what they report, and what people
// are told of them.
#pragma once

#include "api/native/wire.hpp"

namespace millrace::api {

struct WishVersion {
  std::int64_t number = 0;
  std::string artifact;  // digest; GET /api/v1/artifacts/{digest}
};
struct WishRelease {
  std::string id;
  WishVersion candidate;
  double weight = 0;
  bool shadow = false;
};
// What is to be on the predictor's disk before the version is loaded.
struct WishWatched {
  std::string release;
  std::int64_t version = 0;
  std::int64_t previous = 0;
  std::string from, until;
  std::int64_t requests = 0;
};
struct WishModel {
  std::string name;
  std::optional<WishVersion> current;
  std::optional<WishVersion> previous;
  bool refuse_unlogged = false;
  double log_share = 1;
  std::optional<WishRelease> release;
  bool probation = false;
  std::optional<WishWatched> watched;
};
// Two wishes of one server with the same number are the same; `digest` tells those of two servers apart.
struct Wish {
  std::int64_t number = 0;
  std::string digest;
  bool changed = false;           // false: it is the one that was known, and `models` is left out
  std::vector<WishModel> models;  // all that shall be served
};

struct PredictorVersion {
  std::int64_t version = 0;
  bool loaded = false;
  std::string error;
  std::int64_t asked = 0;  // requests since it was loaded, and
  std::int64_t broke = 0;  // how many of them it failed itself
};
struct PredictorModel {
  std::string name;
  std::optional<std::int64_t> serving;
  std::string error;
  std::vector<PredictorVersion> versions;
  std::int64_t requests = 0;
  std::int64_t rows = 0;
  std::int64_t not_logged = 0;
};
// An earlier process of the predictor ended by a signal while a version was new there.
struct PredictorDeath {
  std::string model;
  std::string release;
  std::int64_t signal = 0;
  std::string name;  // "SIGABRT"
  std::int64_t version = 0;
  std::string at;
  std::vector<ReleaseRequest> last_requests;  // newest first
};
struct PredictorReport {
  std::string name;
  std::string address;
  std::string grpc;
  std::string program;  // its version
  std::string process;  // another id for each process
  std::int64_t wish = 0;
  std::string wish_digest;
  bool ready = false;
  std::vector<PredictorModel> models;
  std::int64_t unshipped_bytes = 0;      // of the prediction log
  std::int64_t unshipped_bytes_max = 0;  // from there on no line is kept
  std::string trouble;                   // what it can't do at the moment
  std::optional<PredictorDeath> death;   // until a later release of the model begins
};

struct Predictor {
  std::string id;
  std::string name;
  std::string address;
  std::string grpc;
  std::string program;
  bool connected = false;  // heard of lately
  bool reached = false;    // it serves by the newest wish
  bool ready = false;
  std::int64_t wish = 0;
  std::vector<PredictorModel> models;
  std::int64_t unshipped_bytes = 0;
  std::int64_t unshipped_bytes_max = 0;
  std::string trouble;
  std::optional<PredictorDeath> death;
  std::string heard;  // when it last was
  double heard_seconds_ago = 0;
};
struct PredictorList {
  std::int64_t wish = 0;                 // the newest one
  std::vector<std::string> not_reached;  // names of those connected that do not serve by it yet
  std::vector<Predictor> predictors;     // by name
};

struct LogTaken {
  std::int64_t accepted = 0;  // the server has the segment up to here, durably
};

// Of a server that may be newer: unknown members are passed over.
Result<Wish> parse_wish(std::string_view text);

}  // namespace millrace::api
