//! What instructions do to the config and leave in the history.

use serde_json::json;

use crate::bench::Bench;

#[test]
fn instructions_write_the_config_and_the_history_as_buildkit_does() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/a", "a\n");
    let report = bench.built(
        "FROM base\nARG V=1\nENV A=b C=\"d e\"\nLABEL x=y\nWORKDIR /srv/app\nCOPY --chown=1:2 a /x/\n\
         RUN echo $V >v\nEXPOSE 80 53/udp\nVOLUME /data\nUSER app\nSTOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=5s CMD true\nSHELL [\"/bin/sh\", \"-ec\"]\nENTRYPOINT [\"/bin/a\"]\nCMD run\n\
         MAINTAINER me\nONBUILD RUN true\n",
        &["--label", "l=m"],
    );
    let config = bench.blob(&report["config"]);
    let told: Vec<&str> = config["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["comment"] == "buildkit.dockerfile.v0")
        .map(|row| row["created_by"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "ARG V=1",
            "ENV A=b C=d e",
            "LABEL x=y",
            "WORKDIR /srv/app",
            "COPY --chown=1:2 a /x/ # buildkit",
            "RUN |1 V=1 /bin/sh -c echo $V >v # buildkit",
            "EXPOSE [53/udp 80/tcp]",
            "VOLUME [/data]",
            "USER app",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "SHELL [/bin/sh -ec]",
            "ENTRYPOINT [\"/bin/a\"]",
            "CMD [\"/bin/sh\" \"-ec\" \"run\"]",
            "MAINTAINER me",
        ]
    );
    assert_eq!(config["author"], "me");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let expected = json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b", "C=d e"],
        "Labels": {"x": "y", "l": "m"},
        "WorkingDir": "/srv/app",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "Volumes": {"/data": {}},
        "User": "app",
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64},
        "Shell": ["/bin/sh", "-ec"],
        "Entrypoint": ["/bin/a"],
        "Cmd": ["/bin/sh", "-ec", "run"],
        "ArgsEscaped": true,
        "OnBuild": ["RUN true"],
    });
    assert_eq!(config["config"], expected);
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    // Two of the base, and one each of WORKDIR, COPY and RUN.
    assert_eq!(layers, 5);
    assert_eq!(bench.cat("/srv/app/v"), "1\n");
    assert_eq!(bench.stat("/x"), Some(("directory".to_owned(), 0o755, 1, 2)));
}

#[test]
fn what_a_base_keeps_for_others_runs_in_them_once() {
    let Some(bench) = Bench::new() else { return };
    let report = bench.built(
        "FROM base AS kept\nONBUILD RUN echo kept >/kept\nFROM kept\nRUN cat /kept >/again\n",
        &[],
    );
    assert_eq!(bench.cat("/again"), "kept\n");
    assert_eq!(bench.blob(&report["config"])["config"].get("OnBuild"), None);
}

#[test]
fn a_stage_that_nobody_needs_never_runs_and_a_target_is_one() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base AS one\nRUN echo 1 >/n\nFROM base AS idle\nRUN false\nFROM one AS two\nRUN echo 2 >/n\n";
    bench.built(file, &[]);
    assert_eq!(bench.cat("/n"), "2\n");
    bench.built(file, &["--target", "one"]);
    assert_eq!(bench.cat("/n"), "1\n");
    let answer = bench.build(file, &["--target", "idle"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("line 4: RUN false"), "{}", answer.err);
    assert!(answer.err.contains("exit code 1"), "{}", answer.err);
}
