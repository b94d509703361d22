// Options of commands that have many.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/cli.hpp"
#include "cli/loadtest.hpp"

namespace millrace::cli {

void add_up_options(CLI::App& command, UpOptions& options);
void add_init_options(CLI::App& command, InitOptions& options);
void add_label_options(CLI::App& command, api::Label& label);
inline constexpr const char* loadtest_example =
    "millrace loadtest churn --rate 2000 --duration 30s\n"
    "  millrace loadtest churn --rate 2000 --p99 20ms --errors 0   exit status 2 when one is missed\n"
    "  millrace loadtest churn --ramp 100..20000 --p99 5ms         the highest rate that holds\n"
    "  millrace loadtest churn --rows rows.csv --protocol v2-binary --rows-each 100";
void add_batch_options(CLI::App& command, BatchOptions& options);
void add_loadtest_options(CLI::App& command, LoadtestOptions& options);
void add_demo_options(CLI::App& command, DemoOptions& options);
void add_predictor_options(CLI::App& command, PredictorOptions& options);

inline constexpr const char* demo_help = "run the whole loop on real data and check it";
inline constexpr const char* admin_help =
    "the same as up without answering predictions: predictors on other machines do (millrace predictor --admin)";
inline constexpr const char* admin_example = "millrace admin --listen 10.0.0.1:7070";
UpOptions not_serving(UpOptions options);
inline constexpr const char* predictor_help =
    "serve a folder of model files, or the models of a server on another machine";
inline constexpr const char* predictor_example =
    "millrace predictor --models ./models\n"
    "  millrace predictor --models /srv/models --http 0.0.0.0:8000 --memory 2GB --pin churn\n"
    "  millrace predictor --admin http://10.0.0.1:7070 --http 0.0.0.0:8000 --data /var/lib/millrace";

}  // namespace millrace::cli
