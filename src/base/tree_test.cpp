#include "base/tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/nearest.hpp"
#include "base/rng.hpp"

namespace millrace {
namespace {

using Kind = Tree::Kind;

TEST(Tree, KeepsOrderKindsAndPlaces) {
  const auto tree = parse_toml(
      "# a comment\n"
      "[zoo]\n"
      "name = \"x\"\n"
      "  list = [1, 2.5, true]\n"
      "rule = { type = \"int\", min = 16 }\n"
      "\n"
      "[ant]\n"
      "when = 2026-11-20T09:40:00Z\n"
      "\"auc - current.auc\" = \">= 0\"\n",
      "t.toml");
  ASSERT_TRUE(tree) << tree.error().message;
  ASSERT_EQ(tree->members().size(), 2u);
  EXPECT_EQ(tree->members()[0].key, "zoo");
  EXPECT_EQ(tree->members()[0].at, (Position{2, 2}));
  const Tree* list = tree->find_path({"zoo", "list"});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->at, (Position{4, 10}));
  ASSERT_EQ(list->items().size(), 3u);
  EXPECT_EQ(list->items()[0].as_integer(), 1);
  EXPECT_EQ(list->items()[1].as_number(), 2.5);
  EXPECT_TRUE(list->items()[2].as_boolean());
  EXPECT_EQ(tree->find("zoo")->members()[1].at, (Position{4, 3}));
  EXPECT_TRUE(tree->find_path({"zoo", "rule"})->inline_table);
  EXPECT_EQ(tree->find_path({"zoo", "rule", "min"})->at, (Position{5, 30}));
  EXPECT_EQ(tree->find_path({"ant", "when"})->as_text(), "2026-11-20T09:40:00Z");
  EXPECT_TRUE(tree->find_path({"ant", "auc - current.auc"}));
  EXPECT_FALSE(tree->find_path({"ant", "auc", "x"}));
}

TEST(Tree, ErrorsNameLineColumnAndShowTheLine) {
  for (const std::string text : {"[a]\nb = = 1\n", "[a]\nb = 1\nb = 2\n", "[a]\nb = \"x\n", "a = {", "a = 1\n[a.b]\n",
                                 "x = 2026-13-45\n", "a = \"\xff\"\n", "\xc3", "[", "a.b.c", "a = [1,\n"}) {
    const auto tree = parse_toml(text, "t.toml");
    ASSERT_FALSE(tree) << text;
    EXPECT_EQ(tree.error().reason, "tree.malformed");
    EXPECT_NE(tree.error().message.find("t.toml line "), std::string::npos) << tree.error().message;
    EXPECT_EQ(tree.error().message.find("line 0"), std::string::npos) << tree.error().message;
  }
  const auto twice = parse_toml("[a]\nb = 1\nb = 2\n", "t.toml");
  EXPECT_NE(twice.error().message.find("line 3"), std::string::npos) << twice.error().message;
  EXPECT_NE(twice.error().message.find("\n    b = 2\n"), std::string::npos) << twice.error().message;
}

// Texts on which toml++ breaks its own preconditions.
TEST(Tree, MalformedHeadersAreRefused) {
  for (const std::string text :
       {"[[[1]]]", "a = 1\n[[=", "a = 1\n\n[[[]]\nb = 2\n", "[[\"", "[[\n", "\xcc\xaa", "a = 1\n\xcc\xaa[["}) {
    const auto tree = parse_toml(text, "t.toml");
    ASSERT_FALSE(tree) << text;
    EXPECT_EQ(tree.error().reason, "tree.malformed");
    const auto line = std::ranges::count(text.substr(0, text.find_first_of("[\xcc")), '\n') + 1;
    EXPECT_NE(tree.error().message.find("line " + std::to_string(line)), std::string::npos)
        << text << tree.error().message;
  }
}

// Random changes of a valid text: a tree, or a refusal with a line; whatever is a tree can be written and read again.
TEST(Tree, MutatedTextIsAnswered) {
  const std::string valid =
      "a = 1\nb.c = \"x\"\n[d]\nl = [1, 2.5, { x = true }]\n[[e]]\nt = 2026-11-20T09:40:00Z\n[e.f]\ns = '''y\n'''\n";
  const std::string spice = "[]{}=\"'.,#\n\\ \t0x-_:+eE\xff\xc3\xcc\xaa\xe2\x80\xa8";
  SeededRng rng(3);
  int trees = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text = valid;
    for (auto n = 1 + rng.below(5); n > 0 && !text.empty(); --n) {
      const auto at = rng.below(text.size());
      switch (rng.below(4)) {
        case 0:
          text[at] = static_cast<char>(rng.below(256));
          break;
        case 1:
          text.insert(at, 1 + rng.below(3), spice[rng.below(spice.size())]);
          break;
        case 2:
          text.erase(at, 1 + rng.below(6));
          break;
        default:
          text.insert(at, text.substr(rng.below(text.size()), rng.below(12)));
      }
    }
    const auto tree = parse_toml(text, "t");
    if (!tree) {
      EXPECT_NE(tree.error().message.find("t line "), std::string::npos) << tree.error().message;
      EXPECT_EQ(tree.error().message.find("line 0"), std::string::npos) << tree.error().message;
      continue;
    }
    ++trees;
    const auto again = parse_toml(render_toml(*tree), "again");
    ASSERT_TRUE(again) << text << "\n" << again.error().message;
    EXPECT_TRUE(again->same_as(*tree)) << text;
  }
  EXPECT_GT(trees, 100);
}

