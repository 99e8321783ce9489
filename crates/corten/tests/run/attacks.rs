//! Images whose links, accounts and directories attack. `canary` is a directory of the machine that everybody may write to.

use corten_testkit::tar::TarMaker;

use crate::attack::{Attack, attack};
use crate::attempts::attempts;
use crate::image::{GROUP, PASSWD};
use crate::kernel_links::{kernel_links, named_places};

pub(crate) fn attacks(canary: &str) -> Vec<Attack> {
    let mut all = links_in_place_of_directories(canary);
    all.extend(links_in_place_of_files(canary));
    all.extend(accounts(canary));
    all.extend(users());
    all.extend(working_directories(canary));
    all.extend(attempts(canary));
    all.extend(kernel_links(canary));
    all.extend(named_places());
    all
}

/// A layer in which the canary is a directory of the image, too.
pub(crate) fn inside(canary: &str) -> TarMaker {
    TarMaker::new().directory(canary.trim_start_matches('/'), 0o777)
}

fn links_in_place_of_directories(canary: &str) -> Vec<Attack> {
    let mut all = Vec::new();
    for name in
        ["dev", "proc", "sys", "etc", "dev/pts", "dev/shm", "dev/mqueue", "proc/sys", "sys/fs"]
    {
        let look = "echo x > /dev/null; test -d /proc/1 && test -d /sys/kernel && cat /etc/hostname | wc -l";
        let link = |name: &str| TarMaker::new().symlink(name, canary);
        all.push(attack(format!("/{name} leads out")).layer(link(name)).shell(look).prints("1"));
        all.push(
            attack(format!("/{name} leads to where the image has a directory, too"))
                .layer(inside(canary))
                .layer(link(name))
                .shell(look)
                .prints("1"),
        );
    }
    for name in ["dev", "proc", "sys", "etc"] {
        let tar = TarMaker::new().file(name, 0o644, "no directory");
        all.push(
            attack(format!("/{name} is a file"))
                .layer(tar)
                .shell("test -d /dev && test -d /proc/1 && test -d /sys/kernel; echo $?; test -d /etc; echo $?")
                .prints("0\n0"),
        );
    }
    all
}

fn links_in_place_of_files(canary: &str) -> Vec<Attack> {
    let secret = format!("{canary}/secret");
    let new = format!("{canary}/new");
    let mut all = Vec::new();
    for (name, target) in [
        ("etc/hosts", &secret),
        ("etc/hosts", &new),
        ("etc/hostname", &secret),
        ("etc/resolv.conf", &new),
        ("etc/mtab", &new),
        ("dev/null", &secret),
        ("dev/console", &new),
        ("dev/ptmx", &secret),
        ("dev/stdout", &new),
        ("dev/fd", &secret),
    ] {
        all.push(
            attack(format!("/{name} leads to {}", target.rsplit('/').next().unwrap()))
                .link(name, target)
                .shell("echo x > /dev/null; cat /etc/hostname | wc -l; test -s /etc/hosts && echo hosts")
                .prints("1\nhosts"),
        );
    }
    all.push(
        attack("/etc/hosts leads to a file of the kernel")
            .link("etc/hosts", "/proc/sys/kernel/core_pattern")
            .shell("grep -c localhost /etc/hosts")
            .prints("2"),
    );
    all
}

