//! `kill -9` at random moments of pulls and of the whole life of containers: the store is sound at once, the
//! image that was acknowledged still runs, and after a collection nothing is left: no container, process,
//! mount, control group, network interface, lease, or file.
//!
//! The short form runs with all tests; `CORTEN_KILLS=300 cargo test -p corten --test run -- --ignored
//! --nocapture kills` the long one.

use std::collections::BTreeMap;
use std::time::Instant;

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;
use corten_testkit::{Dice, Fault, Noise, TestRegistry};

use crate::image::{busybox, image, image_of};
use crate::machine::{Machine, Setup};

/// Kills of the short form.
const SHORT: u32 = 24;

/// After so many kills everything is looked at.
const BATCH: u32 = 6;

/// A machine with a way out, so that containers have networks and leases.
const PREPARE: &str = "
mount -t tmpfs run /run
ip link add wan type veth peer name internet
ip link set internet up
ip addr add 203.0.113.1/24 dev wan
ip link set wan up
ip route add default dev wan";

/// What is killed: a name, what stands ready before, and the command.
const VICTIMS: &[(&str, &str, &str)] = &[
    ("pull", "forget", "corten --quiet pull $NEW"),
    ("run of an image that is not here", "forget", "corten --quiet run --rm $NEW true"),
    (
        "run of one that is here",
        ":",
        "corten --quiet run --rm $KEPT sh -c 'echo x > /x; sleep 0.02'",
    ),
    ("run without a network", ":", "corten --quiet run --network none $KEPT true"),
    (
        "run in the background",
        ":",
        "corten --quiet run -d -p $PORT:80 -v data:/data $KEPT sleep 100",
    ),
    ("exec", "life", "corten --quiet exec one sleep 0.02"),
    ("stop", "life", "corten --quiet stop --time 0 one"),
    ("rm", "life", "corten --quiet rm --force one"),
    ("gc", "forget; life", "corten --quiet gc --grace 0s"),
];

/// A port that nobody has: one whose front was killed keeps its own until it is removed.
const PORT: &str = "PORT=$((10000 + $$ % 50000))";

/// What each script begins with. `all` is every process but the shell's own.
const HEAD: &str = r#"
export TMPDIR=$S/tmp; mkdir -p $TMPDIR
forget() { corten --quiet remove $NEW >/dev/null 2>&1; :; }
life() { corten --quiet run -d --name one $KEPT sleep 100 >/dev/null || echo "no life"; }
all() {
    for p in /proc/[0-9]*; do
        case $(readlink $p/exe) in */corten | *memfd* | */busybox | */pasta*) echo ${p#/proc/} ;; esac
    done
}
quiet() { corten --quiet "$@"; }
"#;

/// Kills the command after a while; with `everything`, all of corten at the same moment.
const STRIKE: &str = r#"
$COMMAND >$S/home/said 2>&1 </dev/null &
victim=$!
sleep $DELAY
kill -9 $victim $([ $EVERYTHING = 0 ] || all) 2>/dev/null
wait $victim; code=$?
echo $code
[ $code = 137 ] || [ $code = 0 ] || cat said >&2
"#;

/// Takes away what is left, as a person would, and tells what is left then.
const CLEAR: &str = r#"
ids=$(corten ps -a --json | grep -o '"id": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{12,\}')
[ -z "$ids" ] || quiet rm --force $ids >/dev/null
forget
quiet gc --grace 0s >/dev/null || echo "gc fails"
n=0; while [ -n "$(all)" ] && [ $n -lt 100 ]; do sleep 0.05; n=$((n+1)); done
for p in $(all); do echo "process $p: $(tr '\0' ' ' < /proc/$p/cmdline)"; done
"#;

/// What there is of the machine, line by line.
const STATE: &str = r#"
grep -v corten-peers /proc/self/mountinfo | cut -d ' ' -f 3- | sed 's/^/mount /'
ip -o link | cut -d : -f 2 | cut -d @ -f 1 | sed 's/^/link/'
find /run/corten -type f | sed 's/^/lease /'
find .local/share/corten/store ! -path '*/events*' | sed 's/^/file /'
ls -A $TMPDIR | sed 's/^/temporary /'
for id in $(corten events --json | grep -o '"id": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{12,\}' | sort -u); do
    find /sys/fs/cgroup -type d -name "*$id*" | sed 's/^/group /'
done
"#;

struct Field {
    machine: Machine,
    registry: TestRegistry,
    names: String,
    clean: Vec<String>,
}

impl Field {
    fn new() -> Option<Self> {
        let busybox = busybox()?;
        let setup = Setup { prepare: PREPARE.to_owned(), ..Setup::default() };
        let machine = Machine::new(&setup)?;
        let registry = registry_in(&machine);
        let config =
            ContainerConfig { env: vec!["PATH=/bin".to_owned()], ..ContainerConfig::default() };
        let noise =
            |seed, size| TarMaker::new().file("noise", 0o644, Noise::new(seed, size).whole());
        registry.seed("team/kept", Some("v1"), &image(&busybox, noise(1, 300_000), config.clone()));
        let layers = [noise(2, 900_000), noise(3, 300_000)];
        registry.seed("team/new", Some("v1"), &image_of(&busybox, &layers, config));
        let (host, kept, new) = (
            registry.host(),
            registry.reference("team/kept:v1"),
            registry.reference("team/new:v1"),
        );
        machine.write_config(&format!("[registry.\"{host}\"]\ninsecure = \"http\"\n"));
        let names = format!("KEPT={kept} NEW={new}\n");
        let mut field = Self { machine, registry, names, clean: Vec::new() };
        field.ok("quiet run --rm -v data:/data $KEPT true && quiet run --rm $NEW true");
        field.ok(CLEAR);
        field.clean = field.state();
        field.sees();
        Some(field)
    }

