#include "sim/ledger.hpp"

#include <set>

namespace millrace::simulator {

void Ledger::unknown(std::vector<std::string> together) {
  std::erase_if(together, [this](const std::string& fact) {
    const auto known = facts_.find(fact);
    return known != facts_.end() && (known->second == State::must || known->second == State::leaving);
  });
  for (const auto& fact : together) facts_[fact] = State::may;
  if (!together.empty()) open_.push_back(std::move(together));
}

void Ledger::refused(const std::string& fact) { facts_.try_emplace(fact, State::never); }

void Ledger::released(const std::string& fact) {
  const auto known = facts_.find(fact);
  if (known != facts_.end() && known->second == State::must) known->second = State::leaving;
}

bool Ledger::expects(const std::string& fact) const {
  const auto known = facts_.find(fact);
  return known != facts_.end() && known->second == State::must;
}

std::string Ledger::compare(const std::vector<std::string>& seen) {
  std::set<std::string> there;
  for (const auto& fact : seen) {
    if (!there.insert(fact).second) return promise_ + ": there twice: " + fact;
    const auto known = facts_.find(fact);
    if (known == facts_.end()) return promise_ + ": nobody asked for it, and it is there: " + fact;
    if (known->second == State::never) return promise_ + ": refused or gone, and it is there: " + fact;
  }
  for (const auto& group : open_) {
    std::size_t count = 0;
    for (const auto& fact : group) count += there.contains(fact);
    if (count != 0 && count != group.size())
      return promise_ + ": " + std::to_string(count) + " of " + std::to_string(group.size()) +
             " that belong together are there, the first is " + group.front();
    ++(count == 0 ? went : stayed);
  }
  open_.clear();
  for (auto& [fact, state] : facts_) {
    const bool seen_now = there.contains(fact);
    if (state == State::must && !seen_now) return promise_ + ": acknowledged, and it is gone: " + fact;
    if (state == State::may) state = seen_now ? State::must : State::never;
    if (state == State::leaving && !seen_now) state = State::never;
  }
  return {};
}

}  // namespace millrace::simulator