fn accounts(canary: &str) -> Vec<Attack> {
    let name =
        |title: &str, tar: TarMaker| attack(title).layer(tar).flags("--user app").shell("id -u");
    let long = format!("app:{}:1000:1000::/:/bin/sh\n", "x".repeat(2 << 20));
    let many = "x:x:7:7::/:/bin/sh\n".repeat(300_000);
    let groups = "g:x:7:app\n".repeat(500_000);
    let members = format!("more:x:2000:{}app\n", "a,".repeat(2 << 20));
    vec![
        name(
            "passwd leads out",
            TarMaker::new().symlink("etc/passwd", &format!("{canary}/passwd")),
        )
        .fails(125, "app"),
        name(
            "passwd climbs out",
            TarMaker::new().symlink("etc/passwd", &format!("../../../..{canary}/passwd")),
        )
        .fails(125, "app"),
        name(
            "passwd leads through the root of a process",
            TarMaker::new().symlink("etc/passwd", &format!("/proc/1/root{canary}/passwd")),
        )
        .fails(125, "/etc/passwd"),
        name("passwd leads to itself", TarMaker::new().symlink("etc/passwd", "passwd"))
            .fails(125, "/etc/passwd"),
        name("passwd is a pipe", TarMaker::new().fifo("etc/passwd")).fails(125, "/etc/passwd"),
        name("passwd is a directory", TarMaker::new().directory("etc/passwd", 0o755))
            .fails(125, "/etc/passwd"),
        name("passwd is a device", TarMaker::new().device("etc/passwd", 'c', (1, 5)))
            .fails(125, "/etc/passwd"),
        name("passwd is huge", TarMaker::new().file("etc/passwd", 0o644, many))
            .fails(125, "/etc/passwd"),
        name("passwd has one long line", TarMaker::new().file("etc/passwd", 0o644, long))
            .prints("1000"),
        name("passwd is no text", TarMaker::new().file("etc/passwd", 0o644, [0xff_u8; 4096]))
            .fails(125, "app"),
        name("group leads out", TarMaker::new().symlink("etc/group", &format!("{canary}/passwd")))
            .prints("1000"),
        name("group is a pipe", TarMaker::new().fifo("etc/group")).fails(125, "/etc/group"),
        name("group is huge", TarMaker::new().file("etc/group", 0o644, groups))
            .fails(125, "/etc/group"),
        name("a group has a million members", TarMaker::new().file("etc/group", 0o644, members))
            .fails(125, "/etc/group"),
        name(
            "passwd gives a name the id of nobody",
            TarMaker::new().file("etc/passwd", 0o644, "app:x:4294967295:0::/:/bin/sh\n"),
        )
        .fails(125, "'app'"),
        name(
            "passwd gives a name a negative id",
            TarMaker::new().file("etc/passwd", 0o644, "app:x:-1:0::/:/bin/sh\n"),
        )
        .fails(125, "app"),
        name(
            "passwd gives a name an id that would wrap to 0",
            TarMaker::new().file("etc/passwd", 0o644, "app:x:4294967296:0::/:/bin/sh\n"),
        )
        .fails(125, "'app'"),
        name(
            "a name is a number of somebody else",
            TarMaker::new().file("etc/passwd", 0o644, format!("1000:x:0:0::/:/bin/sh\n{PASSWD}")),
        )
        .flags("--user 1000")
        .prints("1000"),
        name(
            "a group has an id that would wrap to 0",
            TarMaker::new().file(
                "etc/group",
                0o644,
                GROUP.replace("more:x:2000", "more:x:4294967296"),
            ),
        )
        .prints("1000"),
    ]
}

fn users() -> Vec<Attack> {
    let mut all = Vec::new();
    for user in [
        "4294967296",
        "4294967295",
        "2147483648",
        "-1",
        "+0",
        "0x0",
        " 0",
        "0 ",
        "1000:4294967296",
        "1000:-1",
        "1000:+0",
        "app:app:app",
        "root\n0",
        "٠",
        "../root",
    ] {
        let text = user.to_owned();
        all.push(
            attack(format!("the user {user:?}"))
                .config(|config| config.user = Some(text))
                .shell("id -u")
                .fails(125, ""),
        );
    }
    let long = "9".repeat(100_000);
    all.push(
        attack("a user of 100000 digits")
            .config(|config| config.user = Some(long))
            .fails(125, "user"),
    );
    all
}

fn working_directories(canary: &str) -> Vec<Attack> {
    let at = |title: &str, path: &str| {
        let path = path.to_owned();
        attack(title).config(|config| config.working_dir = Some(path)).shell("pwd")
    };
    let mut all = vec![
        at("the working directory leads out", "/link/work").link("link", canary).fails(125, "link"),
        at("the working directory is a link out", "/link").link("link", canary).fails(125, "link"),
        at("the working directory is out, and in", "/link/work")
            .layer(inside(canary))
            .link("link", canary)
            .prints(&format!("{canary}/work")),
        at("the working directory climbs", &format!("/../../../..{canary}/work"))
            .prints(&format!("{canary}/work")),
        at("the working directory is no path", "work").prints("/work"),
        at("the working directory is a file", "/etc/passwd").fails(125, "/etc/passwd"),
        at("the working directory is a loop", "/loop/a").link("loop", "loop").fails(125, "/loop/a"),
        at("the working directory is the root of a process", "/proc/1/root")
            .fails(125, "/proc/1/root"),
        at("the working directory is made in the kernel's", "/proc/work").fails(125, "proc/work"),
        at("the working directory is a device", "/dev/null/x").fails(125, "/dev/null/x"),
        at("the working directory is long", &"/d".repeat(40_000)).fails(125, "process.cwd"),
    ];
    for number in 2..10 {
        all.push(
            at(
                &format!("the working directory is the descriptor {number}"),
                &format!("/proc/self/fd/{number}"),
            )
            .fails(125, &format!("proc/self/fd/{number}")),
        );
    }
    all
}
