//! Stages: which need which, what they are given, and the instructions in them, typed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use corten_dockerfile::{
    Action, BuildInputs, CheckRequest, CommandLine, DeviceFlag, Dockerfile, FileAccess,
    GlobalScope, HealthTest, Invocation, LineForm, LinkError, Mount, MountAccess, MountError,
    MountKind, PlatformValues, RunNetwork, Security, Sharing, StageLinks, StageSource, links,
    outline, reachable, target, targets,
};

fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap()
}

/// The first instruction of the first stage.
fn action(line: &str) -> Action {
    parse(&format!("FROM a\n{line}")).stages.remove(0).commands.remove(0).action
}

fn linked(file: &Dockerfile, contexts: &[&str]) -> Result<Vec<StageLinks>, LinkError> {
    links(file, &GlobalScope::read(file, &BuildInputs::default()).unwrap(), contexts)
}

#[test]
fn bases_are_earlier_stages_contexts_or_images() {
    let file = parse(
        "ARG B=one\nFROM one AS one\nFROM $B AS two\nFROM ${B}s\nFROM scratch AS ctx\nFROM img\n",
    );
    let bases: Vec<StageSource> =
        linked(&file, &["ctx", "img:latest"]).unwrap().into_iter().map(|l| l.base).collect();
    assert_eq!(
        bases,
        [
            StageSource::Image("one".to_owned()),
            StageSource::Stage(0),
            StageSource::Image("ones".to_owned()),
            StageSource::Context("ctx".to_owned()),
            StageSource::Context("img:latest".to_owned()),
        ]
    );
}

#[test]
fn files_come_from_names_indexes_contexts_and_images() {
    let file = parse(
        "FROM a AS x\nFROM b\nFROM c\nCOPY --from=X a b\nCOPY --from=1 a b\nCOPY --from=img a b\n\
         RUN --mount=from=x,target=/x --mount=type=cache,target=/c --mount=from=ctx,target=/y y\n",
    );
    let links = linked(&file, &["ctx"]).unwrap();
    let sources: Vec<&StageSource> = links[2].uses.iter().map(|used| &used.source).collect();
    assert_eq!(
        sources,
        [
            &StageSource::Stage(0),
            &StageSource::Stage(1),
            &StageSource::Image("img".to_owned()),
            &StageSource::Stage(0),
            &StageSource::Context("ctx".to_owned()),
        ]
    );
    assert_eq!(reachable(&links, 2), Ok(vec![0, 1, 2]));
}

#[test]
fn what_onbuild_keeps_is_needed_too() {
    let file = parse(
        "FROM a AS src\nFROM b AS base\nONBUILD COPY --from=src x y\nFROM base AS app\nFROM app\n",
    );
    let links = linked(&file, &[]).unwrap();
    assert_eq!(reachable(&links, 1), Ok(vec![1]));
    assert_eq!(reachable(&links, 2), Ok(vec![0, 1, 2]));
    assert!(links[3].uses.is_empty());
}

#[test]
fn stages_that_do_not_fit_together_are_told() {
    let error = |text: &str| {
        let file = parse(text);
        linked(&file, &[]).and_then(|links| reachable(&links, 0)).unwrap_err()
    };
    assert!(matches!(error("FROM a AS x\nCOPY --from=x a b"), LinkError::Cycle { .. }));
    assert!(matches!(
        error("FROM a AS x\nCOPY --from=y a b\nFROM b AS y"),
        LinkError::Later { .. }
    ));
    assert!(matches!(error("FROM a\nCOPY --from=1 a b"), LinkError::Index { .. }));
    assert!(matches!(error("FROM a\nCOPY --from=$x a b"), LinkError::VariableFrom { .. }));
    assert!(matches!(error("ARG x\nFROM $x"), LinkError::BlankBase { .. }));
    assert!(matches!(error("FROM a AS one\nFROM One"), LinkError::ImageName { .. }));
    let LinkError::Platform { suggestion, span, .. } = error("FROM --platform=$TARGETPLATFROM a")
    else {
        panic!()
    };
    assert_eq!((suggestion.as_deref(), span.start.column), (Some("TARGETPLATFORM"), 6));
}

