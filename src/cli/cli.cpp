#include "cli/cli.hpp"

#include <CLI/CLI.hpp>
#include <format>

#include "base/error_codes.hpp"
#include "base/nearest.hpp"
#include "cli/loadtest.hpp"
#include "cli/options_internal.hpp"
#include "cli/print.hpp"
#include "cli/top.hpp"
#include "cli/usage_internal.hpp"

namespace millrace::cli {

namespace {

// One run of the program: options as they are read, then the command that was chosen.
class Program {
 public:
  Program(const std::string& version, Env& env, const LocalCommands& local, const Terminal& terminal)
      : env_(env), local_(local), terminal_(terminal) {
    app_.set_version_flag("--version", "millrace " + version);
    app_.get_formatter()->column_width(34);
    app_.get_formatter()->enable_footer_formatting(false);
    app_.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app_.get_formatter()->label("SUBCOMMANDS", "COMMANDS");
    app_.add_option("--server", server_, "server's URL (default: the one of this folder, or MILLRACE_URL)");
    app_.add_option("--server-data", server_data_,
                    "data folder of the server to talk to (default: .millrace here or above)");
    app_.add_option("--ca", ca_, "who signed the server's certificate, PEM (default: the system's, or MILLRACE_CA)");
    app_.add_flag("--json", json_, "print the API's answer as JSON");
    app_.fallthrough();
    app_.footer(
        "First steps:\n"
        "  millrace up customers.csv --target churned     a served model, monitored and retrained\n"
        "  curl -d @row.json localhost:7070/predict/NAME  ask it\n"
        "  millrace status                                how it does\n"
        "  millrace COMMAND --help                        options and an example\n"
        "Exit status: 0 ok, 1 error, 2 gate failed, 3 waiting for approval, 4 nothing to do, 64 wrong usage.");
    start_commands();
    data_commands();
    model_commands();
    use_commands();
    token_commands();
    test_commands();
    later_commands();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& asked) {
      return app_.exit(asked);
    } catch (const CLI::ParseError& wrong) {
      return wrong_usage(usage_problem(app_, wrong));
    }
    if (!chosen_) return wrong_usage(usage_problem(app_, {}));
    auto output = chosen_();
    if (progress_shown_ && terminal_.progress_in_place) terminal_.err("\n");
    if (!output) {
      terminal_.err(error_text(output.error()));
      return exit_code(output.error());
    }
    terminal_.out(output->text);
    return output->exit_code;
  }

 private:
  using Run = std::function<Result<Output>()>;

  std::string help_of(const CLI::App& command) const {
    return command.get_formatter()->make_help(&command, words_of(command), CLI::AppFormatMode::Normal);
  }

  int wrong_usage(const std::string& problem) {
    auto& at = reached(app_);
    if (&at == &app_ && app_.remaining().empty()) {
      terminal_.err(help_of(app_));
    } else {
      terminal_.err(std::format("error: {}\n  next  {} --help\n", problem, words_of(at)));
    }
    return exit_status::wrong_usage;
  }

  CLI::App* add(CLI::App& parent, const std::string& name, const std::string& help, Run run,
                const std::string& example = "") {
    auto* command = parent.add_subcommand(name, help);
    command->footer("Example:\n  " + (example.empty() ? words_of(*command) : example));
    command->callback([this, run = std::move(run)] { chosen_ = run; });
    command->group(group_);
    return command;
  }
  CLI::App* add_at(CLI::App* command) {
    command->add_option("--at", at_, "as it was then: 2026-11-20T09:40:00Z, 2026-11-20, \"2h ago\" or -2h");
    return command;
  }
  // A word that only has commands below it.
  CLI::App* add_family(const std::string& name, const std::string& help) {
    auto* family = app_.add_subcommand(name, help);
    family->group(group_);
    return family;
  }
  CLI::App* add(const std::string& name, const std::string& help, Run run, const std::string& example = "") {
    return add(app_, name, help, std::move(run), example);
  }

  // Runs `command` with a client of the server.
  Run remote(std::function<Result<Output>(Client&)> command) {
    return [this, command = std::move(command)]() -> Result<Output> {
      TRY(auto address, find_server(env_.fs, terminal_.environment, terminal_.folder, server_, server_data_, ca_));
      Client client(env_, std::move(address));
      return command(client);
    };
  }

