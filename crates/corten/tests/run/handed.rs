//! What a container, a further process and a health check get of their caller: the caller's files, terminals and
//! named pipes, and the nodes of the machine's `/dev`, are held against what they were before.

use std::process::Command;

use corten_testkit::TerminalUser;

use crate::checks::HEAD;
use crate::image::{base, busybox, image};
use crate::machine::{Machine, Setup};
use crate::matrix::{Case, root, user};

/// A `/dev` of the machine's own, so that a hole harms nobody else.
const OWN_DEV: &str = "mkdir -p $0/dev && mount -t tmpfs -o mode=755 dev $0/dev
for d in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do n=${d%%:*}; r=${d#*:}; mknod -m 666 $0/dev/$n c ${r%:*} ${r#*:}; done
mkdir $0/dev/pts $0/dev/shm && mount -t devpts -o newinstance,ptmxmode=666 pts $0/dev/pts && ln -s pts/ptmx $0/dev/ptmx && mount -t tmpfs -o mode=1777 shm $0/dev/shm
test -e /dev/fuse && mknod -m 666 $0/dev/fuse c 10 229; test -d /dev/net && mkdir $0/dev/net && mknod -m 666 $0/dev/net/tun c 10 200
mount --move $0/dev /dev";

/// Tries to change whatever it was given.
const CHANGE: &str = "for f in /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /dev/stdin /dev/stdout /dev/stderr /dev/null /dev/zero /dev/tty \
/proc/keys /proc/timer_list /proc/kcore /proc/[a-z]* /etc/hosts /etc/resolv.conf; do chmod 4777 $f; chown 77:77 $f; done 2>/dev/null; \
audit 2>/dev/null || echo no audit; echo end";

/// What may not change: nodes, the files that the caller puts its streams to, and what the kernel shows in proc. The
/// machine may see a mode of the latter that was changed in another proc only when it forgets what it has seen.
const LOOK: &str = "(echo 2 > /proc/sys/vm/drop_caches) 2>/dev/null; stat -c '%n %a %u %g %F' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty log err pipe /etc/hosts /etc/resolv.conf /proc/[a-z]*";

fn machine(case: &Case) -> Option<Machine> {
    let busybox = busybox()?;
    let mut setup: Setup = case.setup();
    setup.prepare = format!("{OWN_DEV}\n{}", setup.prepare);
    let machine = Machine::new(&setup)?;
    let config = corten_spec::ContainerConfig {
        env: vec!["PATH=/bin".to_owned()],
        cmd: Some(vec!["sleep".to_owned(), "100".to_owned()]),
        ..Default::default()
    };
    let tar = base(&busybox).file("bin/audit", 0o755, audit()?);
    machine.layout.add("app", &image(&busybox, tar, config));
    Some(machine)
}

/// The program that tries; `None`, told on stderr, where this machine links no program statically.
fn audit() -> Option<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("audit");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run/audit.c");
    let mut linker = std::process::Command::new("cc");
    linker.args(["-static", "-O1", "-w", "-o"]).arg(&program).arg(source);
    if !linker.status().is_ok_and(|status| status.success()) {
        eprintln!(
            "skipped: this machine has no cc that links statically (packages gcc and libc6-dev)"
        );
        return None;
    }
    Some(std::fs::read(program).unwrap())
}

/// Runs `script` between two looks. `$CHANGE` is the program of the attack.
fn unchanged(case: &Case, script: &str) {
    let Some(machine) = machine(case) else { return };
    let script = format!(
        "FLAGS='{}'{HEAD}
         CHANGE='{CHANGE}'
         echo before > log; echo before > err; chmod 644 log err; mkfifo -m 600 pipe; exec 8<>pipe
         {LOOK} > one
         {script}
         {LOOK} > two; cat one two | sort | uniq -u; head -n 1 log; head -n 1 err
         grep -h 'no audit\\|another root\\|stands outside' log err steps 2>/dev/null",
        case.flags
    );
    let answer = machine.sh(&script);
    assert_eq!(answer.out, "before\nbefore\n", "{answer:?}");
}

const RUN: &str =
    "quiet run --rm --network none $FLAGS $IMAGE sh -c \"$CHANGE\" </dev/null >>log 2>>err
    quiet run --rm --network none $FLAGS -u 7 $IMAGE sh -c \"$CHANGE\" >>log 2>&1
    quiet run -i --rm --network none $FLAGS $IMAGE sh -c \"$CHANGE\" <log >/dev/null 2>/dev/null
    quiet run -i --rm --network none $FLAGS -u 7 $IMAGE sh -c \"$CHANGE\" </dev/zero >>pipe 2>>err";

