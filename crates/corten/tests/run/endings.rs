//! Every loop over foreign data ends when it is asked to, and holes of a file cost nothing: images, volumes,
//! contexts and containers with files of a terabyte that hold a few bytes.

use std::collections::BTreeMap;

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

use crate::image::{busybox, image};
use crate::machine::Machine;
use crate::matrix::{Case, root, user};

/// How large the file is that has nothing in it.
const HUGE: u64 = 44 << 30;
/// The same for what is copied whole by who reads the zeros: a file system that does not tell of its holes.
const LARGE: u64 = 3 << 30;
/// How many entries a volume begins with that takes long.
const MANY: usize = 15_000;

/// What stands before each script.
const HEAD: &str = r#"
export TMPDIR=/var/tmp
quiet() { corten --quiet "$@"; }
used() { du -sk $S/home/.local /var/tmp 2>/dev/null | awk '{s+=$1} END {print (s > 400000) ? "much on disk" : "little on disk"}'; }
is_there() { test -d /proc/$1 && ! grep -q ') Z ' /proc/$1/stat; }
# What runs is told to end after a while, and must.
ends() {
    name=$1; signal=$2; shift 2
    env --default-signal=INT,TERM "$@" >said 2>&1 </dev/null & pid=$!
    n=0; while is_there $pid && test $n -lt 30; do n=$((n+1)); sleep 0.05; done
    is_there $pid && kill -$signal $pid || { wait $pid; echo "$name ended by itself: $? $(head -c 200 said)" >>early; }
    n=0; while is_there $pid; do n=$((n+1)); test $n -lt 80 || { kill -9 $pid; echo "$name does not end on $signal"; return; }; sleep 0.05; done
}
"#;

/// A verb over something that takes for ever; the words are those of a shell.
const SLOW: &[(&str, &str)] = &[
    ("import", "corten --quiet import huge imported"),
    ("build", "corten --quiet build --network none -t copied huge"),
    ("export", "corten --quiet export $IMAGE -o exported.tar"),
    ("cat", "corten --quiet cat $IMAGE /data/huge"),
    ("unpack", "corten --quiet unpack $IMAGE unpacked"),
    ("validate", "corten --quiet validate $IMAGE"),
    ("diff", "corten --quiet diff $IMAGE oci:$S/images:many"),
    ("commit", "corten --quiet commit grown committed"),
    ("cp of a tar", "sh -c 'exec corten --quiet cp grown:/huge - >copied.tar'"),
    ("import of a pipe", "sh -c 'exec corten --quiet import - piped <>pipe'"),
    ("pull of a pipe", "sh -c 'exec corten --quiet pull oci-archive:- piped <>pipe'"),
    ("build of a pipe", "sh -c 'exec corten --quiet build --network none - <>pipe'"),
    ("cp of a pipe", "sh -c 'exec corten --quiet cp - grown:/bin <>pipe'"),
    ("store check", "corten --quiet store check"),
    ("gc", "corten --quiet gc --grace 0s"),
    (
        "cache export",
        "corten --quiet build --network none -t copied --cache-to type=local,dest=$S/home/cache huge",
    ),
    ("steps", "corten --quiet build copy --work w huge/huge /huge"),
];

fn machine(case: Case, size: u64) -> Option<Machine> {
    let busybox = busybox()?;
    let rooms = "mount -t tmpfs -o mode=1777,size=2g tmp /var/tmp";
    let machine = Machine::new(&case.after(rooms).setup())?;
    let volume = || BTreeMap::from([("/data".to_owned(), serde_json::Map::new())]);
    let config = || ContainerConfig {
        env: vec!["PATH=/bin".to_owned()],
        volumes: volume(),
        ..ContainerConfig::default()
    };
    let huge = TarMaker::new().directory("data", 0o755).sparse("data/huge", size, b"at its end");
    machine.layout.add("app", &image(&busybox, huge.clone(), config()));
    let no_volumes = ContainerConfig { volumes: BTreeMap::new(), ..config() };
    machine.layout.add("still", &image(&busybox, huge, no_volumes));
    let mut many = TarMaker::new().directory("data", 0o755);
    for number in 0..MANY {
        many = many.file(&format!("data/{number}"), 0o644, "x");
    }
    machine.layout.add("many", &image(&busybox, many, config()));
    Some(machine)
}