  // After the server was gone: it may listen elsewhere.
  std::function<Result<void>(Client&)> find_again() {
    return [this](Client& client) -> Result<void> {
      TRY(auto address, find_server(env_.fs, terminal_.environment, terminal_.folder, server_, server_data_, ca_));
      client.move_to(std::move(address));
      return {};
    };
  }

  Result<std::string> read_project() {
    auto text = terminal_.read_input(project_file_);
    if (text || text.error().code != Code::not_found) return text;
    return fail(Code::not_found, "cli.no_project",
                std::format("there is no {} here; name the file with --project, or make one for a data file: millrace "
                            "init customers.csv --target churned",
                            project_file_));
  }

  // Rows or labels; `what` says what was expected when nothing came.
  Result<std::string> read_body(std::string_view what) {
    TRY(auto body, terminal_.read_input(file_));
    if (body.find_first_not_of(" \t\r\n") == body.npos) {
      return fail(Code::invalid_argument, "cli.no_input",
                  std::format("{} holds nothing; expected {}", file_ == "-" ? "standard input" : file_, what));
    }
    return body;
  }

  Waiting waiting() {
    return {[this](const std::string& line) {
              progress_shown_ = true;
              terminal_.err(terminal_.progress_in_place ? "\r\x1b[K" + line : line + "\n");
            },
            terminal_.pause, detach_};
  }

