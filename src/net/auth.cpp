#include "net/auth.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <format>
#include <ranges>

#include "base/digest.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/rng.hpp"

namespace millrace::net {

namespace {

// "example.com:8080" -> "example.com", "[::1]:80" -> "::1"; what is neither comes back whole and matches nothing.
std::string_view without_port(std::string_view host) {
  if (!host.starts_with('[')) return host.substr(0, host.find(':'));
  auto close = host.find(']');
  if (close == std::string_view::npos || (close + 1 < host.size() && host[close + 1] != ':')) return host;
  return host.substr(1, close - 1);
}

// "127.0.0.1", "127.8.0.2": an address of this machine alone; not a name that begins like one.
bool is_loopback_v4(std::string_view name) {
  if (!name.starts_with("127.")) return false;
  int parts = 0;
  for (auto part : std::views::split(name, '.')) {
    const std::string_view digits(part.begin(), part.end());
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != digits.npos) return false;
    ++parts;
  }
  return parts == 4;
}

bool known_host(std::string_view host, const AuthPolicy& policy) {
  auto name = without_port(host);
  if (is_loopback_v4(name) || name == "::1" || equal_ignoring_case(name, "localhost")) return true;
  return std::ranges::any_of(policy.hosts, [&](const std::string& known) {
    return equal_ignoring_case(known, host) || equal_ignoring_case(known, name);
  });
}

// An Origin is "scheme://host[:port]" or "null".
bool same_origin(std::string_view origin, std::string_view host, const AuthPolicy& policy) {
  auto at = origin.find("://");
  if (at == std::string_view::npos) return false;
  auto from = origin.substr(at + 3);
  if (equal_ignoring_case(from, host)) return true;
  return std::ranges::any_of(policy.hosts, [&](const std::string& known) {
    return equal_ignoring_case(known, from) || equal_ignoring_case(known, without_port(from));
  });
}

// The same time wherever they differ.
bool same(const Digest& a, const Digest& b) {
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < a.bytes.size(); ++i) difference = difference | (a.bytes[i] ^ b.bytes[i]);
  return difference == 0;
}

std::string right_needed_text(const AuthFacts& facts, const NamedToken& token) {
  std::string has;
  for (const auto& name : token.rights.names()) has += (has.empty() ? "" : ", ") + name;
  return std::format(
      "{} needs the right '{}', and the token '{}' has: {}; use another token, or make one: millrace "
      "tokens add NAME --right {}",
      facts.what, name_of(facts.right), token.name, has, name_of(facts.right));
}

}  // namespace

Result<void> authorize_now(const AuthFacts& facts, const AuthPolicy& policy) {
  // Who sends no token needs none of the table.
  const bool looked_up = policy.tokens && !facts.authorization.empty() && facts.access != Access::open;
  return looked_up ? authorize(facts, policy, *policy.tokens->now()) : authorize(facts, policy);
}

bool is_loopback(std::string_view host) {
  if (host.starts_with('[')) host = without_port(host);
  return equal_ignoring_case(host, "localhost") || host == "::1" || is_loopback_v4(host);
}

Result<void> authorize(const AuthFacts& facts, const AuthPolicy& policy, const TokenTable& tokens) {
  if (facts.access == Access::open) return ok();
  if (!facts.authorization.empty()) {
    auto text = facts.authorization;
    const bool bearer = text.size() > 7 && equal_ignoring_case(text.substr(0, 7), "Bearer ");
    if (bearer) text.remove_prefix(7);
    const auto digest = sha256(text);
    if (bearer && !policy.token.empty() && same(digest, sha256(policy.token.reveal()))) return ok();
    const auto* token = bearer ? tokens.find(digest) : nullptr;
    if (!token)
      return fail(Code::unauthenticated, "net.bad_token",
                  "the Authorization header does not hold a token of this server; send \"Authorization: Bearer "
                  "<token>\". A token that was revoked is one no more");
    if (suffices(token->rights, facts.right)) return ok();
    return fail(Code::permission_denied, "net.right_needed", right_needed_text(facts, *token));
  }
  if (policy.token_required)
    return fail(
        Code::unauthenticated, "net.token_needed",
        "this server listens beyond this machine, so every request needs \"Authorization: Bearer <token>\"; one "
        "with all rights is in the file `token` of its data folder, others are made with: millrace tokens add");
  if (!known_host(facts.host, policy))
    return fail(Code::permission_denied, "net.foreign_host",
                "without a token only requests to localhost are accepted, this one names the host '" +
                    std::string(facts.host) + "'; send the token, or add the name to `hosts` in the profile");
  if (facts.access == Access::write && !facts.origin_allowed) {
    bool foreign_site =
        !facts.sec_fetch_site.empty() && facts.sec_fetch_site != "same-origin" && facts.sec_fetch_site != "none";
    bool foreign = facts.origin.empty() ? foreign_site : !same_origin(facts.origin, facts.host, policy);
    if (foreign)
      return fail(Code::permission_denied, "net.foreign_origin",
                  "a web page of another site (" +
                      std::string(facts.origin.empty() ? facts.sec_fetch_site : facts.origin) +
                      ") sent this request; send the token, or add the page's host to `hosts` in the profile, or for "
                      "predictions its "
                      "origin to [serve] origins");
  }
  return ok();
}

Result<Secret> load_or_make_token(const std::string& path, Env& env) {
  constexpr std::size_t token_min = 16;
  if (!exists(env.fs, path)) {
    TRY_VOID(env.fs.make_dirs(parent_path(path)));
    // The mode is set while the file is still empty; nobody else ever reads the token. It gets its name when it is
    // whole: what a process leaves that dies before is written anew.
    const auto temporary = path + ".tmp";
    TRY(auto file, env.fs.open_write(temporary, WriteMode::truncate));
    ::chmod(temporary.c_str(), S_IRUSR | S_IWUSR);
    const auto token = make_token(env.rng);
    TRY_VOID(env.faults.reach("net.token.before_write"));
    TRY_VOID(file->append(as_bytes(token.reveal() + "\n")));
    TRY_VOID(file->sync());
    TRY_VOID(env.faults.reach("net.token.before_rename"));
    TRY_VOID(env.fs.rename(temporary, path));
    TRY_VOID(env.fs.sync_dir(parent_path(path)));
    TRY_VOID(env.faults.reach("net.token.after_folder_sync"));
    return token;
  }
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return fail(Code::failed_precondition, "net.token_exposed",
                "the token file " + path + " can be read by others; run: chmod 600 " + path);
  TRY(auto text, read_file(env.fs, path, 4096));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (text.size() < token_min)
    return fail(Code::failed_precondition, "net.token_short",
                "the token in " + path + " has fewer than 16 characters; remove the file to get a new one");
  return Secret(std::move(text));
}

}  // namespace millrace::net
