// What one key alone does not show: names that must exist elsewhere in the file, keys that contradict each other.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <format>
#include <set>

#include "base/nearest.hpp"
#include "eval/gates.hpp"
#include "flow/holidays.hpp"
#include "loop/project_fields_internal.hpp"
#include "loop/project_schema_internal.hpp"

namespace millrace::loop::schema {
namespace {

using Kind = Tree::Kind;
using Path = std::vector<std::string>;

class Whole {
 public:
  Whole(const Tree& tree, std::vector<Problem>& problems) : tree_(tree), problems_(problems) {
    if (const Tree* all = tree.find("source"))
      for (const auto& member : all->members()) sources_.push_back(member.key);
  }

  void run() {
    const Tree* all = tree_.find("source");
    if (all && all->is(Kind::table) && all->members().empty())
      add({"source"}, Problem::Kind::missing, "the file needs a source, for example: [source.customers]");
    sources();
    checks();
    target();
    trainer();
    split();
    batches();
    release();
    fallback();
    inputs();
    if (const std::string* from = text_at({"retrain", "window", "from"}); from && *from == "24:00")
      add({"retrain", "window", "from"}, Problem::Kind::bad_value,
          "retrain.window.from: expected a time before 24:00, got \"24:00\"");
    holidays();
    gates();
  }

 private:
  void add(const Path& path, Problem::Kind kind, std::string message) {
    const Tree* node = tree_.find_path(path);
    problems_.push_back({kind, node ? node->at : Position{}, toml_path(path), false, std::move(message)});
  }

  // Dates in a list, or one region instead of it: what a date and a region look like is judged with the key.
  void holidays() {
    const Path path = {"retrain", "window", "holidays"};
    const Tree* node = tree_.find_path(path);
    if (!node) return;
    const auto date = [](const Tree& value) { return value.as_text().size() == 10 && parse_time(value.as_text()); };
    if (node->is(Kind::text) && date(*node))
      add(path, Problem::Kind::bad_value,
          std::format("retrain.window.holidays: expected a list of dates, [{}]", node->as_text()));
    if (!node->is(Kind::array)) return;
    for (const auto& item : node->items())
      if (item.is(Kind::text) && flow::is_region(item.as_text()) && !date(item))
        add(path, Problem::Kind::bad_value,
            std::format("retrain.window.holidays: expected a date such as 2026-12-25, got \"{}\"; a region stands "
                        "alone: holidays = \"{}\"",
                        item.as_text(), item.as_text()));
  }

  const std::string* text_at(const Path& path) const {
    const Tree* node = tree_.find_path(path);
    return node && node->is(Kind::text) ? &node->as_text() : nullptr;
  }

  std::optional<double> number_at(const Path& path) const {
    const Tree* node = tree_.find_path(path);
    return node && node->is_number() ? std::optional(node->as_number()) : std::nullopt;
  }

  // The texts of a list, no text twice.
  std::vector<std::string> list_at(const Path& path) {
    std::vector<std::string> out;
    const Tree* node = tree_.find_path(path);
    if (!node) return out;
    for (const auto& item : node->items()) {
      if (!item.is(Kind::text)) continue;
      if (std::ranges::contains(out, item.as_text()))
        problems_.push_back({Problem::Kind::bad_value, item.at, toml_path(path), false,
                             std::format("{}: {} stands there twice", toml_path(path), toml_string(item.as_text()))});
      out.push_back(item.as_text());
    }
    return out;
  }

  void known_source(const Path& path, std::string_view name) {
    if (std::ranges::contains(sources_, name)) return;
    const std::string meant = nearest(name, sources_);
    add(path, Problem::Kind::bad_value,
        std::format("{}: there is no [source.{}]{}", toml_path(path), toml_key(name),
                    meant.empty() ? std::string() : std::format("; did you mean {}?", meant)));
  }

  void sources() {
    for (const auto& name : sources_) {
      const Path names = {"source", name, "names"};
      const Tree* header = tree_.find_path({"source", name, "header"});
      if (!list_at(names).empty() && !(header && header->is(Kind::boolean) && !header->as_boolean()))
        add(names, Problem::Kind::bad_value,
            std::format("{}: names are for a file without a header; write header = false too", toml_path(names)));
    }
  }

