// Finds the handler of a method and a path. Pure: no clock, lock or I/O inside. Filled before the server starts, then
// only read, from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/http.hpp"
#include "net/rights.hpp"

namespace millrace::net {

// `open`: answered to anybody, also without a token (health). `read` and `write` as net/auth.hpp says.
enum class Access { open, read, write };

struct RouteOptions {
  std::uint64_t body_bytes_max = 16u << 20;
  std::optional<Access> access;                       // by default GET reads, everything else writes
  Right right = Right::admin;                         // that a token needs (net/rights.hpp)
  std::string content_type = "application/x-ndjson";  // of a follow route
  bool cross_origin = false;  // a page of another site may call it where Config.origins allows the site
  // Of a fast route: an error of this reason means that the handler would have to wait. It is called again on the
  // computing pool, with Request::may_wait; where that is full the answer is 503.
  std::string_view pool_on;
  bool inflate = false;  // a body that says gzip or deflate is handed on inflated, held to body_bytes_max then too
  Duration poll = std::chrono::milliseconds(200);  // of a follow route: how often next() is asked
};

struct Route {
  enum class Kind { fast, pooled, upload, follow };
  Kind kind = Kind::fast;
  std::string method;
  std::string pattern;
  Handler handler;
  UploadHandler upload;
  FollowHandler follow;
  RouteOptions options;
  Access access = Access::write;
  std::size_t number = 0;  // set by add(): 0, 1, 2, ...
};

// Patterns: "/predict/{model}", "/api/v1/models/{name}/versions/{version}", and "/files/{path...}" whose last parameter
// takes the rest of the path, slashes included (not empty). A literal wins over a parameter, a parameter over a rest.
class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // Aborts when the pattern is malformed or taken: that is a defect of ours, found by the first test.
  void add(Route route);

  struct NotFound {
    std::string nearest;  // a pattern like the path, or ""
  };
  struct WrongMethod {
    std::string allow;  // "GET, HEAD, POST"
  };
  // Fills request.path_parameters and returns the route. HEAD finds GET's route.
  std::variant<const Route*, NotFound, WrongMethod> find(Request& request) const;

  std::vector<const Route*> routes() const;  // in the order of add()

 private:
  struct Node;
  std::unique_ptr<Node> root_;
  std::vector<std::unique_ptr<Route>> routes_;
};

// The pattern most like `path`, for a hint; "" when none is near.
std::string nearest_pattern(std::string_view path, const std::vector<const Route*>& routes);

}  // namespace millrace::net
