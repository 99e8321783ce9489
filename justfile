# Chores of corten; `just` lists them. Each is one line that can be typed without just.

_list:
    @just --list --unsorted

# All tests, as the README says.
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Format and lints, without mercy.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings

# The architecture check.
house:
    cargo xtask house

# Licences, bans, sources and advisories of everything we depend on.
deny:
    cargo deny check

# The reference pages, from the binary; then the book, where mdbook is installed.
docs:
    cargo xtask cli
    @if command -v mdbook >/dev/null; then mdbook build docs; else echo "mdbook is not installed: docs/src is the book" >&2; fi

# Every fuzz target for SECONDS each.
fuzz SECONDS="600":
    ./fuzz/run.sh {{ SECONDS }}

# Every fuzz target, long enough to see that it lives.
fuzz-short: (fuzz "30")

# The speed of copy beside skopeo, crane and oras, as a table for docs/src/reference/benchmarks.md.
bench-copy *ARGS:
    ./benches/copy.sh {{ ARGS }}

# From a name to the first process, beside podman, docker, containerd and umoci with crun, as a table.
bench-run *ARGS:
    ./benches/run.sh {{ ARGS }}

# Everything that needs systemd, control groups v2 or AppArmor, on the machine that shared/machine boots.
machine:
    .ci/machine all

# Two binaries of corten beside each other: what a change costs.
bench-versions OLD NEW *ARGS:
    benches/versions.sh {{ OLD }} {{ NEW }} {{ ARGS }}

# RUNS kills of pull, push and copy, a tenth of import and gc; then before each step: docs/src/reference/faults.md.
kill-runs RUNS="200":
    CORTEN_KILL_RUNS={{ RUNS }} cargo test -p corten --test cuts -- --ignored --nocapture

# KILLS kills of pull and of the whole life of containers: docs/src/reference/faults.md.
kill-containers KILLS="300":
    CORTEN_KILLS={{ KILLS }} cargo test -p corten --test run -- --ignored --nocapture many_kills

# KILLS kills of builds: docs/src/reference/faults.md.
kill-builds KILLS="100":
    CORTEN_KILLS={{ KILLS }} cargo test -p corten --test build -- --ignored --nocapture many_kills

# The speed of build beside docker buildx and buildah, as a table for docs/src/reference/benchmarks.md.
bench-build *ARGS:
    ./benches/build.sh {{ ARGS }}

# The Dockerfiles of tests/differential, asked again of BuildKit and buildah: docs/src/reference/differential.md. With
# CORTEN_BUILDKIT=unix:///PATH a BuildKit that listens there is asked in place of the Docker engine's.
differential:
    cargo test -p corten --test differential -- --ignored --nocapture the_peers

# What CI runs.
ci:
    bash .ci/run
