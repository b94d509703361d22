// Shared by the JSON and the CSV reader: errors of one form.
#pragma once

#include "model/rows.hpp"

namespace millrace::model {

class Complaint {
 public:
  explicit Complaint(Problem* problem) : problem_(problem) {}
  std::unexpected<Error> operator()(std::string_view reason, std::string path, std::string expected, std::string got,
                                    Code code = Code::invalid_argument) const {
    std::string message = (path.empty() ? std::string() : path + ": ") + "expected " + expected + ", got " + got;
    if (problem_) *problem_ = {std::move(path), std::move(expected), std::move(got)};
    return fail(code, reason, std::move(message));
  }

 private:
  Problem* problem_;
};

// At most 40 bytes of `text`, cut between characters, on one line, in quotes.
std::string quoted(std::string_view text);

}  // namespace millrace::model
