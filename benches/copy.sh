#!/usr/bin/env bash
# The speed of `corten copy` beside skopeo, crane and oras, and beside the floor: one image moved from
# registry to layout, layout to registry, and registry to registry, each time into an empty target.
#
#   benches/copy.sh [LAYOUT:NAME] [RUNS]     prints a Markdown table
#
# The default is the image `build` of the peers, three times. The other tools and docker-registry are
# taken from PATH (see shared/peers); one that is absent is left out and said so. Needs GNU time, curl,
# jq, openssl, and about five times the image's size of free space in $TMPDIR.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image=${1:-/var/lib/corten-peers/images/oci:build}
runs=${2:-3}
layout=${image%:*} name=${image##*:}
work=$(mktemp -d "${TMPDIR:-/tmp}/corten-bench.XXXXXX")
servers=()

finish() {
  ((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

need() { command -v "$1" >/dev/null || { echo "bench: $1 is needed" >&2; exit 1; }; }
for tool in docker-registry curl jq openssl; do need "$tool"; done
[[ -x /usr/bin/time ]] || { echo "bench: GNU time is needed" >&2; exit 1; }

# --- two registries on loopback ---------------------------------------------------------------

serve() { # port, folder
  mkdir -p "$2"
  cat >"$2.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $2}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$1"}
YML
  docker-registry serve "$2.yml" >"$2.log" 2>&1 </dev/null &
  servers+=($!)
  local left=100
  until curl -fs "http://127.0.0.1:$1/v2/" >/dev/null; do
    ((left-- > 0)) || { echo "bench: no registry on port $1" >&2; exit 1; }
    sleep 0.1
  done
}

a=127.0.0.1:5051 b=127.0.0.1:5052

# --- who does what ----------------------------------------------------------------------------

cargo build --release --quiet --manifest-path "$here/Cargo.toml" --package corten --bin corten --example floor
release=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
  jq -r .target_directory)/release
corten=$release/corten floor=$release/examples/floor

run_corten() {
  case $1 in
    pull) "$corten" --quiet copy "$2" "oci:$3:x" ;;
    push) "$corten" --quiet copy "oci:$layout:$name" "$2" ;;
    copy) "$corten" --quiet copy "$2" "$3" ;;
  esac
}
run_skopeo() {
  local from=--src-tls-verify=false to=--dest-tls-verify=false
  case $1 in
    pull) skopeo copy -q -a --preserve-digests $from "docker://$2" "oci:$3:x" ;;
    push) skopeo copy -q -a --preserve-digests $to "oci:$layout:$name" "docker://$2" ;;
    copy) skopeo copy -q -a --preserve-digests $from $to "docker://$2" "docker://$3" ;;
  esac
}
run_crane() {
  case $1 in
    pull) crane pull --insecure --format=oci "$2" "$3" ;;
    push) crane push --insecure "$work/single" "$2" ;; # it pushes a layout only whole
    copy) crane copy --insecure "$2" "$3" ;;
  esac
}
run_oras() {
  case $1 in
    pull) oras copy --no-tty --from-plain-http --to-oci-layout "$2" "$3:x" ;;
    push) oras copy --no-tty --from-oci-layout --to-plain-http "$layout:$name" "$2" ;;
    copy) oras copy --no-tty --from-plain-http --to-plain-http "$2" "$3" ;;
  esac
}
# Receive, hash, write, nothing else: all blobs at once, as the others do. Nothing is checked.
run_floor() {
  local digests
  mapfile -t digests <"$work/blobs"
  case $1 in
    pull) mkdir -p "$3" && "$floor" pull "${2%%/*}" image "$3" "${digests[@]}" ;;
    push) "$floor" push "${2%%/*}" floor "$layout/blobs/sha256" "${digests[@]}" ;;
    copy) "$floor" move "${2%%/*}" image "$3" "${digests[@]}" ;;
  esac
}
export -f run_corten run_skopeo run_crane run_oras run_floor
export corten floor layout name work

