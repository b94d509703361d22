// The only unit of this module that knows how its aggregates are written as JSON.
#include "base/json.hpp"

#include "data/ingest.hpp"
#include "data/query.hpp"

namespace millrace::data {

Result<IngestInput> parse_ingest_input(std::string_view json) {
  return json::parse<IngestInput>(json, "the ingest's input");
}
std::string render(const IngestInput& input) { return json::render(input); }
Result<IngestOutput> parse_ingest_output(std::string_view json) {
  return json::parse<IngestOutput>(json, "the ingest's result");
}
std::string render(const IngestOutput& output) { return json::render(output); }
Result<AnalyseInput> parse_analyse_input(std::string_view json) {
  return json::parse<AnalyseInput>(json, "the analysis' input");
}
std::string render(const AnalyseInput& input) { return json::render(input); }
Result<Analysis> parse_analysis(std::string_view json) { return json::parse<Analysis>(json, "the analysis"); }
std::string render(const Analysis& analysis) { return json::render(analysis); }
Result<QueryInput> parse_query_input(std::string_view json) {
  return json::parse<QueryInput>(json, "the query's input");
}
std::string render(const QueryInput& input) { return json::render(input); }
Result<QueryOutput> parse_query_output(std::string_view json) {
  return json::parse<QueryOutput>(json, "the query's result");
}
std::string render(const QueryOutput& output) { return json::render(output); }

}  // namespace millrace::data
