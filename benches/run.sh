#!/usr/bin/env bash
# From a name to the first process, beside podman, docker, containerd, and umoci with crun:
#
#   cold    an image on a loopback registry, nothing of it here: pulled, verified, unpacked, /bin/true run
#   warm    the same image here: started once more, again and again
#   remove  the image, its layers and what was unpacked are taken away
#
#   benches/run.sh [LAYOUT:NAME] [RUNS] [STARTS]     prints a Markdown table
#
# With $BENCH_USER, the name of an ordinary user, it measures that user's starts, too.
# The default is the image `build` of the peers, three times, with 30 starts. The others are taken from
# PATH (see shared/peers); one that is absent is left out and said so. Needs root, GNU time, curl, jq, and
# about eight times the image's packed size of free space in $TMPDIR.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image=${1:-/var/lib/corten-peers/images/oci:build}
runs=${2:-3}
starts=${3:-30}
layout=${image%:*} name=${image##*:}
work=$(mktemp -d "${TMPDIR:-/tmp}/corten-bench.XXXXXX")
servers=()

finish() {
  ((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  if command -v podman >/dev/null; then podman_ system reset -f >/dev/null 2>&1 || true; fi
  umount -R "$work"/podman/overlay 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

need() { command -v "$1" >/dev/null || { echo "bench: $1 is needed" >&2; exit 1; }; }
for tool in docker-registry curl jq; do need "$tool"; done
[[ -x /usr/bin/time ]] || { echo "bench: GNU time is needed" >&2; exit 1; }
[[ $(id -u) == 0 ]] || { echo "bench: root is needed" >&2; exit 1; }

host=127.0.0.1:5053 reference=127.0.0.1:5053/bench/image:x
mkdir -p "$work/registry"
cat >"$work/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: "$host"}
YML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
servers+=($!)
left=100
until curl -fs "http://$host/v2/" >/dev/null; do
  ((left-- > 0)) || { echo "bench: no registry at $host" >&2; exit 1; }
  sleep 0.1
done

cargo build --release --quiet --manifest-path "$here/Cargo.toml" --package corten --bin corten --example floor
release=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
  jq -r .target_directory)/release
corten=$release/corten floor=$release/examples/floor

# --- who does what ----------------------------------------------------------------------------

corten_() { "$corten" --quiet --insecure http --store "$work/corten" "$@"; }
podman_() { podman --root "$work/podman" --runroot "$work/podman-run" "$@"; }
ctr_() { ctr --namespace bench "$@"; }

cold_corten() { corten_ run --rm --network none "$reference" /bin/true; }
warm_corten() { corten_ run --rm --network none "$reference" /bin/true; }
remove_corten() { corten_ remove "$reference" && corten_ gc --grace 0; }

cold_podman() { podman_ run --rm --network none --tls-verify=false "$reference" /bin/true; }
warm_podman() { podman_ run --rm --network none "$reference" /bin/true; }
remove_podman() { podman_ rmi -f "$reference"; }

cold_docker() { docker run -q --rm --network none "$reference" /bin/true; }
warm_docker() { docker run --rm --network none "$reference" /bin/true; }
remove_docker() { docker rmi -f "$reference"; }

cold_containerd() { ctr_ image pull --plain-http "$reference" && ctr_ run --rm "$reference" "c$RANDOM" /bin/true; }
warm_containerd() { ctr_ run --rm "$reference" "c$RANDOM" /bin/true; }
remove_containerd() { ctr_ image rm --sync "$reference"; }

cold_umoci() {
  skopeo copy -q --src-tls-verify=false "docker://$reference" "oci:$work/umoci:x" &&
    umoci unpack --image "$work/umoci:x" "$work/bundle" && prepare_umoci && warm_umoci
}
prepare_umoci() {
  jq '.process.args = ["/bin/true"] | .process.terminal = false | del(.linux.resources)
      | .linux.namespaces = [{type: "mount"}, {type: "pid"}, {type: "ipc"}, {type: "uts"}, {type: "network"}]
      | .mounts |= map(select(.type != "cgroup"))' "$work/bundle/config.json" >"$work/config.json" &&
    cp "$work/config.json" "$work/bundle/config.json"
}
warm_umoci() { crun --cgroup-manager=disabled run -b "$work/bundle" "b$RANDOM"; }
remove_umoci() { rm -rf "$work/umoci" "$work/bundle"; }

cold_floor() {
  local digests
  mapfile -t digests <"$work/blobs"
  mkdir -p "$work/floor" && "$floor" ready "$host" bench/image "$work/floor" "${digests[@]}"
}
remove_floor() { rm -rf "$work/floor"; }

# What a daemon does for a client costs CPU that the client's time does not show.
daemons_of() {
  case $1 in
    docker) pgrep -x 'dockerd|containerd' || true ;;
    containerd) pgrep -x containerd || true ;;
  esac
}
ticks() { # pids…
  local sum=0 pid
  for pid in "$@"; do
    [[ -r /proc/$pid/stat ]] && sum=$((sum + $(awk '{print $14 + $15 + $16 + $17}' "/proc/$pid/stat")))
  done
  echo "$sum"
}

export -f corten_ podman_ ctr_ prepare_umoci
for tool in corten podman docker containerd umoci floor; do
  for job in cold warm remove; do declare -F "${job}_$tool" >/dev/null && export -f "${job}_$tool"; done
done
export corten floor layout name work host reference

# --- measure ----------------------------------------------------------------------------------

measure() { # tool, job: wall, CPU of the command and its daemons, peak of the largest process
  local tool=$1 job=$2 record=$work/record pids before after
  mapfile -t pids < <(daemons_of "$tool")
  before=$(ticks "${pids[@]}")
  /usr/bin/time -o "$record" -f '%e %U %S %M' bash -c "${job}_$tool" \
    >"$work/output" 2>&1 || { cat "$work/output" >&2; echo "bench: $tool $job failed" >&2; return 1; }
  after=$(ticks "${pids[@]}")
  tail -n 1 "$record" | awk -v daemon=$((after - before)) -v hz="$(getconf CLK_TCK)" \
    '{ printf "%.3f %.2f %.1f\n", $1, $2 + $3 + daemon / hz, $4 / 1024 }'
}

# One start after the other, inside one shell, so that the wall time is that of the starts.
measure_starts() { # tool
  local begin end
  warm_"$1" >/dev/null 2>&1
  for ((i = 0; i < starts; i++)); do
    begin=$(date +%s%N)
    warm_"$1" >"$work/output" 2>&1 || { cat "$work/output" >&2; return 1; }
    end=$(date +%s%N)
    echo "$(((end - begin) / 1000))"
  done | sort -n | awk '{ v[NR] = $1 } END { printf "%.1f\n", v[int((NR + 1) / 2)] / 1000 }'
}

# The same by an ordinary user, from a store of that user's own.
measure_rootless() { # user
  local own binary
  own=$(mktemp -d) && binary=$own/corten
  cp "$corten" "$binary" && chmod 755 "$own" "$binary"
  mkdir "$own/store" && chown "$1" "$own/store"
  as_user() { runuser -u "$1" -- env -C / "$binary" --quiet --store "$own/store" "${@:2}"; }
  "$corten" --quiet copy "oci:$layout:$name" oci-archive:- 2>/dev/null |
    as_user "$1" copy oci-archive:- store:bench/image:x >"$work/output" || return 1
  warm_rootless() { as_user "$BENCH_USER" run --rm --network none bench/image:x /bin/true; }
  measure_starts rootless
  as_user "$1" remove bench/image:x >"$work/output" && as_user "$1" gc --grace 0 >"$work/output"
  rm -rf "$own"
}

median() { # field, file
  cut -d' ' -f"$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

tools=(corten)
for tool in podman docker containerd umoci; do
  needs=$tool
  [[ $tool == containerd ]] && needs=ctr
  if ! command -v "$needs" >/dev/null; then
    echo "bench: no $tool: left out" >&2
  elif [[ $tool == docker ]] && ! docker version >/dev/null 2>&1; then
    echo "bench: the Docker engine does not answer: left out" >&2
  elif [[ $tool == containerd ]] && ! ctr version >/dev/null 2>&1; then
    echo "bench: containerd does not answer: left out" >&2
  else
    tools+=("$tool")
  fi
done

"$corten" --quiet --insecure http copy "oci:$layout:$name" "$reference" >"$work/output"
manifest=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$host/v2/bench/image/manifests/x")
jq -r '.layers[].digest' <<<"$manifest" | sort -u >"$work/blobs"
packed=$(jq '[.config.size, .layers[].size] | add' <<<"$manifest")

for ((run = 1; run <= runs; run++)); do
  turn=$((run % ${#tools[@]}))
  for tool in "${tools[@]:turn}" "${tools[@]:0:turn}" floor; do
    measure "$tool" cold >>"$work/cold.$tool"
    if [[ $tool != floor && $run == "$runs" ]]; then
      measure_starts "$tool" >>"$work/warm.$tool"
    fi
    sync
    measure "$tool" remove >>"$work/remove.$tool"
    rm -rf "$work/corten" "$work/floor"
    sync
  done
done

# --- tell -------------------------------------------------------------------------------------

printf 'Image: %s, %s MB packed; %s runs, medians; %s starts; %s cores (%s).\n\n' "$name" \
  $((packed / 1000000)) "$runs" "$starts" "$(nproc)" \
  "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)"
echo '| Tool | Cold: wall s | CPU s | Peak MiB | Wall to best other | CPU to floor | Start: ms | Remove: s |'
echo '|---|---|---|---|---|---|---|---|'
best=$(for tool in "${tools[@]:1}"; do median 1 "$work/cold.$tool"; done | sort -n | head -n 1)
base=$(median 2 "$work/cold.floor")
for tool in "${tools[@]}" floor; do
  start=$([[ -e $work/warm.$tool ]] && cat "$work/warm.$tool" || echo -)
  awk -v tool="$tool" -v wall="$(median 1 "$work/cold.$tool")" -v cpu="$(median 2 "$work/cold.$tool")" \
    -v peak="$(median 3 "$work/cold.$tool")" -v remove="$(median 1 "$work/remove.$tool")" -v start="$start" \
    -v best="$best" -v base="$base" 'BEGIN {
      printf "| %s | %.2f | %.2f | %.0f | %s | %.2f | %s | %.2f |\n", tool, wall, cpu, peak,
        (best > 0 ? sprintf("%.2f", wall / best) : "-"), cpu / base, start, remove }'
done
if [[ -n ${BENCH_USER:-} ]]; then
  printf '\nStart by an ordinary user: %s ms, runuser among it.\n' "$(measure_rootless "$BENCH_USER")"
fi
