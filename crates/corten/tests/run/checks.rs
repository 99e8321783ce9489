//! What `corten run` must do on every machine: scripts, and what they must print.

/// What a machine can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing special.
    Nothing,
    /// More ids than one.
    Ids,
    /// One id alone, or the check is not met.
    OneId,
    /// Control groups that can be written, or none that are asked for.
    Groups,
    /// No control groups that can be had.
    NoGroups,
    /// The same for root of the machine, whose containers are bound by their device rules.
    Unbound,
    /// Control groups with memory and pids.
    Limits,
}

/// One thing that must be true.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// `run` is `corten run --rm --network none` with the flags of the machine, and tells the code.
    pub(crate) script: &'static str,
    /// Standard output, line by line.
    pub(crate) out: &'static str,
    /// A part of standard error; empty for none at all.
    pub(crate) err: &'static str,
}

const fn check(name: &'static str, script: &'static str, out: &'static str) -> Check {
    Check { name, needs: Needs::Nothing, script, out, err: "" }
}

const fn refused(
    name: &'static str,
    script: &'static str,
    out: &'static str,
    err: &'static str,
) -> Check {
    Check { name, needs: Needs::Nothing, script, out, err }
}

/// What stands before each script.
pub(crate) const HEAD: &str = r#"
quiet() { corten --quiet "$@"; }
run() { quiet run --rm --network none $FLAGS "$@"; echo "= $?"; }
"#;

