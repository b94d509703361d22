// The simulated disk against the real one: the same random calls must give the same answers. Otherwise what the
// simulator shows about our code says nothing about the disks it will run on.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/testing/env.hpp"

namespace millrace {
namespace {

constexpr int stories = 12;  // the real disk syncs: 60 took 18 s
constexpr int steps = 120;

std::string random_path(const TestEnv& t, Rng& rng) {
  std::string out;
  for (auto depth = 1 + rng.below(3); depth > 0; --depth)
    out += (out.empty() ? "" : "/") + std::string(1, "abc"[rng.below(3)]);
  return t.path(out);
}

std::string outcome(const Result<void>& result) { return result ? "ok" : result.error().reason; }

// Everything below `dir`, as text.
std::string tree(Fs& fs, const std::string& dir) {
  std::string out = "(";
  for (const auto& info : *fs.list(dir)) {
    const auto path = join_path(dir, info.name);
    out += info.name + (info.is_dir ? tree(fs, path) : fmt::format("[{}]", *read_file(fs, path))) + " ";
  }
  return out + ")";
}

// One random call; `rng` decides it, so that two of the same seed do the same.
std::string step(TestEnv& t, Rng& rng) {
  auto& fs = t.env.fs;
  const auto action = rng.below(9);
  const auto path = random_path(t, rng), other = random_path(t, rng);
  const auto text = std::to_string(rng.below(1'000));
  // Which of two reasons a disk gives for renaming across its own tree differs between kernels as well.
  const bool nested = path.starts_with(other + "/") || other.starts_with(path + "/");
  switch (action) {
    case 0:
      return "make_dirs " + outcome(fs.make_dirs(path));
    case 1:
      return nested ? "" : "rename " + outcome(fs.rename(path, other));
    case 2:
      return "remove " + outcome(fs.remove(path));
    case 3:
      return rng.below(4) == 0 ? "remove_all " + outcome(fs.remove_all(path)) : "";
    case 4:
      return "sync_dir " + outcome(fs.sync_dir(path));
    case 5:
      return "write_file " + outcome(write_file(fs, path, text));
    case 6: {
      const auto info = fs.info(path);
      return info ? fmt::format("info {} {} {}", info->name, info->is_dir, info->size) : info.error().reason;
    }
    default: {
      const auto mode = static_cast<WriteMode>(rng.below(3));
      auto file = fs.open_write(path, mode);
      if (!file) return "open " + file.error().reason;
      return "append " + outcome((*file)->append(as_bytes(text))) + std::to_string((*file)->size());
    }
  }
}

TEST(FsAgreement, SimulatedAndRealDiskAnswerAlike) {
  for (std::uint64_t seed = 0; seed < stories; ++seed) {
    TestEnv real, sim(TestEnv::Disk::sim);
    SeededRng real_rng(seed), sim_rng(seed);
    for (int i = 0; i < steps; ++i) {
      const auto wanted = step(real, real_rng), got = step(sim, sim_rng);
      ASSERT_EQ(got, wanted) << "seed " << seed << ", step " << i << "\n"
                             << tree(sim.env.fs, sim.dir) << "\n"
                             << tree(real.env.fs, real.dir);
    }
    ASSERT_EQ(tree(sim.env.fs, sim.dir), tree(real.env.fs, real.dir)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace
