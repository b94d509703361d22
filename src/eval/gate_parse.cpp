#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/clock.hpp"
#include "base/nearest.hpp"
#include "eval/catalogue.hpp"
#include "eval/gates.hpp"

namespace millrace::eval {

namespace {

struct Token {
  enum class Kind { word, column, value, symbol, end } kind = Kind::end;
  std::string text;
  std::size_t at = 0;  // byte offset
};

using Place = std::size_t;

struct Subject {
  std::string_view name;
  Gate::Subject subject;
};
constexpr std::array<Subject, 4> subjects{{{"latency.p50", Gate::Subject::latency_p50},
                                           {"latency.p95", Gate::Subject::latency_p95},
                                           {"latency.p99", Gate::Subject::latency_p99},
                                           {"model.bytes", Gate::Subject::model_bytes}}};

bool word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || (c & 0x80);
}

class Parser {
 public:
  Parser(const GateLine& line, std::optional<TaskType> task) : line_(line), task_(task) {
    gate_.expression = line.expression;
    gate_.required = line.required;
  }

  Result<Gate> parse() {
    TRY_VOID(tokenize());
    TRY_VOID(read_subject());
    TRY_VOID(read_rival());
    TRY_VOID(read_rows());
    if (peek().kind != Token::Kind::end) {
      return bad_here("expected 'where', 'by' or the end, got '" + peek().text + "'");
    }
    TRY_VOID(check_combination());
    TRY_VOID(read_required());
    return gate_;
  }

 private:
  std::unexpected<Error> bad(const std::string& text, Place at, const std::string& what) const {
    return fail(Code::invalid_argument, "eval.bad_gate",
                fmt::format("gate \"{}\" = \"{}\": {} (column {})\n    {}\n    {}^", line_.expression, line_.required,
                            what, at + 1, text, std::string(at, ' ')));
  }
  std::unexpected<Error> bad_here(const std::string& what) const { return bad(line_.expression, peek().at, what); }

  const Token& peek() const { return tokens_[next_]; }
  Token take() { return next_ + 1 < tokens_.size() ? tokens_[next_++] : tokens_[next_]; }
  bool take_word(std::string_view word) {
    if (peek().kind != Token::Kind::word || peek().text != word) return false;
    take();
    return true;
  }
  bool take_symbol(std::string_view symbol) {
    if (peek().kind != Token::Kind::symbol || peek().text != symbol) return false;
    take();
    return true;
  }

  Result<void> tokenize() {
    const std::string& text = line_.expression;
    for (std::size_t i = 0; i < text.size();) {
      const char c = text[i];
      const std::size_t from = i;
      if (c == ' ' || c == '\t') {
        ++i;
      } else if (c == '\'' || c == '"' || c == '`') {
        TRY(std::string inside, quoted(text, i));
        tokens_.push_back({c == '\'' ? Token::Kind::value : Token::Kind::column, std::move(inside), from});
      } else if (word_char(c)) {
        while (i < text.size() && word_char(text[i])) ++i;
        tokens_.push_back({Token::Kind::word, text.substr(from, i - from), from});
      } else {
        const std::size_t length = text.substr(i, 2) == "==" ? 2 : 1;
        tokens_.push_back({Token::Kind::symbol, text.substr(i, length), from});
        i += length;
      }
    }
    tokens_.push_back({Token::Kind::end, "", text.size()});
    return {};
  }

  // From the opening quote at `i` to behind the closing one; a doubled quote stands for itself.
  Result<std::string> quoted(const std::string& text, std::size_t& i) const {
    const char quote = text[i];
    const std::size_t from = i++;
    std::string inside;
    for (; i < text.size(); ++i) {
      if (text[i] != quote) {
        inside += text[i];
      } else if (i + 1 < text.size() && text[i + 1] == quote) {
        inside += text[i++];
      } else {
        ++i;
        return inside;
      }
    }
    return bad(text, from, fmt::format("the quote {} is never closed", quote));
  }

  const MetricInfo* metric_named(std::string_view name) const {
    return task_ ? find_metric(*task_, name) : find_metric(name);
  }

  std::string unknown_metric(const std::string& name) const {
    std::vector<std::string> names;
    for (const TaskType task : {TaskType::binary, TaskType::multiclass, TaskType::regression}) {
      if (task_ && *task_ != task) continue;
      for (auto& known : metric_names(task)) names.push_back(std::move(known));
    }
    for (const Subject& subject : subjects) names.emplace_back(subject.name);
    const std::string close = nearest(name, names);
    std::string what = fmt::format("no metric '{}'", name);
    if (task_ && find_metric(name) != nullptr) what += fmt::format(" for a {} model", task_name(*task_));
    if (!close.empty()) return what + fmt::format("; did you mean '{}'?", close);
    return what + "; known ones are " + fmt::format("{}", fmt::join(names, ", "));
  }

