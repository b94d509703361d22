#include "sim/world.hpp"

#include <array>

#include "blob/local.hpp"
#include "loop/log_records.hpp"
#include "meta/sqlite.hpp"
#include "queue/local.hpp"
#include "sim/tamper.hpp"

namespace millrace::simulator {

namespace {

constexpr std::uint64_t whole_disk = std::uint64_t{1} << 50;

meta::SimVfsOptions vfs_options(std::uint64_t seed, Plant plant) {
  meta::SimVfsOptions options;
  options.skip_sync = plant == Plant::meta_file_not_synced;
  options.skip_sync_dir = plant == Plant::meta_folder_not_synced;
  options.powersafe_overwrite = seed % 2 == 0;
  return options;
}

}  // namespace

std::span<const std::string_view> simulated_fault_points() {
  static constexpr auto names = std::to_array<std::string_view>({
      "blob.gc.after_move",
      "blob.gc.before_move",
      "blob.gc.before_remove",
      "blob.quarantine.before_move",
      "blob.write.after_folder_sync",
      "blob.write.after_rename",
      "blob.write.before_rename",
      "blob.write.before_sync",
      "flow.complete.before_commit",
      "flow.relay.after_publish",
      "flow.relay.before_publish",
      "label.add.before_commit",
      "label.add.halfway",
      "loop.checkpoint.after_commit",
      "loop.complete.after_commit",
      "loop.complete.before_commit",
      "loop.gc.after_snapshot",
      "loop.ingest.before_commit",
      "loop.promote.after_commit",
      "loop.register.after_number",
      "loop.register.before_commit",
      "loop.retention.before_commit",
      "loop.roll.after_commit",
      "loop.roll.after_remove",
      "loop.roll.before_commit",
      "loop.roll.before_remove",
      "loop.rollback.after_commit",
      "meta.commit.after",
      "meta.commit.before",
      "meta.folder.before_format",
      "meta.migrate.before_commit",
      "queue.positions.after_write",
      "queue.positions.before_write",
      "queue.publish.after_sync",
      "queue.publish.before_sync",
      "queue.publish.before_write",
      "queue.segment.after_folder_sync",
      "queue.segment.before_rename",
      "queue.trim.before_remove",
      "serve.log.after_line",
      "serve.log.before_line",
  });
  return names;
}

std::vector<meta::Migration> all_migrations() {
  auto all = loop::all_migrations();
  all.push_back({"sim", 1,
                 "CREATE TABLE sim_barrier (n BIGINT PRIMARY KEY);"
                 "CREATE TABLE sim_effects (job TEXT NOT NULL, token BIGINT NOT NULL);"
                 "CREATE TABLE sim_handled (subject TEXT PRIMARY KEY, seq BIGINT NOT NULL, total BIGINT NOT NULL);"});
  return all;
}

World::World(std::uint64_t seed, Plant plant)
    : story_rng(seed),
      disk_rng(seed ^ 0x9E3779B97F4A7C15u),
      module_rng(seed ^ 0xD1B54A32D192ED03u),
      raw_disk(clock),
      disk(raw_disk, plant),
      env{disk, clock, module_rng, faults, *log},
      plant_(plant),
      vfs_(raw_disk, clock, module_rng, vfs_options(seed, plant)) {
  raw_disk.set_sector_damage(seed % 2 == 1);
  arm("");
}

World::~World() { end(End::kill); }

Result<std::unique_ptr<Modules>> World::build() {
  auto m = std::make_unique<Modules>();
  const loop::Paths paths{"data", "project"};
  const meta::SqliteConfig config{
      .folder = paths.data_dir, .program = "sim", .readers_max = 2, .checkpoint_pages = 64, .vfs = vfs_.name()};
  TRY(m->real_store, meta::open_sqlite(env, config, writer_, all_migrations()));
  m->tampered_store = tamper_with(*m->real_store, plant_);
  m->store = m->tampered_store ? m->tampered_store.get() : m->real_store.get();
  TRY(m->blobs, blob::open_local(env, {paths.blob_dir()}));
  TRY(m->job_blobs, blob::open_local(env, {paths.blob_dir()}));
  TRY(m->real_queue, queue::open_local(env, {.dir = "data/queue", .segment_bytes = 6'000, .retain_bytes = 60'000}));
  m->tampered_queue = tamper_with(*m->real_queue, *m->real_store, plant_);
  m->queue = m->tampered_queue ? m->tampered_queue.get() : m->real_queue.get();
  m->relay = std::make_unique<flow::Relay>(env, *m->store, *m->queue, relay_work);
  m->jobs = std::make_unique<flow::Jobs>(env, *m->store);
  loop::Service::Config service{paths, 1};
  if (has(Plant::gc_without_grace)) service.garbage.grace = Duration(0);
  m->service = std::make_unique<loop::Service>(service, env, *m->store, *m->blobs, *m->jobs);
  // The disk says yes again as soon as its fault is over, so the log asks it each time.
  serve::PredictionLog::Config log_config{
      .dir = paths.log_dir(), .segment_bytes = 32'768, .make_again_after = Duration(0)};
  TRY(log_config.numbers_used, m->store->read([](meta::Reader& reader) { return loop::rolled_through(reader); }));
  log_config.rolled_through = log_config.numbers_used;
  TRY(m->log, serve::PredictionLog::open(log_config, env));
  m->service->use_log(*m->log);
  TRY_VOID(m->service->load_project());
  return m;
}

Result<void> World::open() {
  relay_work.forget();
  TRY(modules_, build());
  return {};
}

bool World::dead() {
  const auto root = raw_disk.info("/");
  return !root && root.error().reason == "fs.crashed";
}

void World::end(End how) {
  if (how != End::restart) raw_disk.die_at(0);  // closing in order would tidy up
  clear_faults();
  if (how != End::restart) raw_disk.die_at(0);
  modules_ = nullptr;
  relay_work.forget();
  disk.forget();
  if (how == End::power) raw_disk.crash(disk_rng);
  if (how == End::kill) raw_disk.kill();
  raw_disk.clear_faults();
}

void World::take_counts() {
  for (const auto& [name, count] : faults.reached()) reached_[name] += count;
}

void World::arm(const std::string& spec) {
  take_counts();
  // A time that never comes: the point is only counted.
  std::string all = spec;
  const auto chosen = spec.substr(0, spec.find('='));
  for (const auto name : simulated_fault_points()) {
    if (name == chosen) continue;
    all += (all.empty() ? "" : ",") + std::string(name) + "=error@1000000000";
  }
  if (auto armed = faults.arm(all); !armed) reached_["bad spec: " + spec] = 1;
}

void World::clear_faults() {
  raw_disk.clear_faults();
  arm("");
}

const std::map<std::string, std::uint64_t>& World::reached() {
  take_counts();
  (void)faults.arm("");
  return reached_;
}

std::uint64_t World::used_bytes() { return whole_disk - raw_disk.free_bytes("/").value_or(whole_disk); }

}  // namespace millrace::simulator
