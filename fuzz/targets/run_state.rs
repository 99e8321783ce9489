//! State of containers: whatever a loss of power, or another program, leaves in its files is read as something or told
//! as an error.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use corten_engine::{Engine, Groups, Unenforced};
use corten_run::{Containers, Follow, Timestamp};
use libfuzzer_sys::fuzz_target;

/// One that is whole, so that the files beside it are read.
const CONTAINER: &[u8] = include_bytes!("../seeds/run_state/container");
const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = tempfile::tempdir().unwrap().keep();
        Containers::open(&root, || Timestamp(0)).unwrap();
        for place in ["containers", "pods", "engine"] {
            std::fs::create_dir_all(root.join(place).join(ID)).unwrap();
        }
        std::os::unix::fs::symlink("name", root.join("containers").join(ID).join("name")).unwrap();
        root
    })
}

// The first byte says which file the others stand in.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let root = root();
    let files = [
        format!("containers/{ID}/container.json"),
        format!("containers/{ID}/state.json"),
        format!("containers/{ID}/exit.json"),
        format!("pods/{ID}/pod.json"),
        format!("engine/{ID}/state.json"),
        "events".to_owned(),
    ];
    let file = root.join(&files[usize::from(*which) % files.len()]);
    let good = root.join(&files[0]);
    std::fs::write(&good, CONTAINER.get(1..).unwrap()).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let containers = Containers::open(root, || Timestamp(0)).unwrap();
    let _ = corten_run::list(&containers, &|_| true);
    let _ = corten_run::list_pods(&containers);
    let _ = containers.find(ID).and_then(|id| corten_run::inspect(&containers, &id));
    let _ = corten_run::events(&containers, Follow::No, Timestamp(0), &mut |_| true);
    let engine = Engine {
        root: root.join("engine"),
        program: PathBuf::from("/proc/self/exe"),
        groups: Groups::Off,
        unenforced: Unenforced::Refuse,
        tell: |_| (),
    };
    let _ = corten_engine::list(&engine);
    let _ = corten_engine::state(&engine, ID);
    // Nothing of it is there for the next one.
    std::fs::remove_file(&file).unwrap();
});
