#!/usr/bin/env bash
# Building, beside docker buildx and buildah, from the same bases, in one run:
#
#   run30        30 trivial RUN, nothing cached
#   copy-gzip    COPY of 17,000 files, nothing cached, layers packed with gzip (buildx and buildah keep them unpacked)
#   copy-zstd    the same with zstd
#   noop         that build again
#   one          that build again, after one of the files changed
#   stages       four independent stages that take two seconds each
#   python       a program installed with pip from local wheels, and a layer of its own over it
#
#   benches/build.sh [RUNS] [CASE…]     prints a Markdown table
#
# The bases are the peers' images `debian` and `python`; the files are those below /usr of this machine. The others
# are taken from PATH (see shared/peers); one that is absent is left out and said so. Counts of fsync are of a run of
# their own, under strace, which takes minutes; BENCH_NO_SYNCS=1 leaves them out. Needs root, GNU time, strace, jq, and pip
# with access to its index for the last case.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
runs=${1:-3}
shift || true
cases=("$@")
((${#cases[@]} > 0)) || cases=(run30 copy-gzip copy-zstd noop one stages python)
layout=${BENCH_LAYOUT:-/var/lib/corten-peers/images/oci}
work=$(mktemp -d "${TMPDIR:-/tmp}/corten-bench.XXXXXX")
tag=corten-bench

finish() {
  if [[ -d $work/buildah ]]; then
    buildah_ rmi -a -f >/dev/null 2>&1 || true
    umount -R "$work"/buildah/overlay 2>/dev/null || true
  fi
  if docker version >/dev/null 2>&1; then docker rmi -f "$tag" "$tag-debian" "$tag-python" >/dev/null 2>&1 || true; fi
  rm -rf "$work"
}
trap finish EXIT

need() { command -v "$1" >/dev/null || { echo "bench: $1 is needed" >&2; exit 1; }; }
for tool in jq strace rsync; do need "$tool"; done
[[ -x /usr/bin/time ]] || { echo "bench: GNU time is needed" >&2; exit 1; }
[[ $(id -u) == 0 ]] || { echo "bench: root is needed" >&2; exit 1; }

if [[ -z ${CORTEN:-} ]]; then
  cargo build --release --quiet --manifest-path "$here/Cargo.toml" --package corten --bin corten
  CORTEN=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
    jq -r .target_directory)/release/corten
fi

# --- who builds how ---------------------------------------------------------------------------

corten_() { "$CORTEN" --quiet --store "$work/corten" "$@"; }
buildah_() { buildah --root "$work/buildah" --runroot "$work/buildah-run" --storage-driver overlay "$@"; }

# Words before the context; each case gives a directory, which has a Dockerfile.
build_corten() { corten_ build --network none "$@"; }
build_docker() { docker buildx build -q --network none -t "$tag" "$@"; }
# The limits it sets by itself are higher than a machine may allow.
build_buildah() {
  buildah_ build -q --layers --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 -t "$tag" "$@"
}

anew_corten=(--no-cache) anew_docker=(--no-cache) anew_buildah=(--no-cache)

tools=(corten)
if docker buildx version >/dev/null 2>&1 && docker version >/dev/null 2>&1; then
  tools+=(docker)
else
  echo "bench: no docker buildx: left out" >&2
fi
if command -v buildah >/dev/null; then tools+=(buildah); else echo "bench: no buildah: left out" >&2; fi

# --- what is built ----------------------------------------------------------------------------

base() { # name: the base for everybody, under one name
  local name=$1
  corten_ copy "oci:$layout:$name" "store:$tag-$name" >/dev/null
  for tool in "${tools[@]:1}"; do
    case $tool in
      docker) corten_ copy "oci:$layout:$name" "docker-archive:$work/base.tar:$tag-$name:latest" >/dev/null 2>&1 ||
        skopeo copy -q "oci:$layout:$name" "docker-archive:$work/base.tar:$tag-$name:latest" &&
        docker load -q -i "$work/base.tar" >/dev/null ;;
      buildah) skopeo copy -q "oci:$layout:$name" "oci:$work/base:$tag-$name" &&
        buildah_ pull -q "oci:$work/base:$tag-$name" >"$work/id" && buildah_ tag "$(<"$work/id")" "$tag-$name" ;;
    esac
    rm -rf "$work/base.tar" "$work/base"
  done
}

