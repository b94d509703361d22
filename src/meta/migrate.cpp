#include "meta/migrate.hpp"

#include <algorithm>
#include <map>

#include "base/digest.hpp"

namespace millrace::meta {

std::string migration_digest(const Migration& migration) { return sha256(migration.sql).hex(); }

std::vector<Migration> own_migrations() {
  return {{"meta", 1, R"sql(
    -- counters that move in the transaction that uses them, so that they have no gaps
    CREATE TABLE meta_counters (
      name TEXT PRIMARY KEY,
      value BIGINT NOT NULL
    );
    INSERT INTO meta_counters (name, value) VALUES ('outbox', 0);
    CREATE TABLE meta_outbox (
      seq BIGINT PRIMARY KEY,
      at BIGINT NOT NULL,
      subject TEXT NOT NULL,
      event_key TEXT NOT NULL,
      payload TEXT NOT NULL
    );
  )sql"}};
}

Result<std::vector<Migration>> plan_migrations(std::span<const Applied> applied, std::span<const Migration> known) {
  std::map<std::string, std::map<int, const Migration*>> by_module;
  std::vector<std::string> order;
  for (const auto& migration : known) {
    auto& numbers = by_module[migration.module];
    if (numbers.empty()) order.push_back(migration.module);
    if (!numbers.emplace(migration.number, &migration).second)
      return fail(Code::internal, "meta.bad_migrations",
                  migration.module + " has two migrations " + std::to_string(migration.number));
  }
  for (const auto& [module, numbers] : by_module) {
    if (numbers.begin()->first != 1 || numbers.rbegin()->first != static_cast<int>(numbers.size()))
      return fail(Code::internal, "meta.bad_migrations",
                  "the migrations of " + module + " are not numbered 1 to " + std::to_string(numbers.size()));
  }
  for (const auto& done : applied) {
    const auto module = by_module.find(done.module);
    if (module == by_module.end() || !module->second.contains(done.number))
      return fail(Code::failed_precondition, "meta.newer_migration",
                  "the database was changed by a newer program (" + done.module + " step " +
                      std::to_string(done.number) +
                      ", which this one does not know); use that version, or go back to the copy from before its "
                      "upgrade, meta.before-*.db in the data folder, as "
                      "docs/guide/operations.md says");
    auto& slot = module->second.at(done.number);
    if (slot != nullptr && migration_digest(*slot) != done.digest)
      return fail(Code::failed_precondition, "meta.changed_migration",
                  done.module + " step " + std::to_string(done.number) +
                      " was run with another text than this program holds; use the build that made this folder");
    slot = nullptr;
  }
  std::vector<Migration> out;
  for (const auto& module : order) {
    for (const auto& [number, migration] : by_module.at(module)) {
      if (migration != nullptr) out.push_back(*migration);
    }
  }
  return out;
}

}  // namespace millrace::meta
