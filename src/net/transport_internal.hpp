// The HTTP library's side of the server (Drogon). No Drogon header here: another library would be another .cpp file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/address_internal.hpp"
#include "net/core_internal.hpp"

namespace millrace::net {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual void stop_listening() = 0;  // at once; connections stay
  // Closes each connection once what it has to send is sent. Returns when none is left, or when for a second nothing
  // moved, or after time_max, or once `hurried` says so.
  virtual void flush(Duration time_max, const std::function<bool()>& hurried) = 0;
  virtual void quit() = 0;  // cuts what is left; no handler starts after it returns
};

// Returns once the port accepts connections. `core` outlives the transport.
Result<std::unique_ptr<Transport>> start_drogon(std::shared_ptr<Core> core, Reservation reservation);

}  // namespace millrace::net
