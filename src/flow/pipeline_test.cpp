#include "flow/pipeline.hpp"

#include <gtest/gtest.h>

namespace millrace::flow {
namespace {

Step step(const std::string& name, std::vector<std::string> needs = {}) {
  return {.name = name, .kind = "work", .needs = std::move(needs)};
}

std::string check(std::vector<Step> steps) {
  const auto checked = check_pipeline({"p", std::move(steps)});
  return checked ? "ok" : checked.error().reason;
}

TEST(CheckPipeline, Table) {
  EXPECT_EQ(check({step("a"), step("b", {"a"}), step("c", {"a", "b"})}), "ok");
  EXPECT_EQ(check({step("b", {"a"}), step("a")}), "ok") << "the order written is no matter";
  EXPECT_EQ(check({}), "flow.bad_pipeline");
  EXPECT_EQ(check({step("")}), "flow.bad_pipeline");
  EXPECT_EQ(check({step("a"), step("a")}), "flow.bad_pipeline");
  EXPECT_EQ(check({step("a", {"x"})}), "flow.bad_pipeline");
  EXPECT_EQ(check({step("a", {"a"})}), "flow.bad_pipeline");
  EXPECT_EQ(check({step("a", {"c"}), step("b", {"a"}), step("c", {"b"}), step("d")}), "flow.bad_pipeline");
}

//   a -> b -> d
//   a -> c -> d
const Pipeline diamond{"p", {step("a"), step("b", {"a"}), step("c", {"a"}), step("d", {"b", "c"})}};

// "a:done b:running/failed": a step's state, and its job's.
std::vector<StepView> views(const std::string& text) {
  std::vector<StepView> out;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find(' ', at), text.size());
    const auto word = text.substr(at, end - at);
    const auto colon = word.find(':');
    const auto slash = std::min(word.find('/'), word.size());
    StepView view{word.substr(0, colon), *parse_step_state(word.substr(colon + 1, slash - colon - 1)), {}};
    if (slash < word.size()) view.job = *parse_job_state(word.substr(slash + 1));
    out.push_back(view);
    at = end + 1;
  }
  return out;
}

std::string next(const std::string& text) {
  const auto found = views(text);
  const auto out = next_steps(diamond, found);
  std::string said;
  for (const auto& settled : out.settled) said += settled.step + "=" + std::string(to_text(settled.state)) + " ";
  for (const auto& ready : out.ready) said += "+" + ready + " ";
  for (const auto& stop : out.stop) said += "-" + stop + " ";
  if (out.end) said += "END " + std::string(to_text(*out.end));
  EXPECT_EQ(out.nothing(), said.empty());
  return said;
}

TEST(NextSteps, Table) {
  EXPECT_EQ(next("a:waiting b:waiting c:waiting d:waiting"), "+a ");
  EXPECT_EQ(next("a:running/queued b:waiting c:waiting d:waiting"), "");
  EXPECT_EQ(next("a:running/running b:waiting c:waiting d:waiting"), "");
  EXPECT_EQ(next("a:running/done b:waiting c:waiting d:waiting"), "a=done +b +c ");
  EXPECT_EQ(next("a:skipped b:waiting c:waiting d:waiting"), "+b +c ");
  EXPECT_EQ(next("a:done b:done c:running/running d:waiting"), "");
  EXPECT_EQ(next("a:done b:done c:running/done d:waiting"), "c=done +d ");
  EXPECT_EQ(next("a:done b:running/failed c:running/running d:waiting"), "b=failed -c -d END failed");
  EXPECT_EQ(next("a:done b:running/cancelled c:done d:waiting"), "b=cancelled -d END cancelled");
  EXPECT_EQ(next("a:done b:running/cancelled c:running/failed d:waiting"), "b=cancelled c=failed -d END failed");
  EXPECT_EQ(next("a:done b:done c:done d:running/done"), "d=done END done");
  EXPECT_EQ(next("a:done b:skipped c:done d:done"), "END done");
}

TEST(WaitsFor, NamesWhatIsNotThereYet) {
  const auto now = views("a:done b:running/queued c:waiting d:waiting");
  EXPECT_EQ(waits_for(diamond.steps[3], now), "b (running), c (waiting)");
  EXPECT_EQ(waits_for(diamond.steps[1], now), "");
}

}  // namespace
}  // namespace millrace::flow
