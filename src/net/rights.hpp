// What a token may do, and which tokens there are at the moment.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"
#include "base/env.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace millrace::net {

// `predict`: asks models. `metrics`: reads /metrics. `predictor`: a predict server that joins. `admin`: all else.
enum class Right : std::uint8_t { admin, predict, metrics, predictor };
inline constexpr std::array kRights = {Right::admin, Right::predict, Right::metrics, Right::predictor};

std::string_view name_of(Right right);
std::optional<Right> parse_right(std::string_view name);

class Rights {
 public:
  constexpr Rights() = default;
  constexpr Rights(std::initializer_list<Right> rights) {
    for (const auto right : rights) add(right);
  }
  constexpr void add(Right right) { bits_ |= bit(right); }
  constexpr bool has(Right right) const { return (bits_ & bit(right)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  std::vector<std::string> names() const;
  constexpr bool operator==(const Rights&) const = default;

 private:
  static constexpr std::uint8_t bit(Right right) {
    return static_cast<std::uint8_t>(1u << static_cast<unsigned>(right));
  }
  std::uint8_t bits_ = 0;
};

// invalid_argument `net.bad_right`: none, or one that does not exist.
Result<Rights> parse_rights(const std::vector<std::string>& names);

// Whether who has `rights` may call what needs `needed`. Pure. Who may do everything else may read the metrics too.
bool suffices(Rights rights, Right needed);

struct NamedToken {
  Digest digest;  // SHA-256 of the token: the token itself is known to who holds it alone
  std::string name;
  Rights rights;
};

// Never changes once made.
class TokenTable {
 public:
  TokenTable() = default;
  explicit TokenTable(std::vector<NamedToken> tokens);
  // By digest: how long it takes says nothing about a token, since nobody can choose how one's digest begins.
  const NamedToken* find(const Digest& digest) const;

 private:
  std::vector<NamedToken> tokens_;  // by digest
};

// The table of the moment. Thread-safe; a reader takes no lock and sees one whole table.
class LiveTokens {
 public:
  std::shared_ptr<const TokenTable> now() const { return table_.load(std::memory_order_acquire); }
  // One change at a time: `read` gives what is true now, so that of two changes none is lost.
  Result<void> replace(const std::function<Result<std::vector<NamedToken>>()>& read);

 private:
  std::mutex mutex_;
  std::atomic<std::shared_ptr<const TokenTable>> table_{std::make_shared<const TokenTable>()};
};

// "mr_" and 256 random bits as hexadecimal digits.
Secret make_token(Rng& rng);

}  // namespace millrace::net