/// Runs a script, which must say this.
fn says(machine: &Machine, script: &str, wanted: &str) {
    let answer = machine.sh(&format!("{HEAD}{script}"));
    assert_eq!(answer.out.trim_end(), wanted, "{script}\n{}", answer.err);
}

/// A file of an image without content costs none as a volume, as a cache, or in a copy.
fn holes_cost_nothing(case: Case) {
    let Some(machine) = machine(case, LARGE) else { return };
    says(
        &machine,
        "quiet run --rm --network none $IMAGE sh -c 'stat -c %s /data/huge; tail -c 10 /data/huge'; echo; used",
        &format!("{LARGE}\nat its end\nlittle on disk"),
    );
    says(
        &machine,
        "quiet run --network none --name kept -v kept:/data $IMAGE stat -c %s /data/huge; quiet cp kept:/bin/busybox bb >said; used
         quiet pull $IMAGE app >said
         mkdir ctx; printf 'FROM app AS app\nFROM app\nRUN --mount=type=cache,target=/c,from=app,source=/data stat -c %%s /c/huge >/size\n' >ctx/Dockerfile
         quiet build --network none -t seeded ctx >said; quiet cat store:seeded /size; used",
        &format!("{LARGE}\nlittle on disk\n{LARGE}\nlittle on disk"),
    );
}

#[test]
fn a_file_without_content_costs_root_nothing() {
    holes_cost_nothing(root());
}

#[test]
fn a_file_without_content_costs_a_user_nothing() {
    holes_cost_nothing(user());
}

#[test]
fn a_start_that_fills_a_volume_ends_when_it_is_asked_to() {
    let Some(machine) = machine(root(), HUGE) else { return };
    says(
        &machine,
        "quiet pull oci:$S/images:many many >said; quiet run --rm --network none many true",
        "",
    );
    let script = "
        env --default-signal=INT,TERM corten --quiet run --rm --network none -v full:/data many true >said 2>&1 </dev/null & pid=$!
        n=0; until ls -d .local/share/corten/store/.corten/volumes/full/.part-*/data >seen 2>&1; do n=$((n+1)); test $n -lt 400 || exit 9; sleep 0.02; done
        kill -TERM $pid
        n=0; while is_there $pid; do n=$((n+1)); test $n -lt 60 || { kill -9 $pid; echo stuck; exit; }; sleep 0.05; done
        wait $pid; echo \"= $?\"; ls .local/share/corten/store/.corten/volumes/full; quiet ps -a | wc -l";
    says(&machine, script, "= 125\n1");
    // The next one makes it whole.
    says(
        &machine,
        "quiet run --rm --network none -v full:/data many sh -c 'ls /data | wc -l'",
        &MANY.to_string(),
    );
}

#[test]
fn every_verb_ends_when_it_is_asked_to() {
    let Some(machine) = machine(root(), HUGE) else { return };
    let begin = format!(
        "mkfifo pipe; mkdir huge; truncate -s {HUGE} huge/huge; printf 'FROM app\\nCOPY huge /huge\\n' >huge/Dockerfile
         quiet pull oci:$S/images:still app >said
         quiet run --network none --name grown app sh -c 'dd if=/dev/zero of=/huge bs=1 count=1 seek={HUGE} 2>/dev/null'
         quiet build begin --work w app >said"
    );
    says(&machine, &begin, "");
    for signal in ["TERM", "INT"] {
        for (name, words) in SLOW {
            let script =
                format!("ends '{name}' {signal} {words}; rm -rf exported.tar copied.tar unpacked");
            says(&machine, &script, "");
        }
    }
    // What reads the zeros was still at it; the others know of the holes.
    let early = machine.sh("cat early").out;
    let quick = ["unpack", "validate", "store check", "gc"];
    let is_quick = |line: &str| quick.iter().any(|name| line.starts_with(&format!("{name} ended")));
    let lines = early.lines().filter(|line| line.contains(" ended by itself"));
    let slow: Vec<&str> = lines.filter(|line| !is_quick(line)).collect();
    assert!(slow.is_empty(), "{slow:#?}");
    says(&machine, "used", "little on disk");
}