#[test]
fn a_target_is_a_name_or_an_index_or_the_last() {
    let file = parse("FROM a AS one\nFROM b AS two\nFROM c\n");
    assert_eq!(target(&file, None), Ok(2));
    assert_eq!(target(&file, Some("TWO")), Ok(1));
    assert_eq!(target(&file, Some("0")), Ok(0));
    let missing = target(&file, Some("tow"));
    let near = |error| matches!(error, LinkError::NoTarget { suggestion, .. } if suggestion == Some("two".to_owned()));
    assert!(near(missing.unwrap_err()));
}

#[test]
fn an_outline_has_what_the_target_and_its_stages_take() {
    let file = parse(
        "ARG inherited=box\nARG inherited2=box2\nARG unused=abc${inherited2}\n\
         # sfx is a suffix\nARG sfx=x${inherited}\nFROM a:$sfx AS build1\n\
         # foo may be overridden as a\nARG foo=123\nARG bar\n\
         RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true\n\
         FROM a AS build2\nARG foo=bar\nARG TARGETARCH\nRUN --mount=type=secret,id=second true\n\
         FROM a AS third\nARG foo=789\nARG sub1\n\
         # the end\n# last what is built\nFROM build1 AS last\nARG sub1=${bar}456\nCOPY --from=build2 /x /y\n",
    );
    let mut inputs = BuildInputs::default();
    inputs.args.insert("bar".to_owned(), "given".to_owned());
    let request = CheckRequest::new(&inputs);
    let outline = outline(&file, &request).unwrap();
    assert_eq!(outline.description.as_deref(), Some("what is built"));
    let arguments: Vec<(&str, &str, usize)> = outline
        .arguments
        .iter()
        .map(|arg| (arg.name.as_str(), arg.value.as_str(), arg.span.start.line))
        .collect();
    assert_eq!(
        arguments,
        [
            ("inherited", "box", 1),
            ("sfx", "xbox", 5),
            ("bar", "given", 9),
            ("foo", "bar", 12),
            ("sub1", "given456", 21),
        ]
    );
    assert_eq!(outline.arguments[1].description.as_deref(), Some("is a suffix"));
    let secrets: Vec<(&str, bool)> =
        outline.secrets.iter().map(|need| (need.id.as_str(), need.required)).collect();
    assert_eq!(secrets, [("passwd", true), ("second", false)]);
    assert_eq!(outline.agents[0].id, "default");
    let names: Vec<_> = targets(&file).into_iter().filter_map(|target| target.name).collect();
    assert_eq!(names, ["build1", "build2", "third", "last"]);
}

#[test]
fn every_key_of_every_mount_is_understood() {
    let Action::Run(run) = action(
        "RUN --mount=target=/a --mount=type=bind,from=x,src=s,dst=$D,rw \
         --mount=type=CACHE,id=i,sharing=locked,target=c,mode=0755,uid=1,gid=2,ro=1 \
         --mount=type=tmpfs,destination=/t,size=1.5k --mount=type=secret,target=/k/pw,env=PW,required \
         --mount=type=ssh,mode=600 --mount=\"type=bind,\\\"source=a,b\\\",target=/x\" make",
    ) else {
        panic!()
    };
    let variables = vec![("D", "/d")];
    let mounts: Vec<Mount> =
        run.mounts.iter().map(|flag| flag.resolve('\\', &variables).unwrap()).collect();
    let bind = |target: &str, from: Option<&str>, source: &str, access| Mount {
        target: target.to_owned(),
        access,
        kind: MountKind::Bind { from: from.map(str::to_owned), source: source.to_owned() },
    };
    assert_eq!(mounts[0], bind("/a", None, "", MountAccess::ReadOnly));
    assert_eq!(mounts[1], bind("/d", Some("x"), "s", MountAccess::ReadWrite));
    assert_eq!(
        (&mounts[2].kind, mounts[2].access),
        (
            &MountKind::Cache {
                id: Some("i".to_owned()),
                sharing: Sharing::Locked,
                from: None,
                source: String::new(),
                access: FileAccess { uid: Some(1), gid: Some(2), mode: Some(0o755) },
            },
            MountAccess::ReadOnly
        )
    );
    assert_eq!(mounts[3].kind, MountKind::Tmpfs { size: 1536 });
    let MountKind::Secret { id, env, required, .. } = &mounts[4].kind else { panic!() };
    assert_eq!((id.as_str(), env.as_deref(), *required), ("pw", Some("PW"), true));
    let MountKind::Ssh { id, access, .. } = &mounts[5].kind else { panic!() };
    assert_eq!((id.as_str(), access.mode), ("default", Some(0o600)));
    assert_eq!(mounts[6], bind("/x", None, "a,b", MountAccess::ReadOnly));
}

