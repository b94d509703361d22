#include "model/artifact.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "model/testing/models.hpp"
#include "model/zip_internal.hpp"

namespace millrace::model {
namespace {

Manifest full_manifest() {
  Manifest m = testing::sample_manifest(TaskType::binary);
  m.engine = {.name = "constant", .version = "1", .file = "model.json"};
  m.provenance.parameters = {{"depth", "6"}, {"rounds", "100"}};
  m.provenance.data = std::string(64, 'a');
  m.facts = {.rows = 1000,
             .rounds = 90,
             .metric = "logloss",
             .validation_score = 0.25,
             .class_rows = {700, 300},
             .importance = {{"age", 1.0}}};
  m.inputs[1].fill = 0.5;
  m.inputs[3].unseen = UnseenRule::as_missing;
  m.golden = {{.inputs = {"1", std::nullopt, "true", "Zürich", "2020-01-01", std::nullopt}, .outputs = {0.1f}}};
  return m;
}

TEST(Manifest, JsonRoundTrip) {
  const Manifest m = full_manifest();
  auto back = parse_manifest(render_manifest(m));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(m, *back);
  EXPECT_EQ(render_manifest(m), render_manifest(*back));
}

TEST(Manifest, RefusesContradictions) {
  struct Case {
    const char* what;
    void (*spoil)(Manifest&);
  };
  const Case cases[] = {
      {"two inputs of one name", [](Manifest& m) { m.inputs[1].name = "age"; }},
      {"an input without name", [](Manifest& m) { m.inputs[0].name = ""; }},
      {"an encoding that does not fit", [](Manifest& m) { m.inputs[0].encoding = Encoding::date_parts; }},
      {"categories not sorted", [](Manifest& m) { m.inputs[3].categories = {"b", "a"}; }},
      {"categories twice", [](Manifest& m) { m.inputs[3].categories = {"a", "a"}; }},
      {"categories of a number", [](Manifest& m) { m.inputs[0].categories = {"a"}; }},
      {"three classes", [](Manifest& m) { m.classes.push_back("maybe"); }},
      {"classes for a regression", [](Manifest& m) { m.task = TaskType::regression; }},
      {"positive is the first class", [](Manifest& m) { m.positive = "no"; }},
      {"threshold above 1", [](Manifest& m) { m.threshold = 1.5; }},
      {"input also ignored", [](Manifest& m) { m.ignored.push_back("age"); }},
      {"no engine", [](Manifest& m) { m.engine.name = ""; }},
      {"golden row too short", [](Manifest& m) { m.golden[0].inputs.pop_back(); }},
      {"golden outputs too many", [](Manifest& m) { m.golden[0].outputs.push_back(0); }},
  };
  ASSERT_TRUE(check_manifest(full_manifest()));
  for (const auto& c : cases) {
    Manifest m = full_manifest();
    c.spoil(m);
    auto checked = check_manifest(m);
    ASSERT_FALSE(checked) << c.what;
    EXPECT_EQ("model.bad_artifact", checked.error().reason) << c.what;
  }
}

TEST(Manifest, ANewerFormatIsNamed) {
  auto read = parse_manifest(R"({"format":99,"something":"new"})");
  ASSERT_FALSE(read);
  EXPECT_EQ("model.newer_format", read.error().reason);
}

TEST(Artifact, SameInputsGiveTheSameBytesAndReadBack) {
  const std::string engine = R"({"format":1,"outputs":[0.5]})";
  auto one = write_artifact(full_manifest(), engine), two = write_artifact(full_manifest(), engine);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(*one, *two);
  auto back = read_artifact(*one);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(engine, back->engine_file);
  EXPECT_EQ(engine.size(), back->manifest.engine.bytes);
  Manifest expected = full_manifest();
  expected.engine.bytes = back->manifest.engine.bytes;
  expected.engine.digest = back->manifest.engine.digest;
  EXPECT_EQ(expected, back->manifest);
}

TEST(Artifact, EveryDamagedByteAndEveryCutIsNoticed) {
  auto bytes = write_artifact(full_manifest(), R"({"format":1,"outputs":[0.5]})");
  ASSERT_TRUE(bytes);
  const auto refused = [](std::string_view text, std::size_t at) {
    auto read = read_artifact(text);
    ASSERT_FALSE(read) << "at " << at;
    EXPECT_TRUE(read.error().code == Code::data_loss || read.error().code == Code::invalid_argument) << "at " << at;
    EXPECT_EQ("model.bad_artifact", read.error().reason) << "at " << at;
  };
  for (std::size_t at = 0; at < bytes->size(); ++at) {
    refused(bytes->substr(0, at), at);
    std::string damaged = *bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    // Version made by, time and attributes of the central headers say nothing; all else is checked.
    if (auto read = read_artifact(damaged); read) {
      EXPECT_EQ(read_artifact(*bytes)->manifest, read->manifest) << "at " << at;
      EXPECT_GT(at, bytes->find("PK\x01\x02")) << "at " << at;
    }
  }
  refused(*bytes + "x", bytes->size());
  refused("x" + *bytes, 0);
}

TEST(Artifact, NoiseIsRefused) {
  SeededRng rng(7);
  for (int i = 0; i < 2000; ++i) {
    std::string noise(rng.below(300), '\0');
    for (char& c : noise) c = static_cast<char>(rng.next());
    if (noise.size() > 22 && i % 2 == 0) noise.replace(noise.size() - 22, 4, "PK\x05\x06");
    EXPECT_FALSE(read_artifact(noise));
  }
}

TEST(Zip, AnotherReaderOfTheFormatFindsTheEntries) {
  // Offsets by hand, from APPNOTE.TXT, not through read_zip.
  auto archive = write_zip({{"a.txt", "hello"}});
  ASSERT_TRUE(archive);
  EXPECT_EQ(30u + 5 + 5 + 46 + 5 + 22, archive->size());
  EXPECT_EQ("hello", archive->substr(35, 5));
  EXPECT_EQ("\x86\xa6\x10\x36", archive->substr(14, 4));  // CRC-32 of "hello": 0x3610a686
}

TEST(Zip, RefusesOverlapsAndDoubles) {
  auto archive = write_zip({{"a", "xx"}, {"a", "xx"}});
  ASSERT_TRUE(archive);
  EXPECT_FALSE(read_zip(*archive));
}

}  // namespace
}  // namespace millrace::model