  // Whether "WORD.METRIC": a rival's.
  bool names_rival(const std::string& word) const {
    const std::size_t dot = word.find('.');
    return dot != std::string::npos && metric_named(word.substr(dot + 1)) != nullptr;
  }

  Result<void> read_subject() {
    const Token token = take();
    if (token.kind == Token::Kind::end) return bad(line_.expression, token.at, "expected a metric");
    if (token.kind != Token::Kind::word) {
      return bad(line_.expression, token.at, "expected a metric, got '" + token.text + "'");
    }
    for (const Subject& subject : subjects) {
      if (subject.name != token.text) continue;
      gate_.subject = subject.subject;
      return {};
    }
    if (names_rival(token.text)) {
      const std::string metric = token.text.substr(token.text.find('.') + 1);
      return bad(line_.expression, token.at,
                 fmt::format("the candidate's metric comes first: write '{} - {}'", metric, token.text));
    }
    gate_.metric = token.text;
    constexpr std::string_view gap = "_gap";
    if (metric_named(gate_.metric) == nullptr && gate_.metric.ends_with(gap)) {
      gate_.metric.resize(gate_.metric.size() - gap.size());
      gate_.gap = true;
    }
    if (metric_named(gate_.metric) == nullptr) return bad(line_.expression, token.at, unknown_metric(gate_.metric));
    return {};
  }

  Result<void> read_rival() {
    if (!take_symbol("-")) return {};
    const Token token = take();
    const std::size_t dot = token.text.find('.');
    if (token.kind != Token::Kind::word || dot == std::string::npos || dot == 0) {
      return bad(line_.expression, token.at,
                 fmt::format("expected whose {0} to compare with, such as 'current.{0}' or 'baseline.{0}'",
                             gate_.metric.empty() ? "metric" : gate_.metric));
    }
    gate_.rival = token.text.substr(0, dot);
    const std::string metric = token.text.substr(dot + 1);
    if (metric == gate_.metric) return {};
    if (metric_named(metric) == nullptr) return bad(line_.expression, token.at + dot + 1, unknown_metric(metric));
    return bad(line_.expression, token.at + dot + 1,
               fmt::format("a difference compares one metric: expected '{}.{}'", gate_.rival, gate_.metric));
  }

  Result<std::string> read_column(const char* after) {
    const Token token = take();
    if (token.kind == Token::Kind::word || token.kind == Token::Kind::column) return token.text;
    return bad(line_.expression, token.at, fmt::format("expected a column after '{}'", after));
  }

  Result<void> read_rows() {
    if (take_word("where")) {
      TRY(gate_.where_column, read_column("where"));
      if (!take_symbol("=") && !take_symbol("==")) return bad_here("expected '='; other conditions are not known yet");
      Token value = take();
      std::string sign;
      if (value.kind == Token::Kind::symbol && value.text == "-") {
        sign = "-";
        value = take();
      }
      if (value.kind == Token::Kind::end || value.kind == Token::Kind::symbol) {
        return bad(line_.expression, value.at, "expected a value, such as 'PT' or 3");
      }
      gate_.where_value = sign + value.text;
    }
    if (take_word("by")) {
      TRY(gate_.by_column, read_column("by"));
    }
    return {};
  }

  Result<void> check_combination() const {
    const auto wrong = [&](const std::string& what) { return bad(line_.expression, 0, what); };
    const bool picks_rows = !gate_.where_column.empty() || !gate_.by_column.empty();
    if (gate_.subject != Gate::Subject::metric && (picks_rows || !gate_.rival.empty())) {
      return wrong("latency and model.bytes stand alone: no rival, 'where' or 'by'");
    }
    if (!gate_.by_column.empty() && !gate_.rival.empty()) return wrong("'by' can't be used with a difference");
    if (!gate_.by_column.empty() && !gate_.where_column.empty())
      return wrong("'where' and 'by' can't be used together");
    if (gate_.gap && gate_.by_column.empty()) return wrong("a gap is between groups: add 'by COLUMN'");
    if (!gate_.by_column.empty() && !gate_.gap && metric_named(gate_.metric)->better == Better::neither) {
      return wrong(
          fmt::format("neither high nor low {0} is worst: write '{0}_gap by {1}'", gate_.metric, gate_.by_column));
    }
    return {};
  }

