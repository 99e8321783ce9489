#!/usr/bin/env bash
# Two binaries of corten, in turn in one run: what a change costs.
#
#   start   an image that is here: started and ended (/bin/true)
#   cold    the image on a loopback registry and an empty store: pulled, verified, unpacked, /bin/true run
#   cat     1 GiB of memory written by `cat` in a container into a file in memory
#   dd      the same by `dd bs=128k`
#
#   benches/versions.sh OLD NEW [LAYOUT:NAME] [PAIRS]     prints a Markdown table
#
# Wall time, medians; the ratio is the median of the pairs'. The default is the image `debian` of the peers, 15 pairs.
# Needs root, docker-registry and curl in PATH (see shared/peers), and 3 GiB of memory.
set -euo pipefail

old=${1:?usage: benches/versions.sh OLD NEW [LAYOUT:NAME] [PAIRS]}
new=${2:?usage: benches/versions.sh OLD NEW [LAYOUT:NAME] [PAIRS]}
image=${3:-/var/lib/corten-peers/images/oci:debian}
pairs=${4:-15}
work=$(mktemp -d "${TMPDIR:-/tmp}/corten-versions.XXXXXX")
memory=$(mktemp -d /dev/shm/corten-versions.XXXXXX)
registry=

finish() {
  [[ -z $registry ]] || kill "$registry" 2>/dev/null || true
  rm -rf "$work" "$memory"
}
trap finish EXIT

host=127.0.0.1:5054 reference=127.0.0.1:5054/bench/image:x
mkdir "$work/registry"
cat >"$work/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "$host"}
YML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
registry=$!
left=100
until curl -fs "http://$host/v2/" >/dev/null; do
  ((left-- > 0)) || { echo "bench: no registry at $host" >&2; exit 1; }
  sleep 0.1
done

corten() { # which, words…
  local binary=$old
  [[ $1 == old ]] || binary=$new
  "$binary" --quiet --insecure http --store "$work/$1" "${@:2}"
}
started() { corten "$1" run --rm --network none -v "$memory:/memory" "$reference" "${@:2}"; }

before_start() { :; }
do_start() { started "$1" /bin/true; }
before_cold() { rm -rf "${work:?}/$1"; }
do_cold() { started "$1" /bin/true; }
before_cat() { rm -f "$memory/out"; }
do_cat() { started "$1" cat /memory/big >"$memory/out"; }
before_dd() { rm -f "$memory/out"; }
do_dd() { started "$1" dd if=/memory/big bs=128k status=none >"$memory/out"; }

timed() { # what, which
  "before_$1" "$2"
  local begun=$EPOCHREALTIME
  "do_$1" "$2"
  local ended=$EPOCHREALTIME
  echo $((${ended/./} - ${begun/./}))
}
median() { sort -n | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }

corten new copy "oci:$image" "docker://$reference" >/dev/null
head -c 1G /dev/zero >"$memory/big"
for which in old new; do started "$which" /bin/true; done

echo "| | before | now | ratio |"
echo "|---|---|---|---|"
for what in start cold cat dd; do
  : >"$work/times"
  for ((pair = 0; pair < pairs; pair++)); do
    # Neither is always first.
    if ((pair % 2)); then
      a=$(timed "$what" old) b=$(timed "$what" new)
    else
      b=$(timed "$what" new) a=$(timed "$what" old)
    fi
    echo "$a $b" >>"$work/times"
  done
  a=$(cut -d ' ' -f 1 "$work/times" | median) b=$(cut -d ' ' -f 2 "$work/times" | median)
  ratio=$(awk '{print $2 / $1}' "$work/times" | median)
  awk -v w="$what" -v a="$a" -v b="$b" -v r="$ratio" \
    'BEGIN {printf "| %s | %.3f s | %.3f s | %.3f |\n", w, a / 1e6, b / 1e6, r}'
done
