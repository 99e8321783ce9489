//! What the store keeps is its owner's, and what it keeps ready is what was made.

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

use crate::image::{busybox, image};
use crate::machine::Machine;
use crate::matrix::{Case, root, user};

/// What stands before each script.
const HEAD: &str = r#"
STORE=$S/home/.local/share/corten/store
RENDERED=$STORE/.corten/rendered
quiet() { corten --quiet "$@"; }
run() { quiet run --rm --network none "$@" store:app cat /word >said 2>&1; echo "= $?"; }
told() { grep -o 'could [a-z]* what is in it\|is user [0-9]*\|shared with group [0-9]*\|is not what was made ready\|store check --repair' said; }
quiet pull $IMAGE app >said
"#;

fn machine(case: &Case) -> Option<Machine> {
    let busybox = busybox()?;
    let machine = Machine::new(&case.setup())?;
    let config =
        ContainerConfig { env: vec!["PATH=/bin".to_owned()], ..ContainerConfig::default() };
    let more = TarMaker::new().file("word", 0o644, "the word of the image\n");
    machine.layout.add("app", &image(&busybox, more, config));
    Some(machine)
}

/// Runs a script, which must say this.
fn says(machine: &Machine, script: &str, wanted: &str) {
    let answer = machine.sh(&format!("{HEAD}{script}"));
    assert_eq!(answer.out.trim_end(), wanted, "{script}\n{}", answer.err);
}

#[test]
fn a_store_that_was_open_is_closed_and_that_is_said_once() {
    for case in [root(), user()] {
        let Some(machine) = machine(&case) else { return };
        says(
            &machine,
            "run -v data:/data; chmod -R a+rwX $STORE; chmod 4777 $STORE/.corten/volumes/data/data
             corten images 2>said >list; told; stat -c %a $STORE $STORE/blobs $STORE/index.json $STORE/.corten/volumes $STORE/.corten/volumes/data/data
             corten images 2>said >list; told; find $STORE -path '*/data/data' -prune -o -path '*/directories/*' -prune -o -perm /077 ! -type l -print
             chmod 755 $STORE; corten images 2>said >list; told; stat -c %a $STORE",
            "= 0\ncould change what is in it\n700\n700\n600\n700\n4777\ncould read what is in it\n700",
        );
    }
}

#[test]
fn a_store_of_another_user_or_of_a_group_is_refused_and_left() {
    for case in [root(), user()] {
        let Some(machine) = machine(&case) else { return };
        says(
            &machine,
            "chmod 2770 $STORE; corten images 2>said >list; echo \"= $?\"; told | cut -d ' ' -f 1-3; stat -c %a $STORE",
            "= 1\nshared with group\n2770",
        );
    }
    let Some(machine) = machine(&root()) else { return };
    says(
        &machine,
        "chown 54322 $STORE; corten images 2>said >list; echo \"= $?\"; told; run; stat -c %u $STORE",
        "= 1\nis user 54322\n= 125\n54322",
    );
}

#[test]
fn a_directory_that_is_no_store_keeps_its_mode() {
    let Some(machine) = machine(&root()) else { return };
    says(
        &machine,
        "mkdir -m 755 other; echo x >other/file; corten --store other images 2>said >list; echo \"= $?\"; stat -c %a other",
        "= 7\n755",
    );
}

