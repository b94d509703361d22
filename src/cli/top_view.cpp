#include <algorithm>
#include <cmath>
#include <format>
#include <map>
#include <set>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "cli/print.hpp"
#include "cli/top.hpp"

namespace millrace::cli {

namespace {

constexpr std::size_t routes_shown = 8;

using Labels = std::map<std::string, std::string>;

// Sums of samples, by whatever is asked.
class Samples {
 public:
  explicit Samples(const std::vector<Sample>& samples) : samples_(samples) {}

  // Of all series with these labels; nothing where there is none.
  std::optional<double> sum(std::string_view name, const Labels& labels = {}) const {
    std::optional<double> out;
    for (const auto& one : samples_) {
      if (one.name == name && has(one, labels)) out = out.value_or(0) + one.value;
    }
    return out;
  }
  // Counts up to each bound.
  std::map<double, double> buckets(std::string_view name, const Labels& labels) const {
    std::map<double, double> out;
    for (const auto& one : samples_) {
      const auto le = one.labels.find("le");
      if (one.name == name && has(one, labels) && le != one.labels.end())
        out[le->second == "+Inf" ? INFINITY : std::strtod(le->second.c_str(), nullptr)] += one.value;
    }
    return out;
  }
  std::set<std::string> values_of(std::string_view name, const std::string& label) const {
    std::set<std::string> out;
    for (const auto& one : samples_) {
      const auto found = one.labels.find(label);
      if (one.name == name && found != one.labels.end()) out.insert(found->second);
    }
    return out;
  }
  const std::vector<Sample>& all() const { return samples_; }

 private:
  static bool has(const Sample& sample, const Labels& labels) {
    return std::ranges::all_of(labels, [&](const auto& label) {
      const auto found = sample.labels.find(label.first);
      return found != sample.labels.end() && found->second == label.second;
    });
  }
  const std::vector<Sample>& samples_;
};

class Between {
 public:
  Between(const TopLook& before, const TopLook& after, bool anew)
      : before_(before.samples), after_(after.samples), seconds_(after.at_s - before.at_s), anew_(anew) {}

  std::optional<double> rate(std::string_view name, const Labels& labels = {}) const {
    const auto now = after_.sum(name, labels);
    if (!now || seconds_ <= 0) return std::nullopt;
    return std::max(0.0, *now - (anew_ ? 0 : before_.sum(name, labels).value_or(0))) / seconds_;
  }
  std::optional<double> quantile_ms(const std::string& family, const Labels& labels, double share) const {
    const auto now = after_.buckets(family + "_bucket", labels);
    const auto then = anew_ ? std::map<double, double>() : before_.buckets(family + "_bucket", labels);
    std::vector<Bucket> buckets;
    double up_to_now = 0, up_to_then = 0;
    for (const auto& [bound, count] : now) {
      const auto old = then.contains(bound) ? then.at(bound) : up_to_then;
      buckets.push_back({bound, std::max(0.0, (count - up_to_now) - (old - up_to_then))});
      up_to_now = count;
      up_to_then = old;
    }
    const auto value = bucket_quantile(buckets, share);
    return value ? std::optional(*value * 1000) : std::nullopt;
  }
  const Samples& now() const { return after_; }

 private:
  Samples before_, after_;
  double seconds_;
  bool anew_;
};

// The family of histograms that times whole requests of a model, if this server has one.
std::string model_family(const Samples& samples) {
  constexpr std::string_view ending = "_bucket";
  for (const auto& one : samples.all()) {
    if (!one.name.starts_with("millrace_serve_") || !one.name.contains("request") || !one.name.ends_with(ending))
      continue;
    if (!one.labels.contains("model") || one.labels.contains("phase")) continue;
    return one.name.substr(0, one.name.size() - ending.size());
  }
  return "";
}

bool fell(const TopLook& before, const TopLook& after) {
  const auto then = Samples(before.samples).sum("process_cpu_seconds_total");
  const auto now = Samples(after.samples).sum("process_cpu_seconds_total");
  return then && now && *now < *then;
}

std::string per_second(double value) {
  return value < 10 && value > 0 ? std::format("{:.1f}", value) : with_thousands(std::llround(value));
}
std::string per_second(std::optional<double> value) { return value ? per_second(*value) : "-"; }
std::string ms(std::optional<double> value) {
  if (!value) return "-";
  return *value >= 1000 ? std::format("{:.1f} s", *value / 1000)
         : *value >= 10 ? std::format("{:.0f} ms", *value)
                        : std::format("{:.2f} ms", *value);
}

void models_of(const Between& between, TopView& view) {
  const auto family = model_family(between.now());
  for (const auto& name : between.now().values_of("millrace_serve_requests", "model")) {
    const Labels labels{{"model", name}};
    const auto version = between.now().sum("millrace_serve_version", labels);
    TopModel model{.name = name,
                   .version = version && *version >= 0 ? std::format("{:.0f}", *version) : "none",
                   .requests_per_s = between.rate("millrace_serve_requests", labels).value_or(0),
                   .rows_per_s = between.rate("millrace_serve_rows", labels).value_or(0),
                   .errors_per_s = between.rate("nv_inference_request_failure", labels),
                   .p50_ms = {},
                   .p99_ms = {}};
    if (!family.empty()) {
      model.p50_ms = between.quantile_ms(family, labels, 0.5);
      model.p99_ms = between.quantile_ms(family, labels, 0.99);
    }
    view.models.push_back(std::move(model));
  }
}

void routes_of(const Between& between, TopView& view) {
  std::set<std::pair<std::string, std::string>> known;
  for (const auto& one : between.now().all()) {
    if (one.name == "millrace_net_requests_total" && one.labels.contains("route") && one.labels.contains("method"))
      known.emplace(one.labels.at("method"), one.labels.at("route"));
  }
  for (const auto& [method, route] : known) {
    const Labels labels{{"method", method}, {"route", route}};
    const auto with_status = [&](const char* status) {
      auto more = labels;
      more["status"] = status;
      return between.rate("millrace_net_requests_total", more).value_or(0);
    };
    TopRoute line{.route = route.empty() ? "(no such path)" : method + " " + route,
                  .requests_per_s = between.rate("millrace_net_requests_total", labels).value_or(0),
                  .client_errors_per_s = with_status("4xx"),
                  .server_errors_per_s = with_status("5xx"),
                  .p50_ms = between.quantile_ms("millrace_net_request_seconds", labels, 0.5),
                  .p99_ms = between.quantile_ms("millrace_net_request_seconds", labels, 0.99)};
    if (line.requests_per_s > 0) view.routes.push_back(std::move(line));
  }
  std::ranges::stable_sort(view.routes, std::ranges::greater(), &TopRoute::requests_per_s);
  if (view.routes.size() > routes_shown) view.routes.resize(routes_shown);
}

// A line of at most so many columns, whole code points.
std::string cut(const std::string& line, int columns) {
  if (columns <= 0 || display_width(line) <= static_cast<std::size_t>(columns)) return line;
  std::string out;
  int width = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((line[i] & 0xC0) != 0x80 && ++width > columns) break;
    out += line[i];
  }
  return out;
}

}  // namespace