  void start_commands() {
    group_ = "Start";
    auto* up = add(
        "up", "serve the project of this folder, or make one from a data file", [this] { return local_.up(up_); },
        "millrace up customers.csv --target churned");
    add_up_options(*up, up_);
    auto* admin = add("admin", admin_help, [this] { return local_.up(not_serving(up_)); }, admin_example);
    add_up_options(*admin, up_);

    auto* init = add(
        "init", "write a short millrace.toml for a data file and say what is odd",
        [this] {
          init_.json = json_;
          return local_.init(init_);
        },
        "millrace init customers.csv --target churned");
    add_init_options(*init, init_);

    add("down", "stop the server of this folder", remote([this](Client& c) { return down(c, waiting()); }));
    add_at(add("status", "one screen: models, live quality, what runs, what waits and why",
               remote([this](Client& c) { return status(c, at_, json_); }), "millrace status --at \"2h ago\""));
    auto apply_run = [this](bool dry_run) {
      return remote([this, dry_run](Client& c) -> Result<Output> {
        TRY(auto text, read_project());
        return apply(c, text, dry_run, json_);
      });
    };
    add("plan", "show what a changed project file will cause", apply_run(true))
        ->add_option("--project", project_file_, "project file")
        ->capture_default_str();
    auto* apply_command =
        add("apply", "take a changed project file, in one transaction", remote([this](Client& c) -> Result<Output> {
              TRY(auto text, read_project());
              return apply(c, text, dry_run_, json_);
            }));
    apply_command->add_option("--project", project_file_, "project file")->capture_default_str();
    apply_command->add_flag("--dry-run", dry_run_, "the same as plan");
    auto* doctor = add(
        "doctor", "check a data folder, also beside its server; each finding names what it costs and what mends it",
        [this] {
          doctor_.json = json_;
          doctor_.tell = [this](const std::string& line) { terminal_.err(line + "\n"); };
          return local_.doctor(doctor_);
        },
        "millrace doctor --mend");
    doctor->add_option("--data-dir", doctor_.data_dir, "data folder")->capture_default_str();
    doctor->add_flag("--mend", doctor_.mend,
                     "do what can be done in the folder of a stopped server; what is replaced goes to damaged/");
    doctor->add_option("--from", doctor_.from,
                       "backup folder to take files from (default: where the last backup went)");
    doctor->add_option("--give-up", doctor_.give_up, "record this blob as lost, where nothing brings it back");
    doctor
        ->add_option("--chaos", doctor_.chaos,
                     "instead: for so long (10m), run a scratch copy of the folder under load and kill its server "
                     "at random moments; tells what was lost")
        ->excludes("--mend")
        ->excludes("--give-up");
    doctor->add_option("--seed", doctor_.seed, "of the chaos, to repeat one")->needs("--chaos");
    doctor->add_flag("--kinds", doctor_.kinds, "list every kind of file that a data folder can hold")->group("");
    auto* backup = add(
        "backup",
        "copy a data folder as it is at one moment, while its server goes on; what is there already is not copied "
        "again",
        [this] {
          backup_.json = json_;
          if (!json_) backup_.tell = waiting().progress;
          return local_.backup(backup_);
        },
        "millrace backup /mnt/backups/churn --keep 7");
    backup->add_option("folder", backup_.folder, "backup folder: empty, not there yet, or with earlier backups")
        ->required();
    backup->add_option("--data-dir", backup_.data_dir, "data folder")->capture_default_str();
    backup->add_option("--keep", backup_.keep, "so many newest backups stay (default: all)")
        ->check(CLI::Range(1, 100000));
    backup->add_flag("--list", backup_.list, "only list the backups that are there");
    auto* restore = add(
        "restore", "verify a backup, then make a data folder of it",
        [this] {
          restore_.json = json_;
          if (!json_) restore_.tell = waiting().progress;
          return local_.restore(restore_);
        },
        "millrace restore /mnt/backups/churn");
    restore->add_option("folder", restore_.folder, "backup folder")->required();
    restore->add_option("--backup", restore_.id,
                        "id of the backup, as millrace backup --list names it (default: the newest)");
    restore->add_option("--data-dir", restore_.data_dir, "data folder to make")->capture_default_str();
    restore->add_option("--keys", restore_.keys,
                        "keys of sealed blobs that may be newer than the backup folder's own: what they know to be "
                        "destroyed stays so");
    add("schema", "JSON Schema of the project file, for editors",
        [this] { return local_.schema(project_file_, json_); });
    auto* explain =
        add("explain", "every key of the project file with its default; --loop: each step of the loop and its rule",
            [this]() -> Result<Output> {
              // The running server knows more than the file: which hours are quiet, say.
              if (loop_) {
                if (auto known = remote([this](Client& c) { return show_loop(c, json_); })()) return known;
              }
              return local_.explain(project_file_, loop_, json_);
            });
    explain->add_flag("--loop", loop_, "the loop's steps: automatic, by approval or by hand");
    explain->add_option("--project", project_file_, "project file")->capture_default_str();
    auto* demo = add("demo", demo_help, [this] { return local_.demo(demo_); }, "millrace demo digits");
    add_demo_options(*demo, demo_);
    auto* worker = add("worker", "run jobs of a server in this process",
                       [this] { return local_.worker({server_, server_data_, worker_name_, ca_}); });
    worker->add_option("--name", worker_name_, "name in the records (default: host and process)");
    auto* serve = add(
        "predictor", predictor_help,
        [this] {
          predictor_.ca = ca_;
          return local_.predictor(predictor_);
        },
        predictor_example);
    add_predictor_options(*serve, predictor_);
    auto* help = add("help", "what a command does: millrace help models show", [this]() -> Result<Output> {
      const CLI::App* at = &app_;
      for (const auto& word : help_words_) {
        const auto* next = at->get_subcommand_no_throw(word);
        if (!next) {
          auto near = nearest(word, commands_of(*at));
          return fail(Code::invalid_argument, "cli.no_command",
                      std::format("{} has no command '{}'{}", words_of(*at), word,
                                  near.empty() ? "" : "; did you mean '" + near + "'?"));
        }
        at = next;
      }
      return Output{help_of(*at)};
    });
    help->subcommand_fallthrough(false);  // the words after it are its own
    help->add_option("command", help_words_, "its words; none: all commands");
    add("faults", "list the fault points that tests can arm (MILLRACE_FAULT)", [this] {
      return local_.faults();
    })->group("");
  }