# --- measure ----------------------------------------------------------------------------------

measure() { # tool, job, arguments…
  local tool=$1 record=$work/record
  shift
  /usr/bin/time -o "$record" -f '%e %U %S %M' bash -c "run_$tool \"\$@\"" "$tool" "$@" \
    >"$work/output" 2>&1 || { cat "$work/output" >&2; echo "bench: $tool $1 failed" >&2; exit 1; }
  tail -n 1 "$record" | awk '{ printf "%.2f %.2f %.1f\n", $1, $2 + $3, $4 / 1024 }'
}

median() { # field, file
  cut -d' ' -f"$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

tools=(corten)
for tool in skopeo crane oras; do
  if command -v "$tool" >/dev/null; then tools+=("$tool"); else echo "bench: no $tool: left out" >&2; fi
done

serve "${a#*:}" "$work/a"
serve "${b#*:}" "$work/b"
run_corten push "$a/image:x" >"$work/output"
manifest=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$a/v2/image/manifests/x")
jq -r '.config.digest, .layers[].digest' <<<"$manifest" | sort -u >"$work/blobs"
packed=$(jq '[.config.size, .layers[].size] | add' <<<"$manifest")
"$corten" --quiet copy "$a/image:x" "oci:$work/single:x" >"$work/output"

for job in pull push copy; do
  for ((run = 1; run <= runs; run++)); do
    # Each run begins with another tool: the first one meets the coldest machine.
    turn=$((run % ${#tools[@]}))
    for tool in "${tools[@]:turn}" "${tools[@]:0:turn}" floor; do
      fresh=$tool-$run
      rm -rf "$work/target"
      case $job in
        pull) measure "$tool" pull "$a/image:x" "$work/target" ;;
        push) measure "$tool" push "$b/push-$fresh:x" ;;
        copy) measure "$tool" copy "$a/image:x" "$b/copy-$fresh:x" ;;
      esac >>"$work/$job.$tool"
    done
    # Everything in an empty target: what is there is forgotten with its storage.
    kill "${servers[1]}"; wait "${servers[1]}" 2>/dev/null || true
    unset 'servers[1]'
    rm -rf "$work/b"
    serve "${b#*:}" "$work/b"
    servers=("${servers[@]}")
  done
done

# --- tell -------------------------------------------------------------------------------------

title() {
  case $1 in
    pull) echo "Registry to layout" ;;
    push) echo "Layout to registry" ;;
    copy) echo "Registry to registry" ;;
  esac
}

printf 'Image: %s, %s MB packed, %s blobs; %s runs, medians; %s cores (%s).\n' "$name" \
  $((packed / 1000000)) "$(wc -l <"$work/blobs")" "$runs" "$(nproc)" \
  "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)"
for job in pull push copy; do
  printf '\n## %s\n\n| Tool | Wall s | CPU s | Peak MiB | CPU to best other | Wall to best other |\n|---|---|---|---|---|---|\n' \
    "$(title $job)"
  others=("${tools[@]:1}")
  best() { # field
    for tool in "${others[@]}"; do median "$1" "$work/$job.$tool"; done | sort -n | head -n 1
  }
  for tool in "${tools[@]}" floor; do
    [[ -e $work/$job.$tool ]] || continue
    awk -v tool="$tool" -v wall="$(median 1 "$work/$job.$tool")" -v cpu="$(median 2 "$work/$job.$tool")" \
      -v peak="$(median 3 "$work/$job.$tool")" -v best_wall="$(best 1)" -v best_cpu="$(best 2)" 'BEGIN {
        ratio = best_cpu > 0 ? sprintf("%.2f", cpu / best_cpu) : "-"
        walls = best_wall > 0 ? sprintf("%.2f", wall / best_wall) : "-"
        printf "| %s | %.2f | %.2f | %.0f | %s | %s |\n", tool, wall, cpu, peak, ratio, walls }'
  done
done
