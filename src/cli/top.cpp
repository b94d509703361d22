#include "cli/top.hpp"

#include <format>

#include "base/json.hpp"

namespace millrace::cli {

std::string top_json(const TopView& view) { return json::render(view); }

namespace {

Result<TopLook> look_at(Client& client, Env& env, SteadyPoint start) {
  TopLook out;
  TRY(const auto metrics, client.call("GET", "/metrics"));
  out.at_s = std::chrono::duration<double>(env.clock.steady() - start).count();
  out.samples = read_samples(metrics);
  if (auto status = client.get<api::Status>("/api/v1/status")) out.status = *std::move(status);
  return out;
}

// The terminal's other screen, for as long as it is looked at: what stood there before comes back.
class Screen {
 public:
  explicit Screen(const TopHost& host) : host_(host) {
    if (host_.columns > 0) host_.out("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    if (host_.columns > 0) host_.out("\x1b[?25h\x1b[?1049l");
  }
  Screen(const Screen&) = delete;

  void show(const std::string& text) {
    std::string out = "\x1b[H";
    for (const char c : fitted(text, host_.columns)) {
      if (c == '\n') out += "\x1b[K";
      out += c;
    }
    host_.out(out + "\x1b[J");
  }

 private:
  const TopHost& host_;
};

// Until it is time to look again; false: Ctrl-C.
bool wait(const TopHost& host, SteadyPoint until) {
  while (host.env.clock.steady() < until) {
    if (!host.pause()) return false;
  }
  return true;
}

}  // namespace

Result<Output> top(Client& client, const TopOptions& options, const TopHost& host, bool json) {
  const auto every = parse_duration(options.every);
  if (!every || every->count() < 100'000)
    return fail(Code::invalid_argument, "cli.bad_duration",
                std::format("--every {}: write a time of at least 100ms, as in 2s", options.every));
  const bool on_terminal = host.columns > 0 && !json && !options.once;
  const auto start = host.env.clock.steady();
  TRY(auto before, look_at(client, host.env, start));
  const auto plain = [&](const TopView& view) { return json ? top_json(view) + "\n" : top_text(view, 0); };
  std::optional<Screen> screen;
  if (on_terminal) {
    screen.emplace(host);
    screen->show(std::format("millrace   {}   the first figures come in {}\n", client.url(), options.every));
  }
  for (auto next = host.env.clock.steady() + *every;; next = std::max(next + *every, host.env.clock.steady())) {
    if (!wait(host, next)) return Output{};
    auto after = look_at(client, host.env, start);
    if (!after && !on_terminal) return fail(std::move(after).error());
    if (!after) {  // it may come back
      screen->show(std::format("millrace   {}   no answer: {}\n", client.url(), after.error().message));
      continue;
    }
    auto view = top_view(before, *after);
    view.url = client.url();
    view.time = format_time(host.env.clock.now()).substr(0, 19) + "Z";
    if (options.once) return Output{plain(view)};
    if (on_terminal) {
      screen->show(top_text(view, 0));
    } else {
      host.out(plain(view));
    }
    before = *std::move(after);
  }
}

}  // namespace millrace::cli