files() { # directory: 17,000 files of this machine
  mkdir -p "$1"
  (cd /usr && find lib share include -type f -size -200k 2>/dev/null | LC_ALL=C sort | awk 'NR <= 17000' >"$work/list")
  rsync -a --files-from="$work/list" /usr/ "$1/"
  cp "$1/$(sed -n 9000p "$work/list")" "$work/original"
}

prepare() { # case
  local place=$work/context/$1
  mkdir -p "$place"
  case $1 in
    run30)
      { echo "FROM $tag-debian"; for i in $(seq 30); do echo "RUN echo $i > /f$i"; done; } >"$place/Dockerfile" ;;
    copy)
      files "$place/src"
      printf 'FROM %s\nCOPY src /src\n' "$tag-debian" >"$place/Dockerfile" ;;
    stages)
      {
        for i in 1 2 3 4; do printf 'FROM %s AS s%s\nRUN sleep 2; echo %s > /out\n' "$tag-debian" $i $i; done
        echo 'FROM scratch'
        for i in 1 2 3 4; do echo "COPY --from=s$i /out /$i"; done
      } >"$place/Dockerfile" ;;
    python)
      # For the Python that is in the base.
      pip download -q --python-version 3.13 --only-binary :all: --dest "$place/wheels" flask >/dev/null
      echo 'import flask; print(flask.__name__)' >"$place/app.py"
      cat >"$place/Dockerfile" <<D
FROM $tag-python
RUN --mount=type=bind,source=wheels,target=/wheels pip install --break-system-packages --no-cache-dir --no-index --find-links /wheels flask
WORKDIR /app
COPY app.py .
RUN python3 app.py
CMD ["python3", "app.py"]
D
      ;;
  esac
}

# --- measure ----------------------------------------------------------------------------------

daemons_of() { if [[ $1 == docker ]]; then pgrep -x 'dockerd|containerd' || true; fi; }
ticks() {
  local sum=0 pid
  for pid in "$@"; do
    [[ -r /proc/$pid/stat ]] && sum=$((sum + $(awk '{print $14 + $15 + $16 + $17}' "/proc/$pid/stat")))
  done
  echo "$sum"
}
peak() { # pids: what they held at the most since it was forgotten, in KiB
  local sum=0 pid
  for pid in "$@"; do sum=$((sum + $(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status"))); done
  echo "$sum"
}

# Words of a case: what is built, whether anew, and for corten how it is packed.
words() { # tool, case
  local tool=$1
  case $2 in
    run30 | stages | python) local -n anew=anew_$tool; printf '%s\n' "${anew[@]}" "$work/context/$2" ;;
    copy-gzip | copy-zstd)
      local -n anew=anew_$tool; printf '%s\n' "${anew[@]}"
      [[ $tool == corten ]] && printf '%s\n' --compression "${2#copy-}"
      echo "$work/context/copy" ;;
    noop | one) echo "$work/context/copy" ;;
  esac
}

# Before a case that is of what was built before it.
settle() { # tool, case
  [[ $2 == noop || $2 == one ]] || return 0
  local changed
  changed=$work/context/copy/src/$(sed -n 9000p "$work/list")
  cp "$work/original" "$changed"
  "build_$1" "$work/context/copy" >"$work/output" 2>&1
  # What changed just now is not believed by its times.
  sleep 1.1
  "build_$1" "$work/context/copy" >"$work/output" 2>&1
  if [[ $2 == one ]]; then date +%s%N >>"$changed"; fi
}