std::optional<double> bucket_quantile(const std::vector<Bucket>& buckets, double share) {
  double all = 0;
  for (const auto& bucket : buckets) all += bucket.count;
  if (!(all > 0)) return std::nullopt;
  double below = 0, lower = 0;
  for (const auto& bucket : buckets) {
    if (below + bucket.count >= share * all && bucket.count > 0) {
      if (std::isinf(bucket.bound)) return lower;
      return lower + (bucket.bound - lower) * (share * all - below) / bucket.count;
    }
    below += bucket.count;
    lower = bucket.bound;
  }
  return lower;
}

TopView top_view(const TopLook& before, const TopLook& after) {
  TopView view{.seconds = after.at_s - before.at_s, .started_anew = fell(before, after)};
  const Between between(before, after, view.started_anew);
  const auto& now = between.now();
  view.cpu_used = between.rate("process_cpu_seconds_total");
  view.memory_bytes = now.sum("process_resident_memory_bytes");
  view.files_open = now.sum("process_open_fds");
  view.processors = now.sum("millrace_app_processors").value_or(0);
  view.connections = now.sum("millrace_net_connections").value_or(0);
  view.in_flight = now.sum("millrace_net_requests_in_flight").value_or(0);
  view.refused_per_s = between.rate("millrace_net_refused_full_total").value_or(0);
  models_of(between, view);
  routes_of(between, view);
  if (after.status) {
    view.project = after.status->project;
    view.running = after.status->running;
    view.waiting = after.status->waiting;
  }
  return view;
}

std::string top_text(const TopView& view, int columns) {
  std::string out = std::format("millrace   {}{}   {}\n", view.url,
                                view.project.empty() ? "" : "   project " + view.project, view.time);
  if (view.started_anew) out += "note       the server was started anew; figures are since then\n";
  out += "server     ";
  out += view.cpu_used ? std::format("cpu {:.2f} of {:g}   ", *view.cpu_used, view.processors) : "";
  out += view.memory_bytes ? std::format("memory {}   ", format_size(static_cast<long long>(*view.memory_bytes))) : "";
  out += view.files_open ? std::format("files {:.0f}   ", *view.files_open) : "";
  out += std::format("connections {:.0f}   in flight {:.0f}   refused {}/s\n\n", view.connections, view.in_flight,
                     per_second(view.refused_per_s));
  Table models({"model", "version", "requests/s", "rows/s", "errors/s", "p50", "p99"},
               {false, true, true, true, true, true, true});
  for (const auto& model : view.models)
    models.add({model.name, model.version, per_second(model.requests_per_s), per_second(model.rows_per_s),
                per_second(model.errors_per_s), ms(model.p50_ms), ms(model.p99_ms)});
  out += models.empty() ? "no model yet\n" : models.text();
  Table routes({"route", "requests/s", "4xx/s", "5xx/s", "p50", "p99"}, {false, true, true, true, true, true});
  for (const auto& route : view.routes)
    routes.add({route.route, per_second(route.requests_per_s), per_second(route.client_errors_per_s),
                per_second(route.server_errors_per_s), ms(route.p50_ms), ms(route.p99_ms)});
  if (!routes.empty()) out += "\n" + routes.text();
  if (!view.running.empty() || !view.waiting.empty()) out += "\n";
  for (const auto& line : view.running) out += "running    " + line + "\n";
  for (const auto& line : view.waiting) out += "waiting    " + line + "\n";
  return fitted(out, columns);
}

std::string fitted(const std::string& text, int columns) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    out += cut(text.substr(at, end - at), columns) + "\n";
    at = end + 1;
  }
  return out;
}

}  // namespace millrace::cli
