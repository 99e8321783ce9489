//! Contexts and archives that would lead out.

use corten_testkit::tar::TarMaker;

use crate::bench::Bench;

#[test]
fn links_of_a_context_lead_nowhere_outside() {
    let Some(bench) = Bench::new() else { return };
    bench.write("outside/secret", "secret\n");
    bench.write("ctx/in", "in\n");
    let outside = bench.path("outside");
    let link = |target: &std::path::Path, name: &str| {
        std::os::unix::fs::symlink(target, bench.path("ctx").join(name)).unwrap();
    };
    link(&outside, "absolute");
    link("../outside".as_ref(), "relative");
    for source in ["absolute/secret", "relative/secret", "../outside/secret", "relative"] {
        let answer = bench.build(&format!("FROM scratch\nCOPY {source} /x\n"), &[]);
        assert_eq!(answer.code, 1, "{source}: {}", answer.out);
        assert!(answer.err.contains("there is no such file"), "{source}: {}", answer.err);
    }
    bench.built("FROM scratch\nCOPY . /all\n", &[]);
    assert_eq!(bench.stat("/all/absolute").map(|stat| stat.0), Some("symlink".to_owned()));
    let bound = bench.build("FROM base\nRUN --mount=target=/m cat /m/absolute/secret\n", &[]);
    assert_eq!(bound.code, 1, "{}", bound.out);
}

#[test]
fn links_of_a_stage_lead_nowhere_outside() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/f", "f\n");
    let outside = bench.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let outside = outside.display().to_string();
    bench.built(&format!("FROM base\nRUN ln -s {outside} /way\nCOPY f /way/f\n"), &[]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(bench.cat(&format!("{outside}/f")), "f\n");
}

#[test]
fn archives_stay_below_their_destination() {
    let Some(bench) = Bench::new() else { return };
    std::fs::create_dir_all(bench.path("ctx")).unwrap();
    let add = |tar: TarMaker| {
        std::fs::write(bench.path("ctx/x.tar"), tar.finish()).unwrap();
        bench.build("FROM scratch\nADD x.tar /d/\n", &[])
    };
    let up = add(TarMaker::new().file("../../evil", 0o644, "x"));
    assert_eq!(up.code, 1, "{}", up.out);
    let outside = bench.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let target = outside.display().to_string();
    let through = add(TarMaker::new().symlink("l", &target).file("l/evil", 0o644, "x"));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(through.code, 1, "{}", through.out);
    assert!(through.err.contains("leads out of /d"), "{}", through.err);
    let hidden = add(TarMaker::new().file(".wh.etc", 0o644, ""));
    assert_eq!(hidden.code, 1, "{}", hidden.out);
}

#[test]
fn what_is_compressed_is_unpacked_whole_or_told() {
    let Some(bench) = Bench::new() else { return };
    let gzip = |name: &str, bytes: &[u8]| {
        let plain = bench.path("ctx").join(name);
        std::fs::create_dir_all(bench.path("ctx")).unwrap();
        std::fs::write(&plain, bytes).unwrap();
        assert!(std::process::Command::new("gzip").arg(&plain).status().unwrap().success());
        plain.with_file_name(format!("{name}.gz"))
    };
    let noise: String =
        (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let tar = gzip("x.tar", &TarMaker::new().file("f", 0o644, noise).finish());
    gzip("text", b"a text\n");
    let file = "FROM scratch\nADD x.tar.gz text.gz /d/\n";
    bench.built(file, &[]);
    // A text is a file like any other, compressed or not.
    assert!(bench.stat("/d/f").is_some() && bench.stat("/d/text.gz").is_some());
    assert!(bench.stat("/d/x.tar.gz").is_none());
    let bytes = std::fs::read(&tar).unwrap();
    std::fs::write(&tar, &bytes[..bytes.len() / 2]).unwrap();
    let cut = bench.build(file, &[]);
    assert!(cut.code == 1 && cut.err.contains("the archive"), "{} {}", cut.code, cut.err);
}