const EXEC: &str = "quiet run -d --name one --network none $FLAGS $IMAGE > id
    quiet exec one sh -c \"$CHANGE\" </dev/null >>log 2>>err
    quiet exec -u 7 one sh -c \"$CHANGE\" >>log 2>>err
    quiet exec -i one sh -c \"$CHANGE\" <log >>pipe 2>/dev/null
    quiet exec -d one sh -c \"$CHANGE\"
    quiet rm --force one > id";

const HEALTH: &str = "quiet run -d --name one --network none $FLAGS --health-cmd \"($CHANGE) > /said; command -v audit && touch /asked\" --health-interval 100ms $IMAGE > id
    n=0; until quiet exec one test -e /asked || [ $n = 100 ]; do n=$((n + 1)); sleep 0.1; done
    [ $n = 100 ] && echo no check ran; quiet exec one cat /said >>log
    quiet rm --force one > id";

const STEP: &str = "quiet copy $IMAGE store:base > id
    printf 'FROM base\\nRUN %s\\n' \"$CHANGE\" > Dockerfile; mkdir context
    corten build --progress plain --no-cache -f Dockerfile context </dev/null >/dev/null 2>steps || cat steps";

#[test]
fn a_container_of_root_changes_nothing_of_its_callers() {
    unchanged(&root(), RUN);
}

#[test]
fn a_container_of_a_user_changes_nothing_of_its_callers() {
    unchanged(&user(), RUN);
}

#[test]
fn a_further_process_of_root_changes_nothing_of_its_callers() {
    unchanged(&root(), EXEC);
}

#[test]
fn a_further_process_of_a_user_changes_nothing_of_its_callers() {
    unchanged(&user(), EXEC);
}

#[test]
fn a_health_check_of_root_changes_nothing_of_the_machines() {
    unchanged(&root(), HEALTH);
}

#[test]
fn a_health_check_of_a_user_changes_nothing_of_the_machines() {
    unchanged(&user(), HEALTH);
}

#[test]
fn a_step_of_root_changes_nothing_of_its_callers() {
    unchanged(&root(), STEP);
}

#[test]
fn a_step_of_a_user_changes_nothing_of_its_callers() {
    unchanged(&user(), STEP);
}

