#!/usr/bin/env bash
# The main job from a clean clone: a small real root filesystem becomes an image, is checked to the
# last byte, looked at, moved and taken out again; examples/hello is built on it and run.
#
#   examples/first-image.sh [DIR]     DIR keeps the result [default: target/first-image]
#
# Needs Debian (or any Linux with a shell) and a Rust toolchain, or CORTEN, a corten that is built; no root, no
# registry, no engine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
place=${1:-$here/target/first-image}
rootfs=$place/rootfs

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() {
  local word line='$ corten'
  for word; do [[ $word == *[^A-Za-z0-9_./:=,-]* ]] && line+=" ${word@Q}" || line+=" $word"; done
  printf '%s\n' "$line"
  corten "$@"
}
corten() {
  if [[ -n ${CORTEN:-} ]]; then
    "$CORTEN" --store "$place/store" "$@"
    return
  fi
  cargo run --release --quiet --manifest-path "$here/Cargo.toml" --package corten -- \
    --store "$place/store" "$@"
}

# Copies a program and the libraries it loads, at their own paths.
take_program() { # path on this machine, path in the root filesystem
  install -D -m 755 "$1" "$rootfs$2"
  # A static program has no libraries to name, and ldd says so by failing.
  { ldd "$1" 2>/dev/null || true; } | grep -oE '/[^ )]+' | while read -r library; do
    [[ -e $rootfs$library ]] || install -D -m 755 "$library" "$rootfs$library"
  done
}

make_rootfs() {
  local program path
  rm -rf "$place"/{rootfs,store,layout,out} "$place"/{first.tar,before,after}
  mkdir -p "$rootfs"/{bin,dev,etc,proc,root,run,sys,tmp,usr/bin,var}
  chmod 1777 "$rootfs/tmp"
  chmod 700 "$rootfs/root"
  if path=$(command -v busybox) && ! ldd "$path" >/dev/null 2>&1; then
    take_program "$path" /bin/busybox
    for program in sh ls cat echo id uname wc sort; do ln -s busybox "$rootfs/bin/$program"; done
  else
    take_program "$(command -v bash)" /usr/bin/bash
    ln -s ../usr/bin/bash "$rootfs/bin/sh"
    for program in ls cat id uname wc sort; do
      take_program "$(type -P "$program")" "/usr/bin/$program"
    done
  fi
  printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n' >"$rootfs/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' >"$rootfs/etc/group"
  cat /etc/os-release >"$rootfs/etc/os-release"
  find "$rootfs" -exec touch -h -d @1700000000 {} +
}

step "a root filesystem from the programs of this machine"
make_rootfs
du -sh "$rootfs"

if [[ -z ${CORTEN:-} ]]; then
  step "build corten"
  cargo build --release --manifest-path "$here/Cargo.toml" --package corten
fi
begun=$SECONDS

step "import: the tree becomes an image; the same tree gives the same digest, as a tar too"
config=(--cmd '["/bin/sh"]' --env PATH=/usr/bin:/bin --user app --owner 0:0)
show import "$rootfs" first "${config[@]}"
tar -C "$rootfs" --format=posix -cf - . | show import - second "${config[@]}"
cmp <(corten inspect --raw first) <(corten inspect --raw second)

step "validate: every rule, every byte"
show validate first

step "look at it"
show images
show inspect first
show ls -l first /
show cat first /etc/os-release

step "move it: a plain OCI layout that any other tool reads, byte for byte the same"
show copy store:first "oci:$place/layout:first"
show validate "oci:$place/layout"

step "take it out"
show export first --output "$place/first.tar"
mkdir -p "$place/out"
tar -C "$place/out" -xf "$place/first.tar" --no-same-owner
printf 'exported: %s entries\n' "$(tar -tf "$place/first.tar" | wc -l)"
(cd "$rootfs" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$place/before"
(cd "$place/out" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$place/after"
cmp "$place/before" "$place/after"
echo "every file is what it was"

step "build on it, and run what was built: the same bytes the second time"
if unshare --user --map-root-user true 2>/dev/null; then
  show build --network none -t hello "$here/examples/hello"
  show build --network none --no-cache -t hello-again "$here/examples/hello"
  cmp <(corten inspect --raw hello) <(corten inspect --raw hello-again)
  show validate hello
  show run --rm --network none "$here/examples/hello" | tee "$place/said"
  grep -qx hello "$place/said"
else
  echo "this machine allows no user namespaces: skipped"
fi

printf '\nDone, %s s after the compilation. What was made is in %s\n' "$((SECONDS - begun))" "$place"
