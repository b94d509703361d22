"""Trees: our own runtime beside XGBoost's C API, on the three models of one program."""
import json
import subprocess

from common import BIN


def measure(folder):
    models = json.loads(subprocess.run([BIN / "millrace_bench_trees", folder], capture_output=True, text=True, check=True).stdout)
    out = ["Inside the process, one thread, ns a row, medians of 20 rounds in turn. A single row is another one each time.", "",
           "| model | missing | 1 row: XGBoost | own | ratio | 1,000 rows: XGBoost | own | ratio | answers that differ in a bit | load: XGBoost | with reading and proof |",
           "|---|---|---|---|---|---|---|---|---|---|---|"]
    for m in models:
        out.append(f"| {m['text']} | {'5 %' if m['missing'] else 'none'} | {m['one_engine']:,.0f} | {m['one']:,.0f} | {m['one_engine'] / m['one']:.1f} | {m['batch_engine']:,.0f} | {m['batch']:,.0f} | "
                   f"{m['batch_engine'] / m['batch']:.1f} | {m['different']} of {m['answers']:,} | {m['load_engine_ms']:.1f} ms | {m['load_ms']:.1f} ms |")
    return out