  void checks() {
    const Tree* all = tree_.find("check");
    if (!all) return;
    for (const auto& check : all->members()) {
      known_source({"check", check.key}, check.key);
      for (const auto& column : check.value.members()) {
        const Path path = {"check", check.key, column.key};
        const auto low = number_at({"check", check.key, column.key, "min"}),
                   high = number_at({"check", check.key, column.key, "max"});
        if (low && high && *low > *high)
          add(path, Problem::Kind::bad_value, std::format("{}: min {} is above max {}", toml_path(path), *low, *high));
        if (column.value.find("sensitive")) sensitive_.insert(column.key);
      }
    }
  }

  void target() {
    const Path path = {"model", "target"};
    const Tree* node = tree_.find_path(path);
    if (!node) return;
    Path where = path;
    if (node->is(Kind::table)) {
      const bool column = node->find("column"), expr = node->find("expr");
      if (column == expr)
        return add(path, column ? Problem::Kind::bad_value : Problem::Kind::missing,
                   "model.target needs column = \"source.column\"" + std::string(column ? " or expr, not both" : ""));
      where.emplace_back(column ? "column" : "expr");
    }
    if (const Tree* value = tree_.find_path(where); value && value->is(Kind::text)) {
      const bool right = (where.back() == "expr" ? judge_target_expr : judge_target)(*value).kind == Verdict::good;
      const auto [source, column] = split_target(value->as_text());
      if (right && source == "labels" && !std::ranges::contains(sources_, source))
        add(where, Problem::Kind::not_available, std::format("{} = {}", toml_path(where), render_toml_value(*value)));
      else if (right)
        known_source(where, source), target_ = column;
    }
    const Tree* positive = node->find("positive");
    if (positive && tree_.find_path({"model", "positive"}))
      add({"model", "target", "positive"}, Problem::Kind::bad_value,
          "model.target.positive: model.positive says it already; keep one of them");
    if (node->find("mature") && tree_.find_path({"labels", "mature"}))
      add({"model", "target", "mature"}, Problem::Kind::bad_value,
          "model.target.mature: labels.mature says it already; keep one of them");
    const Tree* type = node->find("type");
    if (type && type->is(Kind::text) && type->as_text() == "regression" &&
        (positive || tree_.find_path({"model", "positive"})))
      add({"model", "target", "type"}, Problem::Kind::bad_value,
          "model.target.type: a regression has no positive value; leave `positive` out");
  }

  void trainer() {
    const Tree* node = tree_.find_path({"model", "trainer"});
    if (!node || !node->is(Kind::table)) return;
    const bool by_command = is_command_trainer(*node);
    if (by_command && !node->find("command"))
      add({"model", "trainer"}, Problem::Kind::missing,
          "model.trainer needs command, for example: command = \"python train.py\"");
    list_at({"model", "trainer", "files"});
    const auto only_for_command = [&](const std::string& key) {
      add({"model", "trainer", key}, Problem::Kind::bad_value,
          std::format("model.trainer.{}: only for name = \"command\"", key));
    };
    if (by_command) return;
    if (node->find("command")) only_for_command("command");
    if (const Tree* files = node->find("files"); files && !files->items().empty()) only_for_command("files");
  }