    /// Fails unless what must not be left is seen while it is there.
    fn sees(&self) {
        self.ok("life; mkdir $TMPDIR/left");
        let state = self.state();
        for kind in ["link", "lease", "file", "group", "temporary"] {
            let new = |line: &&String| line.starts_with(kind) && !self.clean.contains(line);
            assert!(state.iter().any(|line| new(&line)), "{kind} is not seen: {state:#?}");
        }
        let all = self.sh("[ $(all | wc -l) -ge 2 ] && rmdir $TMPDIR/left");
        assert_eq!(all.code, 0, "the container and its monitor are not seen");
        self.ok(CLEAR);
        assert_eq!(self.state(), self.clean);
    }

    fn sh(&self, script: &str) -> crate::machine::Answer {
        self.machine.sh(&format!("{}{HEAD}{script}", self.names))
    }

    fn ok(&self, script: &str) {
        let answer = self.sh(script);
        assert!(answer.code == 0 && answer.out.is_empty(), "{script}: {answer:?}");
    }

    fn state(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.sh(STATE).out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Kills once; whether it came in time.
    fn strike(&self, victim: &(&str, &str, &str), delay: f64, everything: bool) -> bool {
        let (name, ready, command) = victim;
        let ready = self.sh(ready);
        assert!(ready.out.is_empty(), "{name}: {ready:?}");
        let words = format!("{} DELAY={delay:.4} EVERYTHING={}\n", PORT, u8::from(everything));
        let strike = STRIKE.replace("$COMMAND", command);
        let answer = self.sh(&format!("{words}{strike}"));
        let code = answer.out.trim();
        // Whoever loses its monitor, or its container, may say so.
        let told = everything || ["0", "137"].contains(&code);
        assert!(told, "{name} after {delay:.4} s: {answer:?}");
        code == "137"
    }

    /// Nothing lost, nothing left.
    fn look(&self, what: &str) {
        self.registry.heal();
        let answer = self.sh("quiet store check >/dev/null || echo unsound");
        assert_eq!((answer.out.as_str(), answer.err.as_str()), ("", ""), "{what}: store check");
        let cleared = self.sh(CLEAR);
        assert_eq!((cleared.out.as_str(), cleared.err.as_str()), ("", ""), "{what}: clearing");
        let state = self.state();
        let others = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        let (left, lost) = (others(&state, &self.clean), others(&self.clean, &state));
        assert!(left.is_empty() && lost.is_empty(), "{what}: left {left:#?}, lost {lost:#?}");
        let kept =
            self.sh("quiet run --rm --pull never $KEPT echo runs; quiet store check >/dev/null");
        assert_eq!((kept.code, kept.out.trim()), (0, "runs"), "{what}: {kept:?}");
    }
}

/// A registry at the loopback of the machine.
fn registry_in(machine: &Machine) -> TestRegistry {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let path = format!("/proc/{}/ns/net", machine.pid());
    // What this thread starts is born where it is itself.
    let started = std::thread::spawn(move || {
        let namespace = std::fs::File::open(path).unwrap();
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind).unwrap();
        TestRegistry::start()
    });
    started.join().unwrap()
}

fn kills(count: u32) {
    let Some(field) = Field::new() else { return };
    let given = std::env::var("CORTEN_KILL_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("run: CORTEN_KILL_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut met: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut spans = Vec::new();
    for (_, ready, command) in VICTIMS {
        field.sh(ready);
        let begun = Instant::now();
        field.sh(&format!("{PORT}\n{command}"));
        spans.push(begun.elapsed().as_secs_f64());
        field.sh(CLEAR);
    }
    for number in 0..count {
        let at = usize::try_from(dice.below(VICTIMS.len() as u64)).unwrap();
        let victim = &VICTIMS[at];
        if dice.below(3) == 0 {
            field
                .registry
                .always("GET /blobs/", Fault::Drip(65_536, std::time::Duration::from_millis(2)));
        } else {
            field.registry.heal();
        }
        let delay = spans[at] * (dice.below(1000) as f64) / 1000.0;
        let killed = field.strike(victim, delay, dice.below(3) == 0);
        let figures = met.entry(victim.0).or_default();
        figures.0 += 1;
        figures.1 += u32::from(killed);
        field.sh("quiet rm --force one >/dev/null 2>&1");
        if (number + 1) % BATCH == 0 || number + 1 == count {
            field.look(&format!("seed {seed}, after kill {}", number + 1));
        }
    }
    for (victim, (runs, killed)) in &met {
        println!("{victim}: {runs} runs, {killed} killed");
    }
    let killed: u32 = met.values().map(|figures| figures.1).sum();
    println!("run: seed {seed}, {count} runs, {killed} killed: nothing lost, nothing left");
    assert!(killed * 4 > count, "most kills came too late: {met:?}");
}

#[test]
fn kills_lose_and_leave_nothing() {
    kills(SHORT);
}

#[test]
#[ignore = "takes minutes: CORTEN_KILLS=300"]
fn many_kills_lose_and_leave_nothing() {
    let count = std::env::var("CORTEN_KILLS").ok().map_or(300, |text| text.parse().unwrap());
    kills(count);
}
