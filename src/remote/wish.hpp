// The wish of a server, as a predictor on another machine has it: taken whole, kept on disk, handed to
// serve::Predictor.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/native/wire_fleet.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "serve/predictor.hpp"

namespace millrace::remote {

struct HeldWish {
  std::int64_t number = -1;  // -1: none yet
  std::string digest;
  std::vector<serve::WantedModel> models;
};

// invalid_argument `remote.bad_wish`.
Result<HeldWish> from_wire(const api::Wish& wish);

// The file's text, and back: docs/formats/predictor_folder.md. data_loss `remote.wish_damaged`; failed_precondition
// `remote.wish_format` for one of a newer program.
std::string render_kept(const api::Wish& wish);
Result<api::Wish> parse_kept(std::string_view text);

// Digests of all artifacts that the wish names.
std::vector<Digest> artifacts_of(const HeldWish& wish);

// One wish at a time. Thread-safe.
class WishKeeper final : public serve::WantedSource {
 public:
  // With the wish that an earlier process kept in `path`. A damaged file is logged, and as if there were none.
  WishKeeper(Env& env, std::string path);

  // On the disk first, then what wanted() answers. A wish that the disk does not take is taken all the same, and the
  // error says that a restart would begin with the one before.
  Result<void> take(const api::Wish& wish);

  // From now on without the version that ended an earlier process, as long as death.hpp leaves it out.
  void avoid(std::optional<api::PredictorDeath> death);

  HeldWish newest() const;
  Result<std::vector<serve::WantedModel>> wanted() override;
  // wanted() was done: the wish that it answered last is the one that is served.
  void done();
  // Number and digest of what is served.
  std::pair<std::int64_t, std::string> served() const;
  // Something was taken that is not served yet.
  bool due() const;

 private:
  Env& env_;
  const std::string path_;
  mutable std::mutex mutex_;
  HeldWish newest_;
  std::optional<api::PredictorDeath> avoided_;
  std::pair<std::int64_t, std::string> asked_{-1, ""}, served_{-1, ""};
};

}  // namespace millrace::remote
