// The only unit of this module that knows how its aggregates are written as JSON.
#include "base/json.hpp"

#include "data/checkout.hpp"
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
Result<CheckoutInput> parse_checkout_input(std::string_view json) {
  return json::parse<CheckoutInput>(json, "the checkout's input");
}
std::string render(const CheckoutInput& input) { return json::render(input); }
Result<CheckoutOutput> parse_checkout_output(std::string_view json) {
  return json::parse<CheckoutOutput>(json, "the checkout's result");
}
std::string render(const CheckoutOutput& output) { return json::render(output); }
Result<CheckInput> parse_check_input(std::string_view json) {
  return json::parse<CheckInput>(json, "the check's input");
}
std::string render(const CheckInput& input) { return json::render(input); }
Result<CheckReport> parse_check_report(std::string_view json) {
  return json::parse<CheckReport>(json, "the check's result");
}
std::string render(const CheckReport& report) { return json::render(report); }
Result<QueryInput> parse_query_input(std::string_view json) {
  return json::parse<QueryInput>(json, "the query's input");
}
std::string render(const QueryInput& input) { return json::render(input); }
Result<QueryOutput> parse_query_output(std::string_view json) {
  return json::parse<QueryOutput>(json, "the query's result");
}
std::string render(const QueryOutput& output) { return json::render(output); }

}  // namespace millrace::data