/// The list. Later checks rely on what earlier ones left.
pub(crate) const CHECKS: &[Check] = &[
    check("output", "run $IMAGE echo hello", "hello\n= 0"),
    check("the image's own program", "run $IMAGE", "of the image\n= 0"),
    check("the code of the process", "run $IMAGE sh -c 'exit 7'", "= 7"),
    check(
        "the code of a signal",
        "quiet run -d --name zero --network none $FLAGS $IMAGE sleep 100 > id
         quiet kill --signal USR1 zero > id; quiet kill zero > id; quiet wait zero; quiet rm zero > id",
        "137",
    ),
    refused("no such program", "run $IMAGE nothing-here", "= 127", "nothing-here"),
    refused("no program", "run $IMAGE /etc/passwd", "= 126", "/etc/passwd"),
    refused("no such image", "run oci:$S/images:none true", "= 125", "none"),
    check(
        "variables",
        "run -e A=1 -e EMPTY= --unset-env GONE $IMAGE sh -c 'echo $A,${EMPTY-unset},$KEPT,${GONE-unset},$HOME'",
        "1,,kept,unset,/root\n= 0",
    ),
    check("input", "echo text | run -i $IMAGE cat", "text\n= 0"),
    check("the working directory is made", "run -w /made/here $IMAGE pwd", "/made/here\n= 0"),
    Check {
        needs: Needs::Ids,
        ..check(
            "users by name, with their groups",
            "run --user app $IMAGE sh -c 'id -u; id -g; id -G'",
            "1000\n1000\n1000 2000\n= 0",
        )
    },
    Check { needs: Needs::Ids, ..check("the groups of root", "run $IMAGE id -G", "0 2000\n= 0") },
    Check {
        needs: Needs::OneId,
        ..check("root without the groups that cannot be", "run $IMAGE id -u; run --user root $IMAGE id -u", "0\n= 0\n0\n= 0")
    },
    Check {
        needs: Needs::OneId,
        ..check(
            "the one id is whoever it is to be",
            "run --user app $IMAGE sh -c 'id -u; id -g; echo x >/tmp/f && stat -c %u:%g /tmp/f; grep CapEff /proc/self/status
                 mount -t tmpfs none /tmp 2>/dev/null || echo refused; cat /proc/self/uid_map | wc -l'
             run --init --user 7:8 $IMAGE id -u
             quiet run -d --user app --name other --network none $FLAGS $IMAGE sleep 100 >id
             quiet exec other id -u; quiet exec --user root other id -u; quiet exec --user 3 other id -u; quiet stop -t 0 other >id; quiet rm other >id",
            "1000\n1000\n1000:1000\nCapEff:\t0000000000000000\nrefused\n1\n= 0\n7\n= 0\n1000\n0\n3",
        )
    },
    refused("a user who is not known", "run --user nobody-here $IMAGE true", "= 125", "nobody-here"),
    check(
        "the process is the first and alone",
        "run --hostname here $IMAGE sh -c 'echo $$; hostname; ls -d /proc/[0-9]*'",
        "1\nhere\n/proc/1\n= 0",
    ),
    check(
        "a directory of the machine",
        "mkdir -p $S/home/vol; run -v $S/home/vol:/v $IMAGE sh -c 'echo inside > /v/file'; cat vol/file
         run -v ./vol:/v:ro $IMAGE sh -c 'cat /v/file; echo more 2>/dev/null > /v/file || echo refused'",
        "= 0\ninside\ninside\nrefused\n= 0",
    ),
    check(
        "a volume with a name outlives its containers",
        "run -v data:/data $IMAGE sh -c 'cat /data/seed; echo kept > /data/file'
         run -v data:/data $IMAGE cat /data/file",
        "of the image\n= 0\nkept\n= 0",
    ),
    check("memory in place of files", "run --tmpfs /t $IMAGE sh -c 'echo x > /t/a && stat -f -c %T /t'", "tmpfs\n= 0"),
    refused("nothing is written", "run --read-only $IMAGE touch /x", "= 1", "Read-only"),
    check(
        "what is written is the container's own",
        "run $IMAGE sh -c 'echo x > /etc/motd; rm /data/seed; cat /etc/motd'
         run $IMAGE sh -c 'cat /data/seed; test -e /etc/motd || echo none'",
        "x\n= 0\nof the image\nnone\n= 0",
    ),
    check(
        "devices",
        "run $IMAGE sh -c 'echo x > /dev/null; head -c 4 /dev/zero | wc -c; ls /dev/pts | wc -l
             mknod /tmp/sda b 8 0 2> /dev/null || echo refused'",
        "4\n1\nrefused\n= 0",
    ),
    check(
        "all capabilities that there are",
        "run --cap-add ALL $IMAGE sh -c 'mount -t tmpfs none /tmp && echo mounted'
         run --cap-drop ALL $IMAGE grep CapEff /proc/self/status",
        "mounted\n= 0\nCapEff:\t0000000000000000\n= 0",
    ),
    check(
        "what the machine shows is covered",
        "run $IMAGE sh -c 'wc -c < /proc/timer_list; echo x 2>/dev/null > /proc/sys/kernel/core_pattern || echo refused
             mount -t tmpfs none /tmp 2>/dev/null || echo refused; head -n 1 /proc/self/setgroups >/dev/null; echo'",
        "0\nrefused\nrefused\n\n= 0",
    ),
    check(
        "a life in the background",
        "quiet run -d --name one --network none $FLAGS $IMAGE sh -c \
            'trap \"echo bye; exit 4\" TERM; echo up; while :; do sleep 0.05; done' > id
         until corten logs one | grep -q up; do sleep 0.05; done
         quiet exec one sh -c 'echo in; exit 3'; echo \"= $?\"
         quiet exec --user root one id -u
         quiet exec -e A=b -w /etc one sh -c 'echo $A; pwd'; echo \"= $?\"
         echo text | quiet exec -i one cat
         corten ps | grep -c one
         quiet stop one > stopped; cmp id stopped; quiet wait one; corten logs one
         corten ps | grep -c one; corten ps -a | grep -c one
         quiet rm one > removed; cmp id removed; corten ps -a | grep -c one",
        "in\n= 3\n0\nb\n/etc\n= 0\ntext\n1\n4\nup\nbye\n0\n1\n0",
    ),
    check(
        "a container that is started again has its files",
        "quiet create --name two --network none $FLAGS $IMAGE sh -c 'echo x >> /tmp/count; cat /tmp/count' > id
         for turn in 1 2; do quiet start two > id; quiet wait two; done; corten logs two; quiet rm two > id",
        "0\n0\nx\nx\nx",
    ),
    check(
        "one that runs is removed by force",
        "quiet run -d --name three --network none $FLAGS $IMAGE sleep 100 > id
         quiet rm three 2> id || echo refused; quiet rm --force three > id; corten ps -a | grep -c three",
        "refused\n0",
    ),
    check(
        "the network that can be had",
        "quiet run --rm $FLAGS $IMAGE sh -c 'cat /proc/net/dev | grep -c lo:' 2> said; echo \"= $?\"",
        "1\n= 0",
    ),
    Check {
        needs: Needs::Limits,
        ..check(
            "limits",
            "run --memory 32m --pids 20 $IMAGE sh -c 'n=0; while [ $n -lt 40 ]; do sleep 1 & n=$((n+1)); done' 2> said
             grep -c fork said",
            "= 2\n1",
        )
    },
    Check {
        needs: Needs::Limits,
        ..check(
            "what containers use is followed until all of them have ended",
            "for life in 1 3; do quiet run -d --name st$life --network none $FLAGS $IMAGE sleep $life > id; done
             corten stats --follow st1 st3 > said; echo \"= $?\"; grep -c st1 said | grep -q '[1-9]' && echo short
             test $(grep -c st3 said) -ge 3 && echo long; quiet rm st1 st3 > id",
            "= 0\nshort\nlong",
        )
    },
    Check {
        needs: Needs::NoGroups,
        ..refused(
            "without control groups there are no limits",
            "FLAGS=; run --pids 20 $IMAGE true",
            "= 125",
            "control group",
        )
    },
    Check {
        needs: Needs::Unbound,
        ..refused("without them root runs nothing that nobody allowed to", "FLAGS=; run $IMAGE true", "= 125", "control group")
    },
    check(
        "an init above the program",
        "run --init $IMAGE sh -c 'echo $$; cat /proc/1/comm; exit 3'
         run --init $IMAGE sh -c 'trap \"exit 5\" TERM; kill -TERM 1; sleep 5 & wait'",
        "2\ninit\n= 3\n= 5",
    ),
    check(
        "limits of the process",
        "run --ulimit nofile=100:200 --ulimit core=0 $IMAGE sh -c 'ulimit -n; ulimit -H -n; ulimit -c'",
        "100\n200\n0\n= 0",
    ),
    refused("a limit that is none", "run --ulimit files=1 $IMAGE true", "= 125", "files=1"),
    check(
        "a device of the machine",
        "run --device /dev/zero:/dev/nothing:r $IMAGE sh -c 'head -c 4 /dev/nothing | wc -c'",
        "4\n= 0",
    ),
    refused("a device that is none", "run --device /etc/passwd $IMAGE true", "= 125", "/etc/passwd is not a device"),
    check(
        "namespaces of the machine",
        "run --pid host $IMAGE sh -c 'test $$ -gt 1 && echo among others'
         readlink /proc/self/ns/ipc > ipc; run --ipc host $IMAGE readlink /proc/self/ns/ipc | grep -c -F \"$(cat ipc)\"
         run $IMAGE readlink /proc/self/ns/ipc | grep -c -F \"$(cat ipc)\"",
        "among others\n= 0\n1\n0",
    ),
    check(
        "all of the machine",
        "run --privileged $IMAGE sh -c 'mount -t tmpfs none /tmp && echo mounted; grep Seccomp: /proc/self/status'",
        "mounted\nSeccomp:\t0\n= 0",
    ),
    check(
        "volumes are listed and removed when nobody uses them",
        "quiet volume create empty; quiet volume ls | cut -d ' ' -f 1
         quiet create --name user -v data:/d --network none $FLAGS $IMAGE true > id
         quiet volume rm empty data 2> said || grep -c 'used by user' said
         quiet volume prune; quiet rm user > id; quiet volume rm data; quiet volume ls | wc -l",
        "empty\nNAME\ndata\nempty\n1\nempty\ndata\n1",
    ),
    check(
        "nothing is left",
        "corten ps -a --json | grep -c image; quiet remove $(corten images | grep -o 'sha256:[0-9a-f]*') > gone 2>&1
         quiet gc --grace 0s > gone; quiet store check > gone || echo unsound
         ls .local/share/corten/store/.corten/containers/containers .local/share/corten/store/.corten/containers/garbage
         grep -c $S/home/.local /proc/self/mountinfo",
        "0\n.local/share/corten/store/.corten/containers/containers:\n\n.local/share/corten/store/.corten/containers/garbage:\n0",
    ),
];
