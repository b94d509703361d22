// How far a request to a model has come, for the predictor.
#pragma once

#include "net/http.hpp"
#include "serve/turn.hpp"

namespace millrace::api {

inline serve::Turn turn_of(const net::Request& request) {
  return {.may_wait = request.may_wait,
          .bytes = request.body.size(),
          .came = request.came,
          .place = &request.place,
          .lane = &request.lane};
}

}  // namespace millrace::api
