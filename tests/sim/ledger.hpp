// What a correct system must remember, as facts: short texts that can be read back from it. One ledger per promise.
//
//   acknowledged   must be there, once, from now on
//   unknown        may be there; once it was seen it must stay, once it was missed it must not come
//   refused        must not be there
//   released       may go (retention); once it was missed it must not come back
#pragma once

#include <map>
#include <string>
#include <vector>

namespace millrace::simulator {

class Ledger {
 public:
  explicit Ledger(std::string promise) : promise_(std::move(promise)) {}

  void acknowledged(const std::string& fact) { facts_[fact] = State::must; }
  // All of them or none.
  void unknown(std::vector<std::string> together);
  void refused(const std::string& fact);
  void released(const std::string& fact);
  bool expects(const std::string& fact) const;
  std::size_t size() const { return facts_.size(); }

  // What there is now. The answer is the first thing that is wrong, or "". Unknown ones are known afterwards: ask only
  // where nothing that failed can still come (after a later commit, or after opening anew).
  std::string compare(const std::vector<std::string>& seen);

  // How unknown ones ended, so far.
  unsigned stayed = 0, went = 0;

 private:
  enum class State { must, may, never, leaving };
  std::string promise_;
  std::map<std::string, State> facts_;
  std::vector<std::vector<std::string>> open_;
};

}  // namespace millrace::simulator