  Result<void> read_required() {
    const std::string& text = line_.required;
    std::size_t at = text.find_first_not_of(" \t");
    if (at == std::string::npos) return bad(text, 0, "expected what is required, such as '>= 0.8'");
    constexpr std::array<std::pair<std::string_view, Gate::Op>, 4> operators{
        {{">=", Gate::Op::at_least}, {"<=", Gate::Op::at_most}, {">", Gate::Op::above}, {"<", Gate::Op::below}}};
    const auto found = std::ranges::find_if(
        operators, [&](const auto& op) { return std::string_view(text).substr(at).starts_with(op.first); });
    if (found == operators.end()) return bad(text, at, "expected >=, >, <= or <");
    gate_.op = found->second;
    at = text.find_first_not_of(" \t", at + found->first.size());
    if (at == std::string::npos) return bad(text, text.size(), "expected a number");
    std::string right = text.substr(at);
    while (right.back() == ' ' || right.back() == '\t') right.pop_back();
    if (right.ends_with("error")) return read_error(right, at);
    return read_number(right, at);
  }

  Result<void> read_error(std::string right, Place at) {
    std::erase(right, ' ');
    const bool lower = right == "-error";
    if (!lower && right != "error") return bad(line_.required, at, "expected 'error', '-error' or a number");
    if (gate_.rival.empty()) {
      return bad(line_.required, at, "'error' is of a difference: write 'METRIC - baseline.METRIC' on the left");
    }
    if (gate_.op != (lower ? Gate::Op::below : Gate::Op::above)) {
      return bad(line_.required, 0, "with the error write '> error' (larger) or '< -error' (smaller)");
    }
    gate_.bound = Gate::Bound::error;
    return {};
  }

  Result<void> read_number(const std::string& right, Place at) {
    double number = 0;
    const auto [end, problem] = std::from_chars(right.data(), right.data() + right.size(), number);
    if (problem != std::errc{}) return bad(line_.required, at, fmt::format("'{}' is not a number", right));
    std::string unit(end, right.data() + right.size());
    std::erase(unit, ' ');
    gate_.number = number;
    if (gate_.subject == Gate::Subject::model_bytes) {
      auto size = parse_size(right);
      if (!size) return bad(line_.required, at, size.error().message);
      gate_.number = static_cast<double>(*size);
    } else if (gate_.subject != Gate::Subject::metric) {
      if (unit.empty() || unit == "ms") return {};
      if (unit != "us" && unit != "s") return bad(line_.required, at, "expected a duration such as 20ms");
      gate_.number = unit == "s" ? number * 1000 : number / 1000;
    } else if (unit == "%") {
      gate_.number = number / 100;
    } else if (!unit.empty()) {
      return bad(line_.required, at, fmt::format("{} has no unit: '{}' is not a plain number", gate_.metric, right));
    }
    return {};
  }

  const GateLine& line_;
  std::optional<TaskType> task_;
  Gate gate_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
};

}  // namespace

Result<Gate> parse_gate(const GateLine& line, std::optional<TaskType> task) { return Parser(line, task).parse(); }

Result<std::vector<Gate>> parse_gates(std::span<const GateLine> lines, std::optional<TaskType> task) {
  std::vector<Gate> gates;
  for (const GateLine& line : lines) {
    TRY(Gate gate, parse_gate(line, task));
    gates.push_back(std::move(gate));
  }
  return gates;
}

std::vector<std::string> columns_of(std::span<const Gate> gates) {
  std::vector<std::string> columns;
  for (const Gate& gate : gates) {
    for (const std::string& column : {gate.where_column, gate.by_column}) {
      if (!column.empty() && std::ranges::find(columns, column) == columns.end()) columns.push_back(column);
    }
  }
  return columns;
}

std::string where_text(const Gate& gate) {
  return gate.where_column.empty() ? "" : fmt::format("{} = '{}'", gate.where_column, gate.where_value);
}

std::vector<GateLine> default_gates(TaskType task) {
  const GateLine fast{"latency.p99", "<= 20ms"};
  switch (task) {
    case TaskType::binary:
      return {{"auc - baseline.auc", "> error"}, {"auc - current.auc", ">= -0.01"}, {"ece", "< 0.1"}, fast};
    case TaskType::multiclass:
      return {{"accuracy - baseline.accuracy", "> error"},
              {"accuracy - current.accuracy", ">= -0.01"},
              {"ece", "< 0.1"},
              fast};
    case TaskType::regression:
      return {{"r2 - baseline.r2", "> error"}, {"r2 - current.r2", ">= -0.01"}, fast};
  }
  return {};
}

}  // namespace millrace::eval
