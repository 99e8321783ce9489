//! Images whose links lead mounts to what the kernel and the engine have, or onto the root: by every word that makes a
//! mount, and every verb that makes a container.

use corten_testkit::tar::TarMaker;
use serde_json::Map;

use crate::attack::{Attack, attack};

/// Where the links lead.
const TARGETS: [&str; 7] = ["/dev", "/proc", "/sys", "/", "/dev/shm", "/proc/sys", "../../../dev/"];

/// `canary` holds files by the names of devices, which an engine that makes nodes there would replace.
pub(crate) fn kernel_links(canary: &str) -> Vec<Attack> {
    TARGETS.into_iter().flat_map(|target| links_to(target, canary)).collect()
}

fn links_to(target: &str, canary: &str) -> Vec<Attack> {
    let with = |how: &str| attack(format!("{how} behind a link to {target}")).link("link", target);
    let flagged = |how: &str, flags: &str| with(how).flags(flags).fails(125, "link");
    // The image under a name, for a Dockerfile.
    let built = |mount: &str| {
        format!(
            "quiet copy $IMAGE store:$NAME > id
             printf 'FROM %s\\nRUN --mount={mount},target=/link true\\n' $NAME > Dockerfile.$NAME
             corten build --progress plain -f Dockerfile.$NAME ./mine; echo \"= $?\"; rm Dockerfile.$NAME"
        )
    };
    vec![
        flagged("a directory", &format!("-v {canary}/directory:/link")),
        flagged("the same in other words", &format!("--mount type=bind,source={canary}/directory,target=/link")),
        flagged("a named volume", "-v shared:/link"),
        flagged("a file system in memory", "--tmpfs /link"),
        with("a volume of the image").config(|config| drop(config.volumes.insert("/link".to_owned(), Map::new()))).fails(125, "link"),
        with("a container that is made first")
            .script(&format!(
                "quiet create --name $NAME --network none $FLAGS -v {canary}/directory:/link $IMAGE true > id
                 quiet start $NAME; echo \"= $?\"; quiet rm --force $NAME > id"
            ))
            .fails(1, "link"),
        with("a pod")
            .script(&format!(
                "quiet run --rm --network none $FLAGS -v {canary}/directory:/link $IMAGE true --- $IMAGE true; echo \"= $?\""
            ))
            .fails(125, ""),
        with("a cache of a step").script(&built("type=cache")).fails(1, "link"),
        with("the context of a step").script(&built("type=bind")).fails(1, "link"),
        with("memory of a step").script(&built("type=tmpfs")).fails(1, "link"),
    ]
}

/// What stays possible: a place below these that is named by its own name, and links to anything else.
pub(crate) fn named_places() -> Vec<Attack> {
    let layer = TarMaker::new().symlink("var/run", "/run").directory("run", 0o755);
    vec![
        attack("a place below /dev by its name")
            .flags("-v ./mine:/dev/mine --tmpfs /dev/shm")
            .shell("test -d /dev/mine && echo x > /dev/null && echo named")
            .prints("named"),
        attack("a link to a directory of the image")
            .layer(layer)
            .flags("-v ./mine:/var/run/mine")
            .shell("test -d /run/mine && echo linked")
            .prints("linked"),
    ]
}
