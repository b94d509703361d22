#include "net/rights.hpp"

#include <algorithm>

#include "base/ids.hpp"
#include "base/nearest.hpp"
#include "base/rng.hpp"

namespace millrace::net {

std::string_view name_of(Right right) {
  switch (right) {
    case Right::admin:
      return "admin";
    case Right::predict:
      return "predict";
    case Right::metrics:
      return "metrics";
    case Right::predictor:
      return "predictor";
  }
  return "";
}

std::optional<Right> parse_right(std::string_view name) {
  const auto found = std::ranges::find(kRights, name, name_of);
  return found == kRights.end() ? std::nullopt : std::optional(*found);
}

std::vector<std::string> Rights::names() const {
  std::vector<std::string> out;
  for (const auto right : kRights) {
    if (has(right)) out.emplace_back(name_of(right));
  }
  return out;
}

Result<Rights> parse_rights(const std::vector<std::string>& names) {
  Rights out;
  const std::vector<std::string> known = Rights{Right::admin, Right::predict, Right::metrics, Right::predictor}.names();
  for (const auto& name : names) {
    const auto right = parse_right(name);
    if (!right) {
      const auto near = nearest(name, known);
      return fail(Code::invalid_argument, "net.bad_right",
                  "there is no right '" + name + "'; there are admin, predict, metrics and predictor" +
                      (near.empty() ? "" : "; did you mean '" + near + "'?"));
    }
    out.add(*right);
  }
  if (out.empty())
    return fail(Code::invalid_argument, "net.bad_right",
                "a token needs at least one right: admin, predict, metrics or predictor");
  return out;
}

bool suffices(Rights rights, Right needed) {
  return rights.has(needed) || (needed == Right::metrics && rights.has(Right::admin));
}

TokenTable::TokenTable(std::vector<NamedToken> tokens) : tokens_(std::move(tokens)) {
  std::ranges::sort(tokens_, {}, &NamedToken::digest);
}

const NamedToken* TokenTable::find(const Digest& digest) const {
  const auto found = std::ranges::lower_bound(tokens_, digest, {}, &NamedToken::digest);
  return found != tokens_.end() && found->digest == digest ? &*found : nullptr;
}

Result<void> LiveTokens::replace(const std::function<Result<std::vector<NamedToken>>()>& read) {
  std::lock_guard lock(mutex_);
  TRY(auto tokens, read());
  table_.store(std::make_shared<const TokenTable>(std::move(tokens)), std::memory_order_release);
  return {};
}

Secret make_token(Rng& rng) {
  Id id;
  std::string token = "mr_";
  for (int half = 0; half < 2; ++half) {
    for (std::size_t i = 0; i < id.bytes.size(); i += 8) {
      const auto bits = rng.next();
      for (int k = 0; k < 8; ++k) id.bytes[i + k] = static_cast<std::uint8_t>(bits >> (8 * k));
    }
    token += id.hex();
  }
  return Secret(token);
}

}  // namespace millrace::net
