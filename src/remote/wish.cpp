#include "remote/wish.hpp"

#include <algorithm>
#include <format>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "remote/death.hpp"

namespace millrace::remote {

constexpr int kept_format = 1;

// The record on disk.
struct KeptWish {
  int format = kept_format;
  std::string sha256;  // of `wish`
  std::string wish;    // JSON of the wire's struct
};

namespace {

Result<serve::VersionRef> version_from(const api::WishVersion& version) {
  TRY(const auto digest, Digest::parse(version.artifact));
  return serve::VersionRef{version.number, digest};
}

Result<serve::WantedModel> model_from(const api::WishModel& from) {
  serve::WantedModel to{.name = from.name};
  if (from.current) {
    TRY(to.current, version_from(*from.current));
  }
  if (from.previous) {
    TRY(to.previous, version_from(*from.previous));
  }
  to.refuse_unlogged = from.refuse_unlogged;
  to.log_share = from.log_share;
  to.probation = from.probation;
  to.fall_back = true;
  if (const auto& release = from.release) {
    TRY(const auto candidate, version_from(release->candidate));
    to.release = serve::WantedRelease{release->id, candidate, release->weight, release->shadow};
  }
  if (const auto& watched = from.watched) {
    TRY(const auto since, parse_time(watched->from));
    TRY(const auto until, parse_time(watched->until));
    to.watched = serve::Watched{from.name, watched->release, watched->version, watched->previous, since,
                                until,     watched->requests};
  }
  return to;
}

}  // namespace

Result<HeldWish> from_wire(const api::Wish& wish) {
  HeldWish out{wish.number, wish.digest, {}};
  for (const auto& model : wish.models) {
    auto one = model_from(model);
    if (!one)
      return fail(Code::invalid_argument, "remote.bad_wish",
                  std::format("wish {} of model '{}': {}", wish.number, model.name, one.error().message));
    out.models.push_back(*std::move(one));
  }
  return out;
}

std::string render_kept(const api::Wish& wish) {
  auto text = api::render(wish);
  return json::render(KeptWish{kept_format, sha256(text).hex(), text}) + "\n";
}

Result<api::Wish> parse_kept(std::string_view text) {
  auto kept = json::parse_lenient<KeptWish>(text, "the kept wish");
  if (!kept) return fail(Code::data_loss, "remote.wish_damaged", kept.error().message);
  if (kept->format > kept_format)
    return fail(Code::failed_precondition, "remote.wish_format",
                std::format("format {} is of a newer Millrace; this one reads up to {}", kept->format, kept_format));
  if (sha256(kept->wish).hex() != kept->sha256)
    return fail(Code::data_loss, "remote.wish_damaged", "its content is not what was written");
  return api::parse_wish(kept->wish);
}

std::vector<Digest> artifacts_of(const HeldWish& wish) {
  std::vector<Digest> out;
  for (const auto& model : wish.models) {
    if (model.current) out.push_back(model.current->artifact);
    if (model.release) out.push_back(model.release->candidate.artifact);
    if (model.previous) out.push_back(model.previous->artifact);
    for (const auto& other : model.others) out.push_back(other.artifact);
  }
  std::ranges::sort(out);
  const auto rest = std::ranges::unique(out);
  out.erase(rest.begin(), rest.end());
  return out;
}

WishKeeper::WishKeeper(Env& env, std::string path) : env_(env), path_(std::move(path)) {
  const auto text = read_file(env.fs, path_);
  if (!text && text.error().code == Code::not_found) return;
  auto kept = text ? parse_kept(*text) : Result<api::Wish>(fail(text.error()));
  auto wish = kept ? from_wire(*kept) : Result<HeldWish>(fail(kept.error()));
  if (!wish) {
    env.log.error("kept_wish_not_read", {{"path", path_}, {"error", wish.error().message}});
    return;
  }
  newest_ = *std::move(wish);
}

Result<void> WishKeeper::take(const api::Wish& wish) {
  TRY(auto held, from_wire(wish));
  const auto keep = [&]() -> Result<void> {
    TRY_VOID(env_.faults.reach("remote.wish.before_write"));
    TRY_VOID(write_file(env_.fs, path_, render_kept(wish)));
    return env_.faults.reach("remote.wish.after_write");
  };
  auto kept = keep();
  std::lock_guard lock(mutex_);
  newest_ = std::move(held);
  return kept;
}

HeldWish WishKeeper::newest() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

Result<std::vector<serve::WantedModel>> WishKeeper::wanted() {
  std::lock_guard lock(mutex_);
  if (newest_.number < 0)
    return fail(Code::unavailable, "remote.no_wish", "the server has not said yet what is to be served");
  asked_ = {newest_.number, newest_.digest};
  auto models = newest_.models;
  if (avoided_) leave_out(models, *avoided_);
  return models;
}

void WishKeeper::avoid(std::optional<api::PredictorDeath> death) {
  std::lock_guard lock(mutex_);
  avoided_ = std::move(death);
}

void WishKeeper::done() {
  std::lock_guard lock(mutex_);
  served_ = asked_;
}

std::pair<std::int64_t, std::string> WishKeeper::served() const {
  std::lock_guard lock(mutex_);
  return served_;
}

bool WishKeeper::due() const {
  std::lock_guard lock(mutex_);
  return newest_.number >= 0 && served_ != std::pair(newest_.number, newest_.digest);
}

}  // namespace millrace::remote
