#include "serve/folder.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<std::string> names(const FolderView& view) {
  std::vector<std::string> out;
  for (const auto& v : view.versions)
    out.push_back(v.model + ":" + std::to_string(v.number) + " " + v.path + (v.golden.empty() ? "" : " " + v.golden));
  return out;
}

TEST(Folder, NamesMeanModelsAndVersions) {
  struct Case {
    const char* name;
    std::vector<std::string> paths, versions;
    std::size_t problems = 0;
  };
  const std::vector<Case> cases = {
      {"nothing", {}, {}},
      {"a file is version 1", {"churn.ubj"}, {"churn:1 churn.ubj"}},
      {"in JSON too", {"churn.json"}, {"churn:1 churn.json"}},
      {"and our own archive", {"churn.zip"}, {"churn:1 churn.zip"}},
      {"golden rows are no model",
       {"churn.golden.json", "churn.ubj", "lone.golden.json"},
       {"churn:1 churn.ubj churn.golden.json"}},
      {"a manifest is none either", {"churn.manifest.json", "churn.json"}, {"churn:1 churn.json"}},
      {"a folder's versions are numbers",
       {"churn/10/model.ubj", "churn/9/model.ubj", "churn/9/golden.json"},
       {"churn:10 churn/10/model.ubj", "churn:9 churn/9/model.ubj churn/9/golden.json"}},
      {"Triton's names", {"a/1/xgboost.json", "a/2/xgboost.ubj"}, {"a:2 a/2/xgboost.ubj", "a:1 a/1/xgboost.json"}},
      {"the model's own name", {"a/3/a.ubj"}, {"a:3 a/3/a.ubj"}},
      {"without a version folder", {"a/model.json"}, {"a:1 a/model.json"}},
      {"other files are passed over", {"a/config.pbtxt", "a/1/notes.txt", "README.md", "a/1/deeper/model.ubj"}, {}},
      {"what begins with a dot too", {".churn.ubj", ".millrace-cache/x/model.ubj", "a/.1/model.ubj"}, {}},
      {"half a copy by rsync too", {".churn.ubj.Xy12", "churn.ubj.part"}, {}},
      {"a version that is no number", {"a/latest/model.ubj"}, {}, 1},
      {"a name that no path can have", {"a b.ubj", "\xC3\xA4.ubj"}, {}, 2},
      {"two files of one version: the first ending counts",
       {"a/1/model.json", "a/1/model.ubj"},
       {"a:1 a/1/model.ubj"},
       1},
      {"a folder before a file", {"a.ubj", "a/1/model.json"}, {"a:1 a/1/model.json"}, 1},
      {"the same number twice", {"a/01/model.ubj", "a/1/model.ubj"}, {"a:1 a/01/model.ubj"}, 1},
      {"a number beyond counting", {"a/99999999999999999999/model.ubj"}, {}, 1},
  };
  for (const auto& c : cases) {
    const auto view = read_folder(c.paths);
    EXPECT_EQ(c.versions, names(view)) << c.name;
    EXPECT_EQ(c.problems, view.problems.size()) << c.name;
  }
}

constexpr TimePoint kDay{seconds(1'000'000)};
FolderFile file(std::uint64_t size, Duration written_ago = Duration::zero(), std::uint64_t inode = 7) {
  return {"m.ubj", {size, kDay - written_ago, inode}};
}
SettleTimes at(milliseconds t) { return {SteadyPoint(t), kDay + t}; }

