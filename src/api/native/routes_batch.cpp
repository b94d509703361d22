// A model version's answers for whole tables.
#include "api/native/routes_internal.hpp"

namespace millrace::api {

void add_batch_routes(net::Server& server, Context& c) {
  const std::string path = "/api/v1/models/{model}/versions/{version}/batch";
  server.pooled("POST", path, [&c](const Request& r) {
    auto start = [&]() -> Result<JobAnswer> {
      TRY(const auto number, number_of(r.path_parameter("version"), "version"));
      TRY(const auto asked, parse<BatchRequest>(r.body));
      TRY(auto job, c.service.batch(r.path_parameter("model"), number, asked.dataset, asked.version, asked.format));
      return JobAnswer{job, ""};
    };
    return answer(start(), 202);
  });
  server.upload("POST", path + "/upload", [&c](const Request& r) -> Result<std::unique_ptr<net::UploadSink>> {
    TRY(const auto number, number_of(r.path_parameter("version"), "version"));
    const std::string model = r.path_parameter("model");
    // Before the file is taken for nothing.
    TRY(const auto version,
        c.service.store().read([&](meta::Reader& reader) { return registry::get_version(reader, model, number); }));
    (void)version;
    TRY(auto writer, c.service.blobs().create());
    auto start = [&c, model, number, name = std::string(r.query("name").value_or("upload")),
                  format = std::string(r.query("format").value_or("parquet"))](const Digest& body) -> Result<Response> {
      TRY(auto job, c.service.batch(model, number, loop::Service::BatchFile{body, name}, format));
      return net::json_response(render(JobAnswer{job, ""}), 202);
    };
    return std::make_unique<UploadThen>(std::move(writer), std::move(start));
  });
}

}  // namespace millrace::api