measure() { # tool, case: wall, CPU of the command and its daemons, peak in MiB
  local tool=$1 pids before after list
  mapfile -t list < <(words "$@")
  settle "$@"
  sync
  mapfile -t pids < <(daemons_of "$tool")
  for pid in "${pids[@]}"; do echo 5 >"/proc/$pid/clear_refs"; done
  before=$(ticks "${pids[@]}")
  /usr/bin/time -o "$work/record" -f '%e %U %S %M' bash -c "build_$tool \"\$@\"" - "${list[@]}" \
    >"$work/output" 2>&1 || { cat "$work/output" >&2; echo "bench: $tool $2 failed" >&2; return 1; }
  after=$(ticks "${pids[@]}")
  tail -n 1 "$work/record" | awk -v daemon=$((after - before)) -v hz="$(getconf CLK_TCK)" -v held="$(peak "${pids[@]}")" \
    '{ printf "%.3f %.2f %.0f\n", $1, $2 + $3 + daemon / hz, ($4 + held) / 1024 }'
}

syncs() { # tool, case: how often the disk is waited for
  [[ -z ${BENCH_NO_SYNCS:-} ]] || { echo -; return; }
  local tool=$1 list pids watcher
  mapfile -t list < <(words "$@")
  settle "$@"
  mapfile -t pids < <(daemons_of "$tool")
  if ((${#pids[@]} > 0)); then
    strace -f -qq -e trace=fsync,fdatasync,syncfs,sync -o "$work/syncs" "${pids[@]/#/-p}" &
    watcher=$!
    sleep 1
    "build_$tool" "${list[@]}" >"$work/output" 2>&1
    kill -INT "$watcher" && wait "$watcher" || true
  else
    strace -f -qq -e trace=fsync,fdatasync,syncfs,sync -o "$work/syncs" \
      bash -c "build_$tool \"\$@\"" - "${list[@]}" >"$work/output" 2>&1
  fi
  grep -c -E '^[0-9]+ +(fsync|fdatasync|syncfs|sync)\(' "$work/syncs" || true
}

median() { cut -d' ' -f"$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

export -f corten_ buildah_ build_corten build_docker build_buildah
export CORTEN work tag
base debian
[[ " ${cases[*]} " != *" python "* ]] || base python
for case in "${cases[@]}"; do
  context=$case
  case $case in copy-* | noop | one) context=copy ;; esac
  [[ -d $work/context/$context ]] || prepare "$context"
  for ((run = 1; run <= runs; run++)); do
    turn=$((run % ${#tools[@]}))
    for tool in "${tools[@]:turn}" "${tools[@]:0:turn}"; do
      [[ $case == copy-zstd && $tool != corten ]] && continue
      measure "$tool" "$case" >>"$work/$case.$tool"
    done
  done
  for tool in "${tools[@]}"; do
    [[ $case == copy-zstd && $tool != corten ]] && continue
    syncs "$tool" "$case" >"$work/$case.$tool.syncs"
  done
done

# --- tell -------------------------------------------------------------------------------------

printf '%s runs, medians; %s cores (%s); docker %s, buildah %s.\n\n' "$runs" "$(nproc)" \
  "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" \
  "$(docker version --format '{{.Server.Version}}' 2>/dev/null || echo absent)" \
  "$(buildah version --json 2>/dev/null | jq -r .version || echo absent)"
echo '| Case | Tool | Wall s | CPU s | Peak MiB | fsync | Wall to corten |'
echo '|---|---|---|---|---|---|---|'
for case in "${cases[@]}"; do
  ours=$(median 1 "$work/$case.corten")
  for tool in "${tools[@]}"; do
    file=$work/$case.$tool
    [[ -e $file ]] || continue
    awk -v name="$case" -v tool="$tool" -v wall="$(median 1 "$file")" -v cpu="$(median 2 "$file")" \
      -v peak="$(median 3 "$file")" -v syncs="$(<"$file.syncs")" -v ours="$ours" 'BEGIN {
        printf "| %s | %s | %.2f | %.2f | %.0f | %s | %.1f |\n", name, tool, wall, cpu, peak, syncs, wall / ours }'
  done
done