  void data_commands() {
    group_ = "Data";
    auto* take = add("ingest", "read a source again, or upload a file to it",
                     remote([this](Client& c) { return ingest(c, source_, upload_, waiting(), json_); }),
                     "millrace ingest customers new.csv");
    take->add_option("source", source_, "source's name in the project file")->required();
    take->add_option("file", upload_, "file to upload; none: the source's own uri");
    take->add_flag("--detach", detach_, "do not wait");

    auto* data = add_family("data", "dataset versions: ls, show, diff, query, checkout, check, accept");
    add(*data, "ls", "versions", remote([this](Client& c) { return data_ls(c, version_, json_); }),
        "millrace data ls customers")
        ->add_option("dataset", version_, "only this one");
    auto* data_show_command =
        add_at(add(*data, "show", "columns, statistics, checks of a version",
                   remote([this](Client& c) { return data_show(c, version_, at_, json_); }),
                   "millrace data show customers@2\nmillrace data show customers --at 2026-11-20"));
    data_show_command->add_option("version", version_, "DATASET or DATASET@N")->required();
    auto* diff = add(*data, "diff", "what differs between two versions",
                     remote([this](Client& c) { return data_diff(c, version_, other_, json_); }),
                     "millrace data diff customers@1 customers@2");
    diff->add_option("one", version_, "DATASET@N")->required();
    diff->add_option("other", other_, "DATASET@M")->required();
    auto* query = add(*data, "query", "SQL over a version's rows, as table data",
                      remote([this](Client& c) { return data_query(c, version_, sql_, rows_, waiting(), json_); }),
                      "millrace data query customers \"SELECT country, avg(age) FROM data GROUP BY country\"");
    query->add_option("version", version_, "DATASET or DATASET@N")->required();
    query->add_option("sql", sql_, "a SELECT")->required();
    query->add_option("--rows", rows_, "at most")->capture_default_str()->check(CLI::Range(1, 10000));
    auto* checkout =
        add(*data, "checkout", "all rows of a version as a file; sensitive columns are masked",
            remote([this](Client& c) { return data_checkout(c, version_, file_, force_, waiting(), json_); }),
            "millrace data checkout customers@2 --to customers.parquet");
    checkout->add_option("version", version_, "DATASET or DATASET@N")->required();
    checkout->add_option("--to", file_, "file to write: .csv or .parquet")->required();
    checkout->add_flag("--force", force_, "replace an existing file");
    auto* check =
        add(*data, "check",
            "the checks of the project file in use on a version's rows; stores nothing. Exit status 2: failed",
            remote([this](Client& c) { return data_check(c, version_, waiting(), json_); }),
            "millrace data check customers@2");
    check->add_option("version", version_, "DATASET or DATASET@N")->required();
    auto* accept = add(*data, "accept", "let a version be trained on though a check failed",
                       remote([this](Client& c) { return data_accept(c, version_, reason_, json_); }),
                       "millrace data accept customers@2 --reason \"children are customers too\"");
    accept->add_option("version", version_, "DATASET@N")->required();
    accept->add_option("--reason", reason_, "recorded")->required();
  }

