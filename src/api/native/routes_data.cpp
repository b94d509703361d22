// Dataset versions, uploads, blobs.
#include <format>

#include "api/native/routes_internal.hpp"
#include "data/diff.hpp"

namespace millrace::api {

namespace {

// A sealed blob is opened in memory: nothing of it goes to the disk in plain.
constexpr std::uint64_t sealed_answer_bytes_max = std::uint64_t{1} << 30;

// The rows of a dataset with sensitive columns are handed out by a checkout, which masks them, not as they are stored.
Result<void> may_show(Context& c, meta::Reader& reader, const Digest& digest) {
  TRY(auto datasets, data::datasets_of_part(reader, digest.hex()));
  for (const auto& dataset : datasets) {
    if (hidden_columns(c)(dataset).empty()) continue;
    return fail(Code::permission_denied, "api.sensitive",
                std::format("this blob has rows of '{}', which has sensitive columns; take them with: millrace data "
                            "checkout {} --to FILE",
                            dataset, dataset));
  }
  return {};
}

}  // namespace

void add_data_routes(net::Server& server, Context& c) {
  auto list = [&c](const std::string& dataset, const Request& r) -> Result<DatasetList> {
    TRY(auto at, moment_of(c, r));
    return c.service.store().read([&](meta::Reader& reader) -> Result<DatasetList> {
      TRY(auto versions, data::list_versions(reader, dataset, at));
      DatasetList out;
      for (const auto& version : versions) out.versions.push_back(to_wire(version, false));
      return out;
    });
  };
  auto version_of = [](const Request& r) { return number_of(r.path_parameter("version"), "version"); };
  server.pooled("GET", "/api/v1/datasets", [list](const Request& r) { return answer(list("", r)); });
  server.pooled("GET", "/api/v1/datasets/{dataset}",
                [list](const Request& r) { return answer(list(r.path_parameter("dataset"), r)); });
  server.pooled("GET", "/api/v1/datasets/{dataset}/versions/{version}", [&c, version_of](const Request& r) {
    auto at = moment_of(c, r);
    if (!at) return net::error_response(at.error());
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<DatasetVersion> {
      TRY(auto number, version_of(r));
      TRY(auto version, data::get_version(reader, r.path_parameter("dataset"), number, *at));
      return to_wire(version, true, hidden_columns(c)(version.dataset));
    }));
  });
  server.pooled("GET", "/api/v1/datasets/{dataset}/versions/{version}/diff", [&c, version_of](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<DiffAnswer> {
      TRY(auto number, version_of(r));
      TRY(auto other_number, query_number(r, "with", 0, std::int64_t{1} << 40));
      TRY(auto one, data::get_version(reader, r.path_parameter("dataset"), number));
      TRY(auto other, data::get_version(reader, r.path_parameter("dataset"), other_number));
      auto hidden = hidden_columns(c)(r.path_parameter("dataset"));
      auto content = [&](data::DatasetVersion& version) {
        data::mask(version.content.analysis, hidden);
        return data::VersionContent{std::move(version.content.parts), std::move(version.content.schema),
                                    std::move(version.content.analysis)};
      };
      auto difference = data::diff(content(one), content(other));
      return DiffAnswer{difference.old_rows, difference.new_rows, difference.lines};
    }));
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/accept", [&c, version_of](const Request& r) {
    auto accept = [&]() -> Result<DatasetVersion> {
      TRY(auto asked, parse<AcceptRequest>(r.body));
      TRY(auto number, version_of(r));
      TRY(auto version, c.service.store().write([&](meta::Tx& tx) {
        return data::accept(tx, r.path_parameter("dataset"), number, person(r), asked.reason,
                            c.service.env().clock.now());
      }));
      c.controller.wake();
      return to_wire(version, true, hidden_columns(c)(version.dataset));
    };
    return answer(accept());
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/query", [&c, version_of](const Request& r) {
    auto query = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<QueryRequest>(r.body));
      TRY(auto number, version_of(r));
      if (asked.rows_max < 1 || asked.rows_max > 10'000)
        return fail(Code::out_of_range, "api.bad_number", "rows_max is 1 to 10000");
      TRY(auto job, c.service.query(r.path_parameter("dataset"), number, asked.sql, asked.rows_max));
      return JobAnswer{job, ""};
    };
    return answer(query(), 202);
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/checkout", [&c, version_of](const Request& r) {
    auto checkout = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<CheckoutRequest>(r.body));
      TRY(auto number, version_of(r));
      TRY(auto job, c.service.checkout(r.path_parameter("dataset"), number, asked.format));
      return JobAnswer{job, ""};
    };
    return answer(checkout(), 202);
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/check", [&c, version_of](const Request& r) {
    auto check = [&]() -> Result<JobAnswer> {
      TRY(auto number, version_of(r));
      TRY(auto job, c.service.check(r.path_parameter("dataset"), number));
      return JobAnswer{job, ""};
    };
    return answer(check(), 202);
  });
  server.pooled("POST", "/api/v1/ingest", [&c](const Request& r) {
    auto take = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<IngestRequest>(r.body));
      TRY(auto job, c.service.ingest(asked.source, "", "", person(r)));
      return JobAnswer{job, ""};
    };
    return answer(take(), 202);
  });
  server.upload(
      "POST", "/api/v1/datasets/{dataset}/upload", [&c](const Request& r) -> Result<std::unique_ptr<net::UploadSink>> {
        TRY_VOID(c.service.may_upload(r.path_parameter("dataset")));
        TRY(auto writer, c.service.blobs().create());
        auto read = [&c, source = r.path_parameter("dataset"), name = std::string(r.query("name").value_or("upload")),
                     by = person(r)](const Digest& body) -> Result<Response> {
          TRY(auto job, c.service.ingest(source, body.hex(), name, by));
          return net::json_response(render(JobAnswer{job, ""}), 202);
        };
        return std::make_unique<UploadThen>(std::move(writer), std::move(read));
      });
  server.pooled("GET", "/api/v1/blobs/{digest}", [&c](const Request& r) -> Response {
    auto digest = Digest::parse(r.path_parameter("digest"));
    if (!digest) return net::error_response(digest.error());
    auto may = c.service.store().read([&](meta::Reader& reader) { return may_show(c, reader, *digest); });
    if (!may) return net::error_response(may.error());
    auto local = c.service.blobs().local_file(*digest);
    if (!local) return net::error_response(local.error());
    Response response;
    response.content_type = "application/octet-stream";
    if (*local) {
      response.file = net::FileBody{(*local)->path, (*local)->offset, (*local)->size};
      return response;
    }
    auto bytes = c.service.blobs().read(*digest, sealed_answer_bytes_max);
    if (!bytes) return net::error_response(bytes.error());
    response.body = std::move(*bytes);
    return response;
  });
}

}  // namespace millrace::api