#[test]
fn a_layer_that_was_changed_since_is_not_started() {
    let Some(machine) = machine(&root()) else { return };
    says(
        &machine,
        "run; cat said
         tar=$(grep -l 'the word of the image' $RENDERED/tars/*)
         sed -i 's/the word of the image/the word of another/' $tar; run; told
         quiet store check >said; echo \"= $?\"; quiet store check --repair >said; run; cat said
         index=$(ls $RENDERED/indexes/* | head -n 1); printf x | dd of=$index bs=1 seek=2000 conv=notrunc 2>said; run; told
         quiet store check --repair >said; run; cat said",
        "= 0\nthe word of the image\n= 125\nis not what was made ready\nstore check --repair\n= 9\n= 0\nthe word of the image\n\
         = 125\nis not what was made ready\nstore check --repair\n= 0\nthe word of the image",
    );
}

#[test]
fn a_change_that_hides_is_found_by_who_compares_all() {
    let Some(machine) = machine(&root()) else { return };
    says(
        &machine,
        "run; run --verify
         tar=$(grep -l 'the word of the image' $RENDERED/tars/*); touch -r $tar when
         printf 'THE' | dd of=$tar bs=1 seek=$(grep -abo 'the word of' $tar | cut -d : -f 1) conv=notrunc 2>said
         touch -r when $tar; run; cat said; run --verify; told
         printf '[run]\\nverify = true\\n' >.config/corten/config.toml; run; told",
        "= 0\n= 0\n= 0\nTHE word of the image\n= 125\nis not what was made ready\nstore check --repair\n\
         = 125\nis not what was made ready\nstore check --repair",
    );
}

#[test]
fn a_store_that_was_restored_is_read_once_and_used() {
    for case in [root(), Case { config: "[run]\nform = \"directories\"\n", ..root() }] {
        let Some(machine) = machine(&case) else { return };
        says(
            &machine,
            "run; cp -a $STORE $S/home/kept; rm -r $STORE; mv $S/home/kept $STORE; run; cat said; run",
            "= 0\n= 0\nthe word of the image\n= 0",
        );
    }
}

#[test]
fn a_layer_kept_as_a_directory_is_looked_at_and_compared() {
    let case = Case { config: "[run]\nform = \"directories\"\n", ..root() };
    let Some(machine) = machine(&case) else { return };
    says(
        &machine,
        "run; run --verify; dir=$(ls -d $RENDERED/directories/*/word); dir=${dir%/word}
         echo changed >$dir/word; run; run --verify; told; quiet store check --repair >said; run --verify
         dir=$(ls -d $RENDERED/directories/*/word); touch ${dir%/word}/more; run; told; quiet store check --repair >said; run; cat said",
        "= 0\n= 0\n= 0\n= 125\nis not what was made ready\nstore check --repair\n= 0\n\
         = 125\nis not what was made ready\nstore check --repair\n= 0\nthe word of the image",
    );
}

#[test]
fn devices_of_an_image_come_into_no_volume() {
    let Some(busybox) = busybox() else { return };
    let Some(machine) = Machine::new(&root().setup()) else { return };
    let more = TarMaker::new()
        .directory("data", 0o755)
        .device("data/disk", 'b', (8, 0))
        .device("data/null", 'c', (1, 3))
        .fifo("data/pipe")
        .file("word", 0o644, "x");
    let config =
        ContainerConfig { env: vec!["PATH=/bin".to_owned()], ..ContainerConfig::default() };
    machine.layout.add("app", &image(&busybox, more, config));
    says(
        &machine,
        "quiet run --rm --network none -v data:/data store:app sh -c 'ls /data; mknod /data/null c 1 3; cat /data/null 2>/dev/null || echo nodev'
         mkdir ctx; printf 'FROM app AS app\\nFROM app\\nRUN --mount=type=cache,target=/c,from=app,source=/data ls /c >/list; grep -o nodev /proc/self/mounts | head -n 1 >>/list; grep \" /c \" /proc/self/mounts | grep -o nodev >>/list\\n' >ctx/Dockerfile
         quiet build --network none -t t ctx >said; quiet cat store:t /list",
        "pipe\nnodev\npipe\nnodev\nnodev",
    );
}

#[test]
fn a_store_named_from_here_is_the_same_for_what_works_elsewhere() {
    for case in [root(), user()] {
        let Some(machine) = machine(&case) else { return };
        says(
            &machine,
            "mkdir -p $S/home/at; cd $S/home/at; export CORTEN_STORE=near; quiet pull $IMAGE app >said
             quiet run -d --name one --network none store:app sleep 50 >id && echo ran; quiet rm --force one >id
             corten --quiet --store ./far pull $IMAGE app >said
             corten --quiet --store ./far pod create --network none both store:app sleep 50 >id && corten --quiet --store ./far pod start both >id && echo both
             corten --quiet --store ./far pod rm --force both >id; ls -d near far; test -e /near || test -e /far || echo clean",
            "ran\nboth\nfar\nnear\nclean",
        );
    }
}

#[test]
fn a_caller_with_little_gives_its_readers_no_more() {
    for case in [root(), user()] {
        let Some(machine) = machine(&case) else { return };
        says(
            &machine,
            "cd $S/home; (ulimit -t 600; ulimit -f 100000; ulimit -v 2000000; umask 000; quiet unpack store:app tree >said 2>&1 && cat tree/word)
             quiet unpack store:app other >said && stat -c %a other",
            "the word of the image\n755",
        );
    }
}