  void model_commands() {
    group_ = "Models";
    auto* train_command = add("train", "train a candidate now and put it before the gates",
                              remote([this](Client& c) { return train(c, train_, waiting(), json_); }));
    train_command->add_flag("--quick", train_.quick, "on a sample: fast to look at, never passes a gate");
    train_command->add_flag("--shuffled", train_.shuffle_target,
                            "on a shuffled target: a self-test of the gates, which must refuse it");
    train_command->add_option("--reason", train_.reason, "recorded as the run's cause");
    train_command->add_flag("--detach", detach_, "do not wait");
    auto* retrain =
        add("retrain", "the same as train", remote([this](Client& c) { return train(c, train_, waiting(), json_); }));
    retrain->add_option("--reason", train_.reason, "recorded as the run's cause");
    retrain->add_flag("--detach", detach_, "do not wait");

    auto* runs = add_family("runs", "runs: ls, show, follow, logs, diff, cancel, resume, repeat");
    add(*runs, "ls", "newest first", remote([this](Client& c) { return runs_ls(c, static_cast<int>(rows_), json_); }),
        "millrace runs ls --max 20")
        ->add_option("--max", rows_, "at most")
        ->check(CLI::Range(1, 1000));
    add(*runs, "show", "cause, parameters, metrics, resources, history",
        remote([this](Client& c) { return runs_show(c, name_, json_); }), "millrace runs show 06F3X")
        ->add_option("run", name_, "id or the beginning of it")
        ->required();
    auto* logs = add(*runs, "logs", "what the run printed", remote([this](Client& c) {
      if (!follow_) return runs_logs(c, name_, {});
      return runs_logs(c, name_, {[this](const std::string& line) { terminal_.out(line + "\n"); }, terminal_.pause});
    }),
                     "millrace runs logs 06F3X --follow");
    logs->add_option("run", name_, "id or the beginning of it")->required();
    logs->add_flag("-f,--follow", follow_, "go on until the run is over");
    add(*runs, "cancel", "stop a run", remote([this](Client& c) { return runs_cancel(c, name_, json_); }),
        "millrace runs cancel 06F3X")
        ->add_option("run", name_, "id or the beginning of it")
        ->required();

    auto* runs_diff_command =
        add(*runs, "diff", "what differs between two runs: outcome, parameters, metrics, inputs, project keys",
            remote([this](Client& c) { return runs_diff(c, name_, other_, json_); }), "millrace runs diff 06F3X 06F3Y");
    runs_diff_command->add_option("one", name_, "id or the beginning of it")->required();
    runs_diff_command->add_option("other", other_, "id or the beginning of it")->required();
    auto* follow = add(
        *runs, "follow", "its progress until it ends; the exit status is the run's",
        remote([this](Client& c) { return runs_follow(c, name_, waiting(), {terminal_.out, find_again()}, json_); }),
        "millrace runs follow 06F3X");
    follow->add_option("run", name_, "id or the beginning of it")->required();
    for (const char* verb : {"resume", "repeat"}) {
      const std::string how = verb;
      auto* command =
          add(*runs, how,
              how == "resume" ? "a failed or cancelled training goes on from its last checkpoint, as a new run"
                              : "the same plan and rows again as a new run, and whether the same bytes came out",
              remote([this, how](Client& c) { return runs_again(c, how, name_, waiting(), json_); }),
              "millrace runs " + how + " 06F3X");
      command->add_option("run", name_, "id or the beginning of it")->required();
      command->add_flag("--detach", detach_, "do not wait");
    }

    auto* models = add_family("models", "model versions: ls, show, diff, export, import, rebuild, gc");
    auto* models_ls_command =
        add(*models, "ls", "versions with metrics and bytes",
            remote([this](Client& c) { return models_ls(c, name_, static_cast<int>(rows_), json_); }),
            "millrace models ls churn --max 5");
    models_ls_command->add_option("model", name_, "only this one");
    models_ls_command->add_option("--max", rows_, "at most, of the one that is named")->check(CLI::Range(1, 1000));
    auto* models_show_command =
        add_at(add(*models, "show", "gates, metrics, lineage of a version",
                   remote([this](Client& c) { return models_show(c, name_, at_, json_); }),
                   "millrace models show churn:3\nmillrace models show churn:3 --at 2026-11-20T09:40:00Z"));
    models_show_command->add_option("version", name_, "NAME or NAME:N")->required();
    auto* rebuild = add(*models, "rebuild", "train a version again from its records and compare the bytes",
                        remote([this](Client& c) { return models_rebuild(c, name_, waiting(), json_); }),
                        "millrace models rebuild churn:3 --verify");
    rebuild->add_option("version", name_, "NAME:N")->required();
    rebuild->add_flag("--verify", verify_, "say whether the digest is the same (always done)");
    auto* models_diff_command =
        add(*models, "diff", "what differs between two versions: verdict, gates, metrics, parameters, inputs, bytes",
            remote([this](Client& c) { return models_diff(c, name_, other_, json_); }),
            "millrace models diff churn:1 churn:2");
    models_diff_command->add_option("one", name_, "NAME:N")->required();
    models_diff_command->add_option("other", other_, "NAME:M")->required();
    auto* give_out = add(*models, "export", "a version as a file: its archive, or in a form that other programs read",
                         remote([this](Client& c) { return models_export(c, name_, file_, format_, force_, json_); }),
                         "millrace models export churn:3 --to churn-3.zip\n"
                         "  millrace models export churn:3 --to churn-3.onnx --format onnx\n"
                         "  millrace models export churn:3 --to churn-3.json --format xgboost-json");
    give_out->add_option("version", name_, "NAME or NAME:N")->required();
    give_out->add_option("--to", file_, "file to write")->required();
    give_out
        ->add_option("--format", format_,
                     "archive, onnx (with all that turns columns into features), ubj or xgboost-json (with "
                     "churn-3.manifest.json beside it, which says that), manifest")
        ->capture_default_str()
        ->check(CLI::IsMember({"archive", "onnx", "ubj", "xgboost-json", "manifest"}));
    give_out->add_flag("--force", force_, "replace an existing file");
    auto* take_in = add(*models, "import",
                        "a candidate from an archive: proven, measured and judged like one that was trained here",
                        remote([this](Client& c) { return models_import(c, file_, name_, waiting(), json_); }),
                        "millrace models import churn-3.zip");
    take_in->add_option("file", file_, "an archive that models export wrote")->required();
    take_in->add_option("--name", name_, "model (default: the project's)");
    take_in->add_flag("--detach", detach_, "do not wait");
    auto* gc = add(*models, "gc", "let old versions go as [retention] says, then remove what no record needs",
                   remote([this](Client& c) { return models_gc(c, dry_run_, json_); }), "millrace models gc --dry-run");
    gc->add_flag("--dry-run", dry_run_, "only say what would go, and what stays why");
    add("eval", "the verdict of a version on its test rows",
        remote([this](Client& c) { return models_show(c, name_, "", json_); }))
        ->add_option("version", name_, "NAME or NAME:N")
        ->required();

    auto* promote_command =
        add("promote", "let a version answer", remote([this](Client& c) { return promote(c, name_, reason_, json_); }));
    promote_command->add_option("version", name_, "NAME:N, or NAME:baseline")->required();
    promote_command->add_option("--reason", reason_, "needed past a failed gate; recorded");
    auto* releases_command =
        add("releases", "how versions came to serve: steps, failures, what became of them; newest first",
            remote([this](Client& c) { return releases(c, name_, static_cast<int>(rows_), json_); }),
            "millrace releases churn");
    releases_command->add_option("model", name_, "default: the project's");
    releases_command->add_option("--max", rows_, "at most")->check(CLI::Range(1, 1000));
    auto* back =
        add("rollback", "let the previous version answer again",
            remote([this](Client& c) { return rollback(c, name_, reason_, json_); }), "millrace rollback churn");
    back->add_option("model", name_, "needed when there are several");
    back->add_option("--reason", reason_, "recorded");
  }

