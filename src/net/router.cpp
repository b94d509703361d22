#include "net/router.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/nearest.hpp"

namespace millrace::net {

namespace {

// "/a/b/" -> "a", "b", "": a trailing slash is a segment of its own, so that it is not the same path.
std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> out;
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    auto slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }
bool is_rest(std::string_view segment) { return segment.ends_with("...}"); }
std::string_view parameter_name(std::string_view segment) {
  return segment.substr(1, segment.size() - (is_rest(segment) ? 5 : 2));
}

}  // namespace

struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::vector<const Route*> here;  // one per method
  std::vector<const Route*> rest;  // "{name...}" as the next segment, one per method

  static const Node* walk(const Node* node, std::span<const std::string_view> left, bool& takes_rest) {
    if (left.empty()) return node->here.empty() ? nullptr : node;
    if (auto literal = node->literals.find(left[0]); literal != node->literals.end())
      if (auto found = walk(literal->second.get(), left.subspan(1), takes_rest)) return found;
    if (node->parameter && !left[0].empty())
      if (auto found = walk(node->parameter.get(), left.subspan(1), takes_rest)) return found;
    if (!node->rest.empty() && !(left.size() == 1 && left[0].empty())) {
      takes_rest = true;
      return node;
    }
    return nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(Route route) {
  if (!route.pattern.starts_with('/')) broken("a pattern begins with '/': " + route.pattern);
  if (!route.options.access)
    route.access = route.method == "GET" ? Access::read : Access::write;
  else
    route.access = *route.options.access;
  route.number = routes_.size();
  routes_.push_back(std::make_unique<Route>(std::move(route)));
  const Route* kept = routes_.back().get();
  Node* node = root_.get();
  auto parts = segments(kept->pattern);
  std::vector<const Route*>* place = nullptr;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto part = parts[i];
    if (!is_parameter(part)) {
      auto& next = node->literals[std::string(part)];
      if (!next) next = std::make_unique<Node>();
      node = next.get();
    } else if (!part.ends_with('}') || parameter_name(part).empty()) {
      broken("a parameter is written {name}: " + kept->pattern);
    } else if (is_rest(part)) {
      if (i + 1 != parts.size()) broken("{name...} is the last part: " + kept->pattern);
      place = &node->rest;
    } else {
      if (!node->parameter) node->parameter = std::make_unique<Node>();
      node = node->parameter.get();
    }
  }
  if (!place) place = &node->here;
  for (auto other : *place)
    if (other->method == kept->method)
      broken("two routes for " + kept->method + " " + kept->pattern + " and " + other->pattern);
  place->push_back(kept);
}

std::variant<const Route*, Router::NotFound, Router::WrongMethod> Router::find(Request& request) const {
  auto parts = segments(request.path);
  bool takes_rest = false;
  const Node* node = request.path.starts_with('/') ? Node::walk(root_.get(), parts, takes_rest) : nullptr;
  if (!node) return NotFound{nearest_pattern(request.path, routes())};
  const auto& candidates = takes_rest ? node->rest : node->here;
  std::string_view method = request.method == "HEAD" ? "GET" : request.method;
  for (const Route* route : candidates) {
    if (route->method != method) continue;
    request.path_parameters.clear();
    auto pattern = segments(route->pattern);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!is_parameter(pattern[i])) continue;
      auto value = is_rest(pattern[i])
                       ? request.path.substr(static_cast<std::size_t>(parts[i].data() - request.path.data()))
                       : parts[i];
      request.path_parameters.emplace_back(parameter_name(pattern[i]), percent_decode(value));
    }
    return route;
  }
  WrongMethod wrong;
  for (const Route* route : candidates) {
    if (!wrong.allow.empty()) wrong.allow += ", ";
    wrong.allow += route->method == "GET" ? "GET, HEAD" : route->method;
  }
  return wrong;
}

std::vector<const Route*> Router::routes() const {
  std::vector<const Route*> out;
  for (const auto& route : routes_) out.push_back(route.get());
  return out;
}

std::string nearest_pattern(std::string_view path, const std::vector<const Route*>& routes) {
  constexpr std::size_t path_max = 256;  // a hint is not worth more
  if (path.size() > path_max) return {};
  auto parts = segments(path);
  std::size_t best = 4;  // farther than this is no likeness
  std::string nearest;
  for (const Route* route : routes) {
    auto pattern = segments(route->pattern);
    std::size_t cost = 0;
    for (std::size_t i = 0; i < std::max(parts.size(), pattern.size()) && cost < best; ++i) {
      if (i < pattern.size() && is_rest(pattern[i])) break;
      if (i >= parts.size())
        cost += is_parameter(pattern[i]) ? 2 : 1 + pattern[i].size();
      else if (i >= pattern.size())
        cost += parts[i].empty() ? 1 : 3;
      else if (!is_parameter(pattern[i]))
        cost += edit_distance(parts[i], pattern[i]);
    }
    if (cost < best) {
      best = cost;
      nearest = route->pattern;
    }
  }
  return nearest;
}

}  // namespace millrace::net
