// Blobs by themselves: small ones at once, large ones in pieces over several operations, again, pinned, collected.
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

std::string text_of(Sim& sim, std::size_t size) {
  std::string out = sim.unique("blob") + " ";
  const auto letter = static_cast<char>('a' + sim.below(26));
  if (out.size() < size) out.resize(size, letter);
  return out;
}

void put(Sim& sim) {
  const std::size_t sizes[] = {0, 100, 3'000, 9'000};
  const auto content = text_of(sim, sizes[sim.below(4)]);
  const auto done = sim.m().blobs->put(content);
  if (done) {
    sim.blobs.stored(content, sim.now());
    return sim.note("put", done->digest.hex().substr(0, 8));
  }
  sim.blobs.perhaps_stored(content);
  sim.failed("put", done.error());
}

// More than one piece, so that it lies in the folder of uploads while it is open.
void upload(Sim& sim) {
  if (!sim.upload) {
    if (!sim.one_in(8)) return;  // large ones are slow
    auto writer = sim.m().blobs->create();
    if (!writer) return sim.failed("upload begins", writer.error());
    auto content = text_of(sim, blob::piece_bytes_max + 1 + sim.below(20'000));
    if (auto done = (*writer)->append(content); !done) return sim.failed("upload begins", done.error());
    sim.upload = Upload{std::move(*writer), std::move(content)};
    return sim.note("upload begins");
  }
  if (sim.one_in(4)) {
    sim.upload.reset();
    return sim.note("upload is given up");
  }
  const auto done = sim.upload->writer->commit();
  const auto content = std::move(sim.upload->content);
  sim.upload.reset();
  if (done) {
    sim.blobs.stored(content, sim.now());
    return sim.note("upload ends", done->digest.hex().substr(0, 8));
  }
  sim.blobs.perhaps_stored(content);
  sim.failed("upload ends", done.error());
}

// A byte of a stored blob changes on the disk. It is found when it is read, and stored again from a copy; one copy in
// three is damaged itself.
void rot(Sim& sim) {
  if (sim.fault_set) return;
  const auto digest = sim.blobs.some_present(sim.below(1'000));
  if (!digest) return;
  const auto hex = digest->hex();
  const auto path = "data/blobs/objects/" + hex.substr(0, 2) + "/" + hex;
  auto bytes = read_file(sim.world.raw_disk, path);
  if (!bytes) return;  // set aside by a collection that died
  const auto copy = *bytes;
  bytes->back() ^= 1;
  if (!write_file(sim.world.raw_disk, path, *bytes)) return;
  const auto read = sim.m().blobs->read(*digest, 1u << 20);
  if (read) return sim.say("blobs: a damaged one was read");
  if (read.error().reason != "blob.corrupt") return sim.say("blobs: a damaged one is " + read.error().reason);
  auto content = *sim.blobs.content(*digest);
  if (sim.one_in(3)) {
    if (sim.has(Plant::restore_without_verification)) {
      if (!write_file(sim.world.raw_disk, path, *bytes)) return;
      return;
    }
    auto bad = content;
    if (bad.empty())
      bad = "more";
    else
      bad.back() ^= 1;
    const auto writer = sim.m().blobs->create();
    if (!writer || !(*writer)->append(bad)) return sim.say("blobs: no upload can be begun");
    const auto refused = (*writer)->commit_as(*digest);
    if (refused || refused.error().reason != "blob.digest_differs")
      return sim.say("blobs: a damaged copy was taken for the blob");
  }
  const auto restored = sim.m().blobs->put(content);
  if (!restored) return sim.say("blobs: " + restored.error().message);
  sim.blobs.stored(content, sim.now());
  sim.note("rot", hex.substr(0, 8));
}

constexpr Operation operations[] = {{"put", 6, put}, {"upload", 4, upload}, {"rot", 1, rot}};

}  // namespace

std::span<const Operation> blob_operations() { return operations; }

}  // namespace millrace::simulator