  void use_commands() {
    group_ = "Use";
    auto* ask = add("predict", "predict rows of a JSON or CSV file", remote([this](Client& c) -> Result<Output> {
                      TRY(auto body, read_body("a row as JSON, {\"age\":41}, a list of them, or CSV"));
                      return predict(c, name_, body, csv_ || file_.ends_with(".csv"));
                    }),
                    "echo '{\"age\": 41}' | millrace predict");
    ask->add_option("file", file_, "JSON, or CSV by its ending (default: JSON from standard input)")->default_val("-");
    ask->add_option("--model", name_, "needed when there are several");
    ask->add_flag("--csv", csv_, "the rows are CSV, whatever the file's name");

    auto* give =
        add("label", "send true labels: a JSON file, or one by options", remote([this](Client& c) -> Result<Output> {
              if (!queue_.empty()) return label_queue(c, name_, queue_ == "today" ? "" : queue_, json_);
              if (!value_.empty()) {
                label_.value = value_;
                return label(c, name_, api::render(std::vector<api::Label>{label_}), json_);
              }
              if (label_.prediction || label_.key) {
                return fail(Code::invalid_argument, "cli.no_value",
                            "--value is missing: what turned out to be true, as in --value Yes");
              }
              TRY(auto body, read_body("labels as JSON: [{\"prediction\":ID,\"value\":..},..]"));
              return label(c, name_, body, json_);
            }),
            "millrace label --prediction 06F3X... --value Yes");
    give->add_option("file", file_,
                     "JSON: [{\"prediction\":ID,\"value\":..},..] or with \"key\" (default: standard input)")
        ->default_val("-");
    give->add_option("--model", name_, "needed when there are several");
    add_label_options(*give, label_);
    give->add_option("--value", value_, "the true value");
    give->add_option("--queue", queue_, "list predictions that are worth a label: so many, or what is left of today's")
        ->expected(0, 1)
        ->default_str("today");
    add("why", "why a prediction came out as it did", remote([this](Client& c) { return why(c, name_, json_); }))
        ->add_option("prediction", name_, "id from the answer")
        ->required();
  }

