"""Under the sanitizers only: a planted mistake is reported, in the server, in a job and in a command. Without this a suite in which nobody can
see a report would pass too. (Exit statuses say nothing: LSAN_OPTIONS, see conftest.py, sets that of all reports.)"""
import os
import subprocess

import pytest
from conftest import MILLRACE, REPORTS, SANITIZED, sanitizer_reports, small_project, wait_for

pytestmark = pytest.mark.skipif(not SANITIZED, reason="the programs are not built under the sanitizers (./dev test asan_scenario)")


def wait_for_report(program):
    wait_for("a whole report", lambda: any("SUMMARY:" in file.read_text() for file in REPORTS.iterdir()))
    report = "\n".join(sanitizer_reports())
    assert report.startswith(f"report.{program}."), report
    assert "heap-buffer-overflow" in report and "Faults::act" in report, report


def test_in_the_server(tmp_path, servers):
    small_project(tmp_path)
    server = servers(env={"MILLRACE_FAULT": "serve.log.before_line=overflow"}).start().wait_ready()
    try:
        server.post("/predict/small", {"a": 0.5, "c": "red"})
    except OSError:
        pass
    wait_for("the end of the server", server.gone)
    wait_for_report("millrace")


def test_in_a_job(tmp_path, servers):
    small_project(tmp_path)
    servers(env={"MILLRACE_FAULT": "data.ingest.before_part=overflow"}).start()
    wait_for_report("millrace-job")


def test_in_a_command(tmp_path, servers):
    small_project(tmp_path)
    servers().start().wait_ready()
    subprocess.run([MILLRACE, "backup", "out"], cwd=tmp_path, capture_output=True, timeout=60,
                   env={**os.environ, "MILLRACE_FAULT": "backup.make.before_manifest=overflow"})
    wait_for_report("millrace")