/// Something is mounted below a directory of the caller's.
fn denied_below(case: Case) {
    let below = "mkdir -p $0/home/d/below; mount -t tmpfs -o mode=777 below $0/home/d/below";
    let case = case.after(below);
    let Some(machine) = machine(&case) else { return };
    let answer = machine.sh(&format!(
        "FLAGS='{}'{HEAD}
         try() {{ quiet run --rm --network none $FLAGS \"$@\" $IMAGE sh -c 'touch /x/below/new 2>/dev/null && echo written; (mount | grep -c \" /x.*noexec\"); true'; }}
         try -v ./d:/x:ro; try -v ./d:/x:ro,noexec; try --mount type=bind,source=./d,target=/x,readonly
         try --mount type=bind,source=./d,target=/x,readonly,bind-recursive=writable
         quiet run --rm --network none $FLAGS --mount type=bind,source=./d,target=/x,bind-recursive=disabled $IMAGE ls /x/below
         try -v ./d:/x",
        case.flags
    ));
    assert_eq!(answer.out, "0\n2\n0\nwritten\n0\nwritten\n0\n", "{answer:?}");
}

#[test]
fn what_is_denied_is_denied_below_for_root() {
    denied_below(root());
}

#[test]
fn what_is_denied_is_denied_below_for_a_user() {
    denied_below(user());
}

#[test]
fn bytes_come_through_whole_and_in_their_order() {
    let Some(machine) = machine(&root()) else { return };
    let answer = machine.sh(&format!(
        "{HEAD}
         quiet run --rm --network none $IMAGE sh -c 'i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done' >both 2>&1
         i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i; i=$((i+1)); done | cmp - both && echo in order
         head -c 20000000 /dev/urandom > big
         quiet run -i --rm --network none $IMAGE cat < big > copy; cmp big copy && echo whole
         quiet run -i --rm --network none $IMAGE cat < big | cmp - big && echo piped
         quiet run -i --rm --network none $IMAGE head -c 3 < big | wc -c
         quiet run --rm --network none $IMAGE cat < big | wc -c
         quiet run --rm --network none $IMAGE sh -c 'cat /bin/busybox' > /dev/full 2>err; echo $?; grep -c 'No space left' err"
    ));
    assert_eq!(answer.out, "in order\nwhole\npiped\n3\n0\n125\n1\n", "{answer:?}");
}

/// Somebody at a terminal runs a container without one.
fn at_a_terminal(words: &str) -> Option<(Machine, TerminalUser)> {
    let machine = machine(&root())?;
    let path = machine.path("").display().to_string();
    let script = format!(
        "S={path}; IMAGE=oci:{path}/images:app; export HOME={path}/home PATH={path}/bin:$PATH; cd $HOME; {words}"
    );
    let pid = machine.pid().to_string();
    let mut command = Command::new("nsenter");
    let processes = format!("--pid=/proc/{pid}/ns/pid_for_children");
    command.args(["-t", &pid, "-m", "-n", &processes, "sh", "-c", &script]);
    command.env("XDG_RUNTIME_DIR", machine.path("run"));
    let user = TerminalUser::runs(command);
    Some((machine, user))
}

#[test]
fn without_i_nothing_that_is_typed_is_read_and_no_terminal_is_handed_over() {
    let script = "corten --quiet run --rm --network none -u 7 $IMAGE sh -c 'test -t 1 && echo at a terminal; cat; ls -ln /proc/self/fd/ | grep -c pipe; echo nothing read'; stat -L -c 'owner %u' /proc/self/fd/0";
    let Some((_machine, mut user)) = at_a_terminal(script) else { return };
    user.types("password\n");
    user.sees("owner 0");
    assert!(user.seen().contains("nothing read"), "{}", user.seen());
    assert!(!user.seen().contains("at a terminal"), "{}", user.seen());
    // What was typed is there for whoever reads next, and was echoed once.
    assert_eq!(user.seen().matches("password").count(), 1, "{}", user.seen());
}

#[test]
fn after_a_kill_the_terminal_is_its_owners() {
    let script = "corten --quiet run --name one --network none -u 7 $IMAGE sh -c 'echo up; sleep 30' & sleep 0.1;\
        n=0; until corten --quiet exec one true || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done 2>/dev/null; kill -9 $!; stat -L -c 'owner %u' /proc/self/fd/0; corten --quiet rm --force one";
    let Some((_machine, mut user)) = at_a_terminal(script) else { return };
    user.sees("owner 0");
}

#[test]
fn an_ordinary_users_container_reads_what_is_piped_to_it() {
    let Some(machine) = machine(&user()) else { return };
    let answer = machine.sh(&format!(
        "{HEAD} echo piped | quiet run -i --rm --network none $IMAGE cat; echo file > f; quiet run -i --rm --network none $IMAGE cat < f"
    ));
    assert_eq!(answer.out, "piped\nfile\n", "{answer:?}");
}

#[test]
fn what_waits_ends_when_it_is_asked_to_and_what_cannot_be_written_is_told() {
    let Some(machine) = machine(&root()) else { return };
    let answer = machine.sh(&format!(
        "{HEAD}
         quiet run -d --name one --network none $IMAGE > id
         (sleep 0.3; echo late > two) & quiet exec one sh -c '(sleep 1; echo later) & echo now' > log; cat log
         ends() {{ n=0; while kill -0 $1 2>/dev/null && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done; kill -9 $1 2>/dev/null && echo still there; true; }}
         corten --quiet exec one sh -c 'while :; do echo x; sleep 0.1; done & echo now' > f 2>err & p=$!; sleep 1; kill -TERM $p; ends $p; grep -c 'write the output' err
         mkfifo fs; sleep 100 < fs & s=$!; corten --quiet run --rm --network none $IMAGE head -c 900000 /dev/zero > fs 2>err & p=$!
         sleep 2; kill -TERM $p; ends $p; kill $s; grep -c 'write the output' err
         timeout -s KILL 20 corten --quiet run --rm -t --network none $IMAGE sh -c 'while :; do echo y; done' | head -n 1 | tr -d '\\r'
         quiet run --rm -t --network none $IMAGE echo hi > /dev/full 2>err; echo $? $(grep -c 'No space' err)
         (ulimit -f 4096; quiet run --rm --network none $IMAGE sh -c 'head -c 10000000 /dev/zero' > big 2>/dev/null; echo $?); quiet ps -a | grep -c one
         printf abc | timeout -s KILL 20 corten --quiet run --rm -it --network none $IMAGE cat | tr -d '\\r'; echo
         quiet rm --force one > id"
    ));
    assert_eq!(answer.out, "now\nlater\n1\n1\ny\n125 1\n125\n1\nabcabc\n", "{answer:?}");
}

#[test]
fn a_container_that_stops_what_enters_holds_nobody() {
    let Some(machine) = machine(&root()) else { return };
    // Every process but the first is stopped, again and again. One that is the program already is ended by the third
    // signal, as everywhere; one that is not, by the first.
    let stopper = "while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || kill -STOP $p; done 2>/dev/null; done";
    let answer = machine.sh(&format!(
        "{HEAD}
         quiet run -d --name one --network none $IMAGE sh -c '{stopper}' > id
         n=0; while [ $n -lt 4 ]; do n=$((n + 1)); corten --quiet exec one true 2>/dev/null & p=$!; sleep 1; for k in 1 2 3; do kill -TERM $p; sleep 0.3; done 2>/dev/null; wait $p; done 2>/dev/null
         quiet rm --force one > id; echo over"
    ));
    assert_eq!(answer.out, "over\n", "{answer:?}");
}