#[test]
fn what_no_mount_has_is_told() {
    let wrong = |fields: &str| {
        let Action::Run(run) = action(&format!("RUN --mount={fields} x")) else { panic!() };
        run.mounts[0].resolve('\\', &Vec::<(&str, &str)>::new()).unwrap_err()
    };
    let suggested = |error| match error {
        MountError::Unknown { suggestion, .. } | MountError::Value { suggestion, .. } => suggestion,
        other => panic!("{other}"),
    };
    assert_eq!(suggested(wrong("tpye=bind")).as_deref(), Some("type"));
    assert_eq!(suggested(wrong("type=cahce")).as_deref(), Some("cache"));
    assert_eq!(suggested(wrong("type=cache,sharing=lokced")).as_deref(), Some("locked"));
    for foreign in [
        "target=/a,mode=1",
        "type=tmpfs,uid=1",
        "target=/a,size=1",
        "type=bind,sharing=shared",
        "type=secret,id=a,from=b",
        "type=ssh,source=a",
        "target=/a,required",
    ] {
        assert!(matches!(wrong(foreign), MountError::Foreign { .. }), "{foreign}");
    }
    for secret in ["type=secret", "type=secret,id=a,source=b"] {
        assert_eq!(wrong(secret), MountError::Secret, "{secret}");
    }
    for value in [
        "type=cache,mode=9",
        "type=cache,uid=-1",
        "type=cache,uid=4294967295",
        "type=secret,id=s,gid=4294967295",
        "target=/a,ro=yes",
        "type=tmpfs,size=x",
    ] {
        assert!(matches!(wrong(value), MountError::Value { .. }), "{value}");
    }
    assert!(matches!(wrong("target"), MountError::NoValue { .. }));
    assert!(Dockerfile::parse(b"FROM a\nRUN --mount=from=$x,target=/a b").is_err());
    assert!(Dockerfile::parse(b"FROM a\nRUN --mount=a\"b c").is_ok());
    assert!(Dockerfile::parse(b"FROM a\nRUN --mount='a\"b' c").is_err());
}

