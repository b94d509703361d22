#!/usr/bin/env python3
"""House rules as a test: the module table of ARCHITECTURE.md against the real includes, heavy headers kept where they
belong, file sizes, the two hands of the clock (clocks.py). Prints file:line messages; exit status 1 when there is any."""
import pathlib
import re
import sys

import clocks

TOP = pathlib.Path(__file__).resolve().parent.parent
SRC = TOP / "src"
# third-party header prefix -> modules that may include it
HOMES = {
    "drogon/": {"net"}, "trantor/": {"net"}, "grpc": {"net"}, "soci": {"meta"}, "sqlite3.h": {"meta"},
    "arrow/": {"table"}, "parquet/": {"table"}, "duckdb": {"table"}, "xgboost/": {"model", "train"},
    "onnxruntime": {"model"}, "toml++": {"base"}, "curl/": {"base"}, "openssl/": {"base"}, "CLI/": {"cli", "app"},
    "spdlog": {"base"}, "prometheus/": {"base"}, "minizip": {"model"}, "zip.h": {"model"}, "glaze": {"base"},
}
CPP_ONLY = ("glaze/", "drogon/", "duckdb", "arrow/api.h", "soci", "base/json.hpp", "base/json_schema.hpp")  # never in a header
HEADER_EXCEPTIONS = {("base/json.hpp", "glaze/"), ("base/json_schema.hpp", "glaze/")}
LINES_MAX = 620


def allowed() -> dict[str, set[str]]:
    table = {}
    order: list[str] = []
    domain = ["access", "data", "feature", "model", "track", "train", "eval", "registry", "serve", "label", "monitor", "loop"]
    for line in (TOP / "ARCHITECTURE.md").read_text().splitlines():
        match = re.match(r"\| `(\w+)` \|[^|]*\|([^|]*)\|", line)
        if not match:
            continue
        name, cell = match.groups()
        order.append(name)
        deps = set(re.findall(r"`(\w+)`", cell))
        if "any domain module" in cell:
            deps |= set(domain)
        if "the domain to its left" in cell:
            deps |= set(domain[: domain.index(name)])
        if re.search(r"\ball\b", cell):
            deps |= set(order)
        table[name] = deps
    return table


def simulator(problems: list[str]) -> None:
    """tests/sim stands beside the modules and may use their public headers; the engines are outside of its world."""
    for path in sorted(p for p in (TOP / "tests/sim").rglob("*") if p.suffix in (".hpp", ".cpp")):
        where = path.relative_to(TOP).as_posix()
        lines = path.read_text().splitlines()
        if len(lines) > LINES_MAX:
            problems.append(f"{where}:{LINES_MAX}: {len(lines)} lines; look for the seam")
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            header = match.group(2)
            if match.group(1) == '"' and header.endswith("_internal.hpp"):
                problems.append(f"{where}:{number}: {header} is internal to its module")
            if header.startswith(tuple(HOMES)) or header == "table/table.hpp":
                problems.append(f"{where}:{number}: {header} is outside of the simulated world")


def main() -> int:
    table, problems = allowed(), clocks.scan(SRC)
    simulator(problems)
    for path in sorted(p for p in SRC.rglob("*") if p.suffix in (".hpp", ".cpp")):
        where = path.relative_to(SRC).as_posix()
        module = where.split("/")[0]
        test = where.endswith("_test.cpp") or "/testing/" in where
        lines = path.read_text().splitlines()
        if module not in table:
            problems.append(f"src/{where}:1: module '{module}' is not in the table of ARCHITECTURE.md")
            continue
        if len(lines) > LINES_MAX and "table of cases" not in "\n".join(lines[:5]):
            problems.append(f"src/{where}:{LINES_MAX}: {len(lines)} lines; look for the seam")
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            quote, header = match.groups()
            if quote == '"':
                other = header.split("/")[0]
                if "/" not in header:
                    problems.append(f'src/{where}:{number}: write the module: "{module}/{header}"')
                elif other != module and other not in table[module]:
                    if not (test and "/testing/" in header):
                        problems.append(f"src/{where}:{number}: {module} may not include {other}")
                elif other != module and header.endswith("_internal.hpp"):
                    problems.append(f"src/{where}:{number}: {header} is internal to {other}")
                elif "/testing/" in header and not test:
                    problems.append(f"src/{where}:{number}: {header} is for tests only")
            else:
                for prefix, homes in HOMES.items():
                    if header.startswith(prefix) and module not in homes and not (prefix == "arrow/" and header == "arrow/type_fwd.h"):
                        problems.append(f"src/{where}:{number}: <{header}> belongs behind {'/'.join(sorted(homes))}")
            if path.suffix == ".hpp":
                for prefix in CPP_ONLY:
                    if header.startswith(prefix) and (where, prefix) not in HEADER_EXCEPTIONS and "_internal" not in where:
                        problems.append(f"src/{where}:{number}: <{header}> is heavy: .cpp files only")
    print("\n".join(problems) if problems else "layers: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