TEST(Tree, BoundsAreRefusalsNotCrashes) {
  EXPECT_EQ(parse_toml(std::string(2u << 20, ' '), "t").error().reason, "tree.too_large");
  EXPECT_EQ(parse_json_tree(std::string(2u << 20, ' '), "t").error().reason, "tree.too_large");
  std::string dotted = "a", headers = "[a", arrays = "x = ", objects;
  for (int i = 0; i < 200'000; ++i) dotted += ".a", headers += ".\"a\"", arrays += "[", objects += "{\"a\":";
  for (const std::string& text : {dotted + " = 1", headers + "]", arrays, "x = { " + dotted + " = 1 }"}) {
    const auto tree = parse_toml(text, "t");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().reason, "tree.malformed");
  }
  EXPECT_EQ(parse_json_tree(objects, "t").error().reason, "tree.malformed");
  EXPECT_TRUE(parse_toml("a = \"" + std::string(500, '.') + "\" # ..." + std::string(500, '.'), "t"));
}

TEST(Tree, JsonOfTheSameShapeIsTheSameTree) {
  const auto toml = parse_toml("[project]\nname = \"churn\"\n[model]\nx = [1, 2.5, false]\n[model.t]\nd = 1\n", "t");
  const auto json = parse_json_tree(R"({"model":{"t":{"d":1},"x":[1,2.5,false]},"project":{"name":"churn"}})", "t");
  ASSERT_TRUE(toml && json) << json.error().message;
  EXPECT_TRUE(toml->same_as(*json));
  EXPECT_EQ(json->find("model")->at, Position{});
  EXPECT_EQ(json->members()[0].key, "model");
  EXPECT_FALSE(parse_json_tree("[1]", "t"));
  EXPECT_FALSE(parse_json_tree("{\"a\":1", "t"));
  EXPECT_TRUE(parse_json_tree("{\"a\":null}", "t")->find("a")->is(Kind::null));
}

TEST(Tree, RenderedTomlReadsBackTheSame) {
  const auto tree = parse_toml(
      "top = 1\n[a]\nb = \"q\\\"\\\\ \\n \\u0001 \u00e9\"\nf = 1e300\ng = 3.0\nd = 2026-01-02\nh = 02:03:04.5\n"
      "i = { x = 1, \"y z\" = [ { k = 1 } ] }\n[a.\"c d\"]\n[e.f]\nz = -1\nnan = nan\n",
      "t");
  ASSERT_TRUE(tree) << tree.error().message;
  const std::string text = render_toml(*tree);
  const auto again = parse_toml(text, "again");
  ASSERT_TRUE(again) << again.error().message << text;
  EXPECT_TRUE(tree->same_as(*again)) << text;
  EXPECT_EQ(render_toml(*again), text);
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> keys = {"schedule", "when", "window", "resources", "min", "data"};
  struct Case {
    const char *wrong, *meant;
  };
  for (const auto& [wrong, meant] : {Case{"scedule", "schedule"},
                                     {"shcedule", "schedule"},
                                     {"Schedule", "schedule"},
                                     {"wen", "when"},
                                     {"resorces", "resources"},
                                     {"windwo", "window"},
                                     {"zzz", ""},
                                     {"", ""},
                                     {"dta", "data"}})
    EXPECT_EQ(nearest(wrong, keys), meant) << wrong;
  EXPECT_EQ(edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
}

}  // namespace
}  // namespace millrace