  // Against the task and the classes, as far as the file says them; the rest when a version is loaded.
  void fallback() {
    const Path path = {"serve", "fallback", "value"};
    const Tree* value = tree_.find_path(path);
    if (!value || !find_key(path) || value->is(Kind::table) || value->is(Kind::array)) return;
    const auto wrong = [&](std::string_view expected) {
      add(path, Problem::Kind::bad_value,
          std::format("serve.fallback.value: expected {}, got {}", expected, render_toml_value(*value)));
    };
    const std::string* type = text_at({"model", "target", "type"});
    if (type && *type == "regression") {
      const std::string number = scalar_text(*value);
      double parsed = 0;
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), parsed);
      if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(parsed))
        wrong("a number, for the target is a regression");
      return;
    }
    const Tree* classes = tree_.find_path({"labels", "classes"});
    if (!classes || classes->items().empty()) return;
    const auto is_it = [&](const Tree& one) { return scalar_text(one) == scalar_text(*value); };
    if (std::ranges::none_of(classes->items(), is_it)) wrong("one of labels.classes");
  }

  void gates() {
    const Tree* all = tree_.find("gates");
    if (!all) return;
    for (const auto& gate : all->members()) {
      if (!gate.value.is(Kind::text) || judge_comparison(gate.value).kind != Verdict::good) continue;
      if (gate.key.starts_with("loadtest.")) {  // under load, not one row at a time as latency.p99 is
        const Position at = gate.at.line ? gate.at : gate.value.at;
        problems_.push_back({Problem::Kind::not_available, at, toml_path({"gates", gate.key}), false,
                             toml_path({"gates", gate.key}) + " (until then: millrace loadtest NAME --p99 20ms)"});
        continue;
      }
      const auto parsed = eval::parse_gate({gate.key, gate.value.as_text()});
      if (parsed) continue;
      const std::string& why = parsed.error().message;
      const Position at = gate.at.line ? gate.at : gate.value.at;
      problems_.push_back(
          {Problem::Kind::bad_value, at, toml_path({"gates", gate.key}), false, why.substr(0, why.find('\n'))});
    }
  }

  void batches() {
    const Tree* all = tree_.find("batch");
    for (const auto& member : all ? all->members() : std::vector<Tree::Member>()) {
      if (!member.value.is(Kind::table)) continue;
      const Path path = {"batch", member.key};
      const bool files = member.value.find("in"), rows = member.value.find("rows");
      if (!member.value.find("out") && !member.value.find("to"))
        add(path, Problem::Kind::missing,
            std::format("{} needs out, for example: out = \"scores/{{date}}.parquet\"", toml_path(path)));
      if (files == rows)
        add(path, files ? Problem::Kind::bad_value : Problem::Kind::missing,
            std::format("{} needs one of in = \"FILES\" and rows = \"SOURCE\"", toml_path(path)));
      if (const auto* source = text_at({"batch", member.key, "rows"}))
        known_source({"batch", member.key, "rows"}, *source);
    }
  }

  void release() {
    const Tree* steps = tree_.find_path({"release", "steps"});
    if (!steps || !steps->is(Kind::array)) return;
    std::vector<std::string> texts;
    for (const auto& step : steps->items()) {
      if (!step.is(Kind::text) || judge_release_step(step).kind != Verdict::good) return;
      texts.push_back(step.as_text());
    }
    if (const auto why = bad_release_steps(texts); !why.empty())
      add({"release", "steps"}, Problem::Kind::bad_value, "release.steps: " + why);
  }

  void split() {
    const SplitConfig defaults;
    const double test = number_at({"model", "split", "test"}).value_or(defaults.test);
    const double validation = number_at({"model", "split", "validation"}).value_or(defaults.validation);
    if (test + validation > 0.9)
      add({"model", "split"}, Problem::Kind::bad_value,
          std::format("model.split: test {} and validation {} leave less than a tenth of the rows for training", test,
                      validation));
  }

  void inputs() {
    const auto used = list_at({"model", "inputs"}), unused = list_at({"model", "exclude"});
    list_at({"labels", "classes"});
    for (const auto& name : used) {
      std::string why;
      if (name == target_) why = "it is the target";
      if (sensitive_.contains(name)) why = "its check says that it is sensitive";
      if (std::ranges::contains(unused, name)) why = "model.exclude names it too";
      if (!why.empty())
        add({"model", "inputs"}, Problem::Kind::bad_value,
            std::format("model.inputs: {} can't be an input: {}", toml_string(name), why));
    }
  }

  const Tree& tree_;
  std::vector<Problem>& problems_;
  std::vector<std::string> sources_;
  std::set<std::string, std::less<>> sensitive_;
  std::string target_;
};

}  // namespace

void check_whole(const Tree& tree, std::vector<Problem>& problems) { Whole(tree, problems).run(); }

}  // namespace millrace::loop::schema
