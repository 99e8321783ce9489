#!/usr/bin/env bash
# Runs every fuzz target for some seconds each, from the seeds and from what earlier runs found.
#
#   fuzz/run.sh SECONDS [TARGET…]
#
# Needs nightly and cargo-fuzz. Stops at the first crash; what crashed stands in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET…]}
shift
targets=("$@")
if ((${#targets[@]} == 0)); then
  mapfile -t targets < <(cargo +nightly fuzz list)
fi

# Archives make good seeds and bad sources: they are packed here, in every dialect that tar writes.
pack_seeds() { # folder
  local tree=$1/tree dialect
  [[ -e $1/ustar.tar ]] && return
  mkdir -p "$tree/dir"
  printf 'content\n' >"$tree/dir/file"
  ln -f "$tree/dir/file" "$tree/hard"
  ln -sf dir/file "$tree/soft"
  mkfifo "$tree/fifo" 2>/dev/null || true
  : >"$tree/dir/.wh.gone"
  truncate -s 64K "$tree/sparse"
  printf 'end' >>"$tree/sparse"
  : >"$tree/$(printf 'long%.0s' {1..40})"
  for dialect in v7 ustar gnu posix; do
    tar -C "$tree" --format="$dialect" --sparse -cf "$1/$dialect.tar" . 2>/dev/null || true
  done
  tar -C "$tree" --format=posix --sparse --sparse-version=0.1 -cf "$1/sparse-0.1.tar" sparse
  gzip -nkf "$1/posix.tar"
  if command -v zstd >/dev/null; then zstd -qkf "$1/posix.tar"; fi
  rm -rf "$tree"
}

# Leaks are not looked for: what a thread that is just ending still holds would count as one.
for target in "${targets[@]}"; do
  seeds=seeds/$target
  if [[ $target == tar || $target == layer || $target == erofs || $target == unpack ]]; then
    seeds=corpus/packed
    mkdir -p "$seeds"
    pack_seeds "$seeds"
  fi
  mkdir -p "corpus/$target" "$seeds"
  log=corpus/$target.log
  printf '%-12s ' "$target"
  if cargo +nightly fuzz run "$target" "corpus/$target" "$seeds" -- \
    -max_total_time="$seconds" -detect_leaks=0 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%s runs in %s s, no crash\n' "$runs" "$seconds"
  else
    printf 'FAILED\n'
    grep -E -A4 'panicked|ERROR:|^Failing input' "$log" || tail -n 40 "$log"
    exit 1
  fi
done
