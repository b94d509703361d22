"""Start and rest."""
import re
import statistics
import subprocess
import time

from common import BIN, Server, best, resident, wait

# gdb stops at main: what the loader and the initialisers did before it.
AT_MAIN = ["-batch", "-ex", "set debuginfod enabled off", "-ex", "break main", "-ex", "run",
           "-ex", "python print(open('/proc/%d/status' % gdb.selected_inferior().pid).read())"]


def sleeping():
    """Resident memory of a program that does nothing, in MB."""
    process = subprocess.Popen(["/bin/sleep", "5"])
    time.sleep(0.2)
    try:
        return resident(process.pid)
    finally:
        process.kill()
        process.wait()


def memory_before_main(program):
    text = subprocess.run(["gdb", *AT_MAIN, program], capture_output=True, text=True).stdout
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found.group(1)) / 1024 if found else float("nan")


def loader_ms(program):
    """What the loader says itself of the time until it hands over to the program."""
    def once():
        text = subprocess.run([program, "--version"], capture_output=True, text=True, env={"LD_DEBUG": "statistics"}).stderr
        cycles = re.search(r"total startup time in dynamic loader: (\d+)", text)
        return int(cycles.group(1))
    hertz = next(float(line.split(":")[1]) * 1e6 for line in open("/proc/cpuinfo") if line.startswith("cpu MHz"))
    return statistics.median(once() for _ in range(20)) / hertz * 1000


def measure(folder):
    whole = best(20, lambda: subprocess.run([BIN / "millrace", "--version"], capture_output=True, check=True))
    nothing = best(20, lambda: subprocess.run(["/bin/true"], check=True))
    needed = subprocess.run(["readelf", "-d", BIN / "millrace"], capture_output=True, text=True).stdout.count("(NEEDED)")
    server = Server(folder)
    wait(server.url + "/readyz")
    first = (time.perf_counter() - server.began) * 1000
    server.stop()
    restarts, idle = [], 0
    for _ in range(5):
        server = Server(folder)
        wait(server.url + "/readyz")
        restarts.append((time.perf_counter() - server.began) * 1000)
        idle = resident(server.process.pid)
        server.stop()
    return ["| what | figure |", "|---|---|",
            f"| loader until `main` (its own statistics) | {loader_ms(BIN / 'millrace'):.1f} ms |",
            f"| resident at `main` (`/bin/sleep`: {sleeping():.0f} MB) | {memory_before_main(BIN / 'millrace'):.0f} MB |",
            f"| `millrace --version`, whole process (`/bin/true`: {nothing:.1f} ms) | {whole:.1f} ms |",
            f"| libraries named by the program | {needed} |",
            f"| from a CSV of 5,000 rows and 31 columns to the first version answering | {first:.0f} ms |",
            f"| start to ready with a model to load (median of 5) | {statistics.median(restarts):.0f} ms |",
            f"| resident at rest, one model loaded | {idle:.0f} MB |"]