TEST(Folder, AFileIsWholeWhenTwoLooksSayTheSame) {
  struct Step {
    milliseconds at;
    std::optional<FolderFile> there;
    std::optional<std::uint64_t> accepted;  // its size; nothing: none
    bool pending;
  };
  struct Case {
    const char* name;
    std::vector<Step> steps;
  };
  const auto none = std::nullopt;
  const std::vector<Case> cases = {
      {"two looks far enough apart",
       {{milliseconds(0), file(5), none, true},
        {milliseconds(100), file(5), none, true},
        {milliseconds(300), file(5), 5, false}}},
      {"what grows is not whole",
       {{milliseconds(0), file(5), none, true},
        {milliseconds(300), file(6), none, true},
        {milliseconds(600), file(7), none, true},
        {milliseconds(900), file(7), 7, false}}},
      {"nor is what is written again in the same size",
       {{milliseconds(0), file(5), none, true},
        {milliseconds(300), file(5, milliseconds(-200)), none, true},
        {milliseconds(600), file(5, milliseconds(-200)), 5, false}}},
      {"what was moved in is taken at once", {{milliseconds(0), file(5, seconds(3)), 5, false}}},
      {"another one moved over it too",
       {{milliseconds(0), file(5, seconds(9)), 5, false}, {milliseconds(50), file(6, seconds(3), 8), 6, false}}},
      {"the old one stays while another is written over it",
       {{milliseconds(0), file(5, seconds(9)), 5, false},
        {milliseconds(1000), file(2, milliseconds(-900)), 5, true},
        {milliseconds(1300), file(4, milliseconds(-1200)), 5, true},
        {milliseconds(1600), file(4, milliseconds(-1200)), 4, false}}},
      {"a file of the future waits its two looks",
       {{milliseconds(0), file(5, -seconds(100)), none, true}, {milliseconds(300), file(5, -seconds(100)), 5, false}}},
      {"what is gone for a moment stays",
       {{milliseconds(0), file(5, seconds(9)), 5, false},
        {milliseconds(1000), none, 5, true},
        {milliseconds(1200), none, 5, true},
        {milliseconds(1250), file(6, milliseconds(-1240), 9), 5, true},
        {milliseconds(1550), file(6, milliseconds(-1240), 9), 6, false}}},
      {"what is gone is gone",
       {{milliseconds(0), file(5, seconds(9)), 5, false},
        {milliseconds(1000), none, 5, true},
        {milliseconds(1300), none, none, false}}},
  };
  for (const auto& c : cases) {
    WatchedFiles files;
    for (const auto& step : c.steps) {
      std::vector<FolderFile> listing;
      if (step.there) listing.push_back(*step.there);
      auto look = look_at_folder(files, listing, {}, at(step.at));
      EXPECT_EQ(step.pending, look.pending) << c.name << " at " << step.at.count();
      const auto known = look.files.find("m.ubj");
      std::optional<std::uint64_t> accepted;
      if (known != look.files.end() && known->second.accepted) accepted = known->second.accepted->size;
      EXPECT_EQ(step.accepted, accepted) << c.name << " at " << step.at.count();
      files = std::move(look.files);
    }
  }
}

TEST(Folder, WhoSaysThatFilesAreWholeIsBelieved) {
  const std::vector<FolderFile> listing = {file(5)};
  auto look = look_at_folder({}, listing, {.trust = true}, at(milliseconds(0)));
  EXPECT_TRUE(look.files.at("m.ubj").accepted);
  look = look_at_folder(look.files, {}, {.trust = true}, at(milliseconds(1)));
  EXPECT_TRUE(look.files.empty());
}

// Whatever the writer does, what is accepted was seen unchanged for the whole time, or is old.
TEST(Folder, NothingIsAcceptedThatWasWrittenMeanwhile) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    WatchedFiles files;
    FolderFile now = file(1);
    milliseconds written{0};
    for (milliseconds t{0}; t < seconds(20); t += milliseconds(10 + random() % 400)) {
      if (random() % 3 == 0) {
        now = file(random() % 3, -t);
        written = t;
      }
      const std::vector<FolderFile> listing = {now};
      auto look = look_at_folder(files, listing, {}, at(t));
      const auto& watched = look.files.at("m.ubj");
      if (watched.accepted == now.stamp && files.contains("m.ubj") && files.at("m.ubj").accepted != now.stamp) {
        EXPECT_GE(t - written, milliseconds(300)) << seed;
      }
      files = std::move(look.files);
    }
  }
}

}  // namespace
}  // namespace millrace::serve
