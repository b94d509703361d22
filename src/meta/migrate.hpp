// Which migrations to run: decided here, purely; run by the backend, each in one transaction with its record.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

// What the database remembers of a migration that was run. `digest` is the SHA-256 of its SQL.
struct Applied {
  std::string module;
  int number = 0;
  std::string digest;
};

std::string migration_digest(const Migration& migration);

// meta's own tables.
std::vector<Migration> own_migrations();

// Pure. The migrations still to run, in the order given and by number within a module; or
//   internal             meta.bad_migrations     the known ones of a module are not 1..n, once each
//   failed_precondition  meta.newer_migration    the database has one that this program does not know
//   failed_precondition  meta.changed_migration  one that was run has another text now
Result<std::vector<Migration>> plan_migrations(std::span<const Applied> applied, std::span<const Migration> known);

}  // namespace millrace::meta
