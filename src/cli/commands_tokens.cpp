// tokens: who may call.
#include <format>

#include "api/native/wire_tokens.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string rights_text(const std::vector<std::string>& rights) {
  std::string out;
  for (const auto& right : rights) out += (out.empty() ? "" : ", ") + right;
  return out;
}

}  // namespace

Result<Output> tokens_add(Client& client, const std::string& name, const std::vector<std::string>& rights, bool json) {
  api::TokenRequest ask{name, rights};
  TRY(const auto made, client.post<api::NewToken>("/api/v1/tokens", ask));
  if (json) return Output{api::render(made) + "\n"};
  return Output{
      std::format("{}\n\ntoken     {}   rights: {}\n          it is shown this once: only its SHA-256 is kept\n"
                  "  use     Authorization: Bearer TOKEN, or MILLRACE_TOKEN for this program\n"
                  "  end     millrace tokens revoke {}\n",
                  made.token, made.name, rights_text(made.rights), made.name)};
}

Result<Output> tokens_list(Client& client, bool json) {
  TRY(const auto list, client.get<api::TokenList>("/api/v1/tokens"));
  if (json) return Output{api::render(list) + "\n"};
  if (list.tokens.empty()) return Output{"no named token; the one in the data folder's file `token` has all rights\n"};
  Table table({"name", "rights", "made", "by", "revoked", "by"});
  for (const auto& one : list.tokens)
    table.add({one.name, rights_text(one.rights), short_time(one.made), one.made_by,
               one.revoked.empty() ? "-" : short_time(one.revoked), one.revoked.empty() ? "-" : one.revoked_by});
  return Output{table.text()};
}

Result<Output> tokens_revoke(Client& client, const std::string& name, bool json) {
  TRY(const auto gone,
      client.post<api::TokenInfo>(std::format("/api/v1/tokens/{}/revoke", percent_encoded(name)), api::Empty{}));
  if (json) return Output{api::render(gone) + "\n"};
  return Output{std::format("revoked   {}   it opens nothing any more\n", gone.name)};
}

}  // namespace millrace::cli
