#!/usr/bin/env bash
# Copies what the built programs need at run time beside them (run inside the toolchain root), so that they start on any
# host through their own loader. usage: tools/bundle.sh BUILD_DIR
set -euo pipefail
build=$(cd "$1" && pwd)
lib=$build/lib
programs=("$build"/bin/millrace "$build"/bin/millrace-job "$build"/bin/millrace-grpc.so)
shopt -s nullglob
engines=(/usr/lib/x86_64-linux-gnu/libxgboost.so* /usr/lib/x86_64-linux-gnu/libonnxruntime.so*)  # opened by name at run time
[ ${#engines[@]} -gt 0 ] || { echo "bundle: no engine library is installed" >&2; exit 1; }
wanted=$({ ldd "${programs[@]}" "${engines[@]}" 2>/dev/null || true; } | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | sort -u)
for engine in "${engines[@]}"; do [ ! -e "$engine" ] || wanted+=$'\n'$engine; done
stamp=$(for file in $wanted; do stat -L -c '%n %s %Y' "$file"; done | sha256sum)
if [ "$(cat "$lib/.stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$lib"
  mkdir -p "$lib"
  for file in $wanted; do cp -L "$file" "$lib/"; done
  printf '%s\n' "$stamp" >"$lib/.stamp"
fi
cat >"$build/run" <<'TXT'
#!/bin/sh
# usage: run PROGRAM [arguments]: starts a program of this build through the loader and libraries that it was built with.
here=$(cd "$(dirname "$0")" && pwd)
program=$1
shift
MILLRACE_LAUNCHER=$here/run
export MILLRACE_LAUNCHER
exec "$here/lib/ld-linux-x86-64.so.2" --library-path "$here/lib" --argv0 "$program" "$here/bin/$program" "$@"
TXT
chmod +x "$build/run"
