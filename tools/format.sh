#!/usr/bin/env bash
# Rewrites the C++ sources in the house format; --check only says which files differ.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
find src bench tests/sim -name '*.[hc]pp' -print0 2>/dev/null | xargs -0 -r -n 40 -P 2 clang-format-21 "${mode[@]}"