  void token_commands() {
    group_ = "Access";
    auto* tokens = add_family("tokens", "who may call from other machines: add, list, revoke");
    auto* add_command = add(*tokens, "add", "make a token and print it, this once",
                            remote([this](Client& c) { return tokens_add(c, name_, rights_, json_); }),
                            "millrace tokens add web-shop --right predict\n"
                            "  millrace tokens add grafana --right metrics");
    add_command->add_option("name", name_, "by which it is listed and revoked")->required();
    add_command->add_option("--right", rights_, "predict, metrics, admin or predictor; may be repeated")->required();
    add(*tokens, "list", "names, rights, who made and revoked them and when",
        remote([this](Client& c) { return tokens_list(c, json_); }));
    add(*tokens, "revoke", "from now on it opens nothing",
        remote([this](Client& c) { return tokens_revoke(c, name_, json_); }), "millrace tokens revoke web-shop")
        ->add_option("name", name_, "of the token")
        ->required();
  }

  void test_commands() {
    group_ = "Watch";
    auto* watch = add("top", "models, requests, latencies, memory and jobs of a server, second by second",
                      remote([this](Client& c) {
                        return top(c, top_, {env_, terminal_.out, terminal_.pause, terminal_.columns()}, json_);
                      }),
                      "millrace top\n  millrace top --once --json");
    watch->add_flag("--once", top_.once, "one look, over --every, and no more");
    watch->add_option("--every", top_.every, "how often")->capture_default_str();
    add("predictors", "predictors on other machines: what they serve, and who has not reached the newest wish",
        remote([this](Client& c) { return predictors(c, json_); }));
    group_ = "Test";
    auto* load = add(
        "loadtest", "requests at a set rate: throughput, latency, and what ran out first", remote([this](Client& c) {
          return loadtest(c, loadtest_, {env_, terminal_.read_input, terminal_.interrupted, waiting().progress}, json_);
        }),
        loadtest_example);
    add_loadtest_options(*load, loadtest_);
    add_batch_options(*add("batch", "a model's answers for all rows of a file or a dataset version",
                           remote([this](Client& c) { return batch(c, batch_, waiting(), json_); }),
                           "millrace batch churn --in customers.parquet --out scores.parquet"),
                      batch_);
  }

  // Known commands of the product that this version does not have: said so, never "unknown".
  void later_commands() {
    for (auto name : {"tune", "replay", "approve", "drift", "alerts", "cost", "audit", "test", "simulate", "bench",
                      "upgrade", "user", "secret", "adopt", "export", "erase"}) {
      auto* command = add(name, "not available yet", [name]() -> Result<Output> {
        return fail(Code::unimplemented, "cli.not_available",
                    std::format("not available yet: millrace {}; what is built is listed in README.md", name));
      });
      command->allow_extras();
      command->group("");
    }
  }

  Env& env_;
  const LocalCommands& local_;
  const Terminal& terminal_;
  CLI::App app_{"Millrace: bring data and a target, and it keeps a good model answering."};
  Run chosen_;
  bool progress_shown_ = false;

  std::string group_, server_, server_data_, source_, upload_, file_, version_, other_, sql_, reason_, name_, at_;
  std::string worker_name_, value_, ca_;
  std::string project_file_ = "millrace.toml", format_ = "archive";
  bool json_ = false, csv_ = false, detach_ = false, dry_run_ = false, force_ = false, loop_ = false, verify_ = false;
  bool follow_ = false;
  std::vector<std::string> help_words_, rights_;
  std::int64_t rows_ = 100;
  std::string queue_;
  UpOptions up_;
  InitOptions init_;
  PredictorOptions predictor_;
  DemoOptions demo_;
  DoctorOptions doctor_;
  BackupOptions backup_;
  RestoreOptions restore_;
  LoadtestOptions loadtest_;
  TopOptions top_;
  TrainOptions train_;
  BatchOptions batch_;
  api::Label label_;
};

}  // namespace

int run(int argc, char** argv, const std::string& version, Env& env, const LocalCommands& local,
        const Terminal& terminal) {
  return Program(version, env, local, terminal).run(argc, argv);
}

}  // namespace millrace::cli
