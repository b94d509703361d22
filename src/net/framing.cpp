#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>

#include "net/framing_internal.hpp"
#include "net/http.hpp"

namespace millrace::net {

namespace {

constexpr std::string_view line_end = "\r\n";

bool token_character(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, token_character); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <int base = 10>
std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Collects what goes on; as long as that is the input itself, nothing is copied.
class Passed {
 public:
  explicit Passed(std::string_view input) : input_(input) {}
  void keep(std::size_t from, std::size_t to) {
    if (same_ && from == kept_)
      kept_ = to;
    else
      add(input_.substr(from, to - from));
  }
  void add(std::string_view text) {
    if (same_) output_ = input_.substr(0, kept_);
    same_ = false;
    output_ += text;
  }
  void into(Framing::Step& step) {
    // What was skipped at the end without a word (a trailer) also makes it differ.
    step.same = same_ && kept_ == step.consumed;
    if (!step.same) step.output = same_ ? std::string(input_.substr(0, kept_)) : std::move(output_);
  }

 private:
  std::string_view input_;
  std::size_t kept_ = 0;
  bool same_ = true;
  std::string output_;
};

}  // namespace

Result<Framing::Head> Framing::read_head(std::string_view head, int& status) const {
  auto bad = [&](std::string what, int with = 400, std::string_view reason = "net.bad_head") {
    status = with;
    return fail(Code::invalid_argument, reason, "this is not a valid HTTP/1.1 request: " + what);
  };
  auto line = head.substr(0, head.find(line_end));
  head.remove_prefix(line.size() + 2);
  auto method = line.substr(0, line.find(' '));
  auto version = line.substr(line.rfind(' ') == std::string_view::npos ? line.size() : line.rfind(' ') + 1);
  if (!is_token(method) || method.size() + version.size() + 3 > line.size())
    return bad("the request line must be METHOD PATH HTTP/1.1");
  auto target = line.substr(method.size() + 1, line.size() - method.size() - version.size() - 2);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return bad("the version is neither HTTP/1.1 nor HTTP/1.0", 505);
  if (!std::ranges::all_of(target, [](unsigned char c) { return c > 0x20 && c != 0x7F; }))
    return bad("the path holds a space or a control character; encode it");
  constexpr std::string_view methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
  if (std::ranges::find(methods, method) == std::end(methods)) {
    status = 501;
    return fail(Code::unimplemented, "net.unknown_method", "the method " + std::string(method) + " is not known here");
  }

  Head out;
  std::optional<std::uint64_t> length;
  std::size_t count = 0, hosts = 0;
  std::string rest;  // the head without those two
  std::string_view expect;
  auto first = line;
  while (!head.empty()) {
    line = head.substr(0, head.find(line_end));
    head.remove_prefix(line.size() + 2);
    if (line.empty()) break;
    if (++count > limits_.headers_max)
      return bad("more than " + std::to_string(limits_.headers_max) + " headers", 431, "net.head_too_large");
    auto name = line.substr(0, line.find(':'));
    if (name.size() == line.size() || !is_token(name)) return bad("a header line must be Name: value");
    auto value = trimmed(line.substr(name.size() + 1));
    if (!std::ranges::all_of(value, [](unsigned char c) { return (c >= 0x20 && c != 0x7F) || c == '\t'; }))
      return bad("a header holds a control character");
    if (equal_ignoring_case(name, "Content-Length")) {
      auto number = whole_number(value);
      if (!number || length) return bad("Content-Length must be one number", 400, "net.bad_framing");
      length = number;
    } else if (equal_ignoring_case(name, "Transfer-Encoding")) {
      if (out.chunked || !equal_ignoring_case(value, "chunked") || version != "HTTP/1.1")
        return bad("the only Transfer-Encoding known here is chunked", 501, "net.bad_framing");
      out.chunked = true;
    } else if (equal_ignoring_case(name, "Host")) {
      ++hosts;
    } else if (equal_ignoring_case(name, "Expect")) {
      if (!equal_ignoring_case(value, "100-continue")) return bad("the only Expect known here is 100-continue", 417);
      expect = line;
      out.changed = true;
      continue;
    } else if (equal_ignoring_case(name, "Upgrade")) {  // nothing here is upgraded to; a server may pass it over
      out.changed = true;
      continue;
    }
    rest.append(line).append(line_end);
  }
  if (hosts > 1 || (hosts == 0 && version == "HTTP/1.1")) return bad("there must be one Host header");
  if (length && out.chunked) return bad("there is Content-Length as well as Transfer-Encoding", 400, "net.bad_framing");
  out.length = length.value_or(0);
  if (out.length > limits_.body_bytes_max) {
    status = 413;
    return fail(Code::out_of_range, "net.body_too_large", "the body is larger than anything accepted here");
  }
  out.expects = !expect.empty();
  if (out.changed) out.output = std::string(first) + std::string(line_end) + rest + std::string(line_end);
  return out;
}

Framing::Step Framing::take(std::string_view input) {
  Step step;
  Passed passed(input);
  std::size_t at = 0, requests = 0;
  auto refuse = [&](Error error, int status) {
    step.refusal = std::move(error);
    step.status = status;
    state_ = State::dead;
  };
  auto break_body = [&] {
    step.body_broken = true;
    state_ = State::dead;
  };
  for (bool more = true; more && state_ != State::dead;) {
    auto rest = input.substr(at);
    switch (state_) {
      case State::head: {
        // Empty lines before a request line are allowed (RFC 9112, 2.2) and go no further.
        if (rest.starts_with(line_end)) {
          at += 2;
          searched_ = 0;
          break;
        }
        constexpr std::string_view head_end = "\r\n\r\n";
        auto end = rest.find(head_end, searched_ < 3 ? 0 : searched_ - 3);
        if (end == std::string_view::npos ? rest.size() > limits_.head_bytes_max : end > limits_.head_bytes_max) {
          refuse({Code::invalid_argument, "net.head_too_large",
                  "the head of the request is larger than " + std::to_string(limits_.head_bytes_max) + " bytes"},
                 431);
          break;
        }
        if (end == std::string_view::npos) {
          searched_ = rest.size();
          more = false;
          break;
        }
        searched_ = 0;
        std::size_t size = end + head_end.size();
        int status = 400;
        auto head = read_head(rest.substr(0, size), status);
        if (!head) {
          refuse(head.error(), status);
          break;
        }
        if (head->changed)
          passed.add(head->output);
        else
          passed.keep(at, at + size);
        if (head->expects) {
          step.send_continue = head->chunked || head->length > 0;
          more = false;  // one such head a step, so that the caller knows whose it is
        }
        if (++requests >= limits_.requests_max) more = false;
        at += size;
        left_ = head->length;
        body_bytes_ = 0;
        state_ = head->chunked ? State::chunk_size : left_ > 0 ? State::fixed_body : State::head;
        break;
      }
      case State::fixed_body: {
        auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size()));
        passed.keep(at, at + size);
        at += size;
        left_ -= size;
        if (left_ == 0)
          state_ = State::head;
        else
          more = false;
        break;
      }
      case State::chunk_size: {
        constexpr std::size_t line_max = 256, digits_max = 15;
        auto end = rest.substr(0, line_max).find(line_end);
        if (end == std::string_view::npos) {
          if (rest.size() >= line_max) break_body();
          more = false;
          break;
        }
        auto digits = trimmed(rest.substr(0, std::min(end, rest.find(';'))));  // an extension says nothing to us
        auto size = whole_number<16>(digits);
        if (!size || digits.size() > digits_max || *size > limits_.body_bytes_max - body_bytes_) {
          break_body();
          break;
        }
        at += end + 2;
        left_ = *size;
        body_bytes_ += *size;
        state_ = left_ > 0 ? State::chunk_data : State::trailer;
        break;
      }
      case State::chunk_data: {
        auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size()));
        if (size == 0) {
          more = false;
          break;
        }
        char line[24];
        std::snprintf(line, sizeof line, "%zx\r\n", size);
        passed.add(line);
        passed.add(rest.substr(0, size));
        passed.add(line_end);
        at += size;
        left_ -= size;
        if (left_ == 0) state_ = State::chunk_end;
        break;
      }
      case State::chunk_end:
        if (rest.size() < 2) {
          if (rest.size() == 1 && rest[0] != '\r') break_body();
          more = false;
        } else if (!rest.starts_with(line_end)) {
          break_body();
        } else {
          at += 2;
          state_ = State::chunk_size;
        }
        break;
      case State::trailer: {
        // Header lines until an empty one; they are dropped. left_ counts them from here on.
        auto end = rest.find(line_end);
        if (end == std::string_view::npos || left_ + end > limits_.head_bytes_max) {
          if (left_ + rest.size() > limits_.head_bytes_max) break_body();
          more = false;
          break;
        }
        at += end + 2;
        left_ += end + 2;
        if (end == 0) {
          passed.add("0\r\n\r\n");
          left_ = 0;
          state_ = State::head;
        }
        break;
      }
      case State::dead:
        break;
    }
    if (at == input.size() && state_ != State::dead) more = false;
  }
  step.consumed = state_ == State::dead ? input.size() : at;
  passed.into(step);
  return step;
}

}  // namespace millrace::net