#[test]
fn a_run_has_a_line_files_a_network_and_devices() {
    let Action::Run(run) = action(
        "RUN --network=none --security=insecure --device=v.com/gpu=all,required <<-EOF\n\techo $x\nEOF\n",
    ) else {
        panic!()
    };
    assert_eq!((run.network, run.security), (RunNetwork::None, Security::Insecure));
    let device = DeviceFlag { name: "v.com/gpu=all".to_owned(), required: true };
    assert_eq!(run.devices, [device]);
    assert_eq!(run.invocation(), Invocation::Shell("echo $x\n".to_owned()));
    let Action::Run(run) = action("RUN [\"a\", \"b c\"]") else { panic!() };
    let words = vec!["a".to_owned(), "b c".to_owned()];
    assert_eq!(run.line, CommandLine { words, form: LineForm::Exec });
    let Action::Run(run) = action("RUN cat <<A > b\nx\nA\n") else { panic!() };
    assert_eq!(run.invocation(), Invocation::Shell("cat <<A > b\nx\nA".to_owned()));
    let Action::Run(run) = action("RUN <<-A\n\t#!/bin/x\n\ty\nA\n") else { panic!() };
    let (name, data) = ("A".to_owned(), "#!/bin/x\ny\n".to_owned());
    assert_eq!(run.invocation(), Invocation::Script { name, data });
    for wrong in
        ["--network=no", "--security=x", "--device=a,name=b", "--network=host --network=host"]
    {
        assert!(Dockerfile::parse(format!("FROM a\nRUN {wrong} x").as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_health_check_has_a_command_and_times() {
    let Action::Healthcheck(health) = action(
        "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=0 --start-interval=2ms --retries=3 CMD curl x",
    ) else {
        panic!()
    };
    let line = CommandLine { words: vec!["curl x".to_owned()], form: LineForm::Shell };
    assert_eq!(health.test, HealthTest::Command(line));
    assert_eq!((health.interval, health.retries), (Duration::from_secs(90), 3));
    assert_eq!(health.start_interval, Duration::from_millis(2));
    let Action::Healthcheck(none) = action("healthcheck none") else { panic!() };
    assert_eq!(none.test, HealthTest::None);
    for wrong in [
        "",
        "CMD",
        "NONE x",
        "RUN x",
        "--interval=1us CMD x",
        "--retries=-1 CMD x",
        "--interval=5 CMD x",
    ] {
        let file = format!("FROM a\nHEALTHCHECK {wrong}");
        assert!(Dockerfile::parse(file.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn onbuild_keeps_text_that_is_read_when_it_triggers() {
    let Action::Onbuild(trigger) = action("ONBUILD  COPY <<a <<-b /c\nx $y\na\n\tz\n\tb\n") else {
        panic!()
    };
    assert_eq!(trigger.expression, "COPY <<a <<-b /c\nx $y\na\n\tz\nb");
    let command = trigger.command(corten_dockerfile::Span::default()).unwrap();
    let Action::Copy(copy) = command.action else { panic!() };
    let files: Vec<(&str, &str)> =
        copy.sources.files.iter().map(|file| (file.name.as_str(), file.data.as_str())).collect();
    assert_eq!(files, [("a", "x $y\n"), ("b", "z\n")]);
    for wrong in ["", "ONBUILD RUN x", "from a", "MAINTAINER a"] {
        let file = format!("FROM a\nONBUILD {wrong}");
        assert!(Dockerfile::parse(file.as_bytes()).is_err(), "{wrong}");
    }
    assert!(Dockerfile::parse(b"FROM a\nONBUILD NOTHING x").is_ok());
}

#[test]
fn platforms_are_arguments_that_a_stage_declares() {
    let file =
        parse("FROM --platform=$BUILDPLATFORM a AS x\nARG TARGETPLATFORM\nARG TARGETSTAGE\n");
    let target = PlatformValues {
        os: "linux".to_owned(),
        architecture: "arm".to_owned(),
        variant: "v7".to_owned(),
        ..PlatformValues::default()
    };
    let build = PlatformValues { variant: String::new(), ..target.clone() };
    let inputs = BuildInputs { build, target, ..BuildInputs::default() };
    let global = GlobalScope::read(&file, &inputs).unwrap();
    let links = links(&file, &global, &[]).unwrap();
    assert_eq!(links[0].platform.as_deref(), Some("linux/arm"));
    let mut scope = corten_dockerfile::StageScope::new(Vec::new());
    for command in &file.stages[0].commands {
        scope.apply(command, '\\', &global, &inputs).unwrap();
    }
    let declared: Vec<(&str, Option<&str>)> =
        scope.declared().iter().map(|arg| (arg.name.as_str(), arg.value.as_deref())).collect();
    assert_eq!(
        declared,
        [("TARGETPLATFORM", Some("linux/arm/v7")), ("TARGETSTAGE", Some("default"))]
    );
}
