//! `kill -9` at random moments: nothing that was acknowledged is lost, the store is valid at once,
//! the same command then succeeds, and `gc` leaves nothing behind.
//!
//! The short form runs with all tests; `just kill-runs` runs the long one, whose figures stand in
//! `docs/src/reference/faults.md`.

use std::path::Path;
use std::time::Duration;

use corten_testkit::images::{ImageMaker, TestImage};
use corten_testkit::{Dice, Fault, Noise, TestRegistry};

use crate::home::Home;
use crate::kills::{Killer, Moment, span_of};
use crate::layout;

/// Runs of each kind in the short form.
const SHORT: u32 = 10;

/// After so many runs of push the registry, which keeps everything in memory, is a new one.
const GENERATION: u32 = 25;

/// An image of more than what is gathered before it is staged, so that kills find staged parts.
fn image(seed: u64) -> TestImage {
    let sizes = [1_200_000, 800_000, 300_000];
    let layers = sizes.into_iter().zip(seed..);
    layers.fold(ImageMaker::new(), |maker, (size, seed)| maker.noise_layer(seed, size)).build()
}

/// A home whose store has an acknowledged image, and how the store looks with that alone.
pub(crate) struct Keeper {
    pub(crate) home: Home,
    pub(crate) registry: TestRegistry,
    kept: TestImage,
    kept_name: String,
    clean: std::collections::BTreeSet<String>,
}

impl Keeper {
    pub(crate) fn new() -> Self {
        let registry = TestRegistry::start();
        let home = Home::new(&[&registry.host()]);
        let (kept, kept_name) = (image(900), registry.reference("team/kept:v1"));
        registry.seed("team/kept", Some("v1"), &kept);
        home.succeed(["pull", &kept_name]);
        let mut keeper = Self { home, registry, kept, kept_name, clean: Default::default() };
        keeper.gc();
        keeper.clean = layout::files(&keeper.home.store());
        keeper
    }

    fn gc(&self) {
        self.home.succeed(["gc", "--grace", "0s"]);
    }

    /// What must be true right after a kill.
    pub(crate) fn check(&self) {
        let store = self.home.store();
        check(&self.home, &store);
        layout::assert_holds(&store, &self.kept_name, &self.kept);
    }

    /// After the name is removed and garbage collected only the kept image is left.
    pub(crate) fn clear(&self, name: &str) {
        self.home.succeed(["remove", name]);
        self.check_clean();
    }

    pub(crate) fn check_clean(&self) {
        self.gc();
        self.check();
        assert_eq!(layout::files(&self.home.store()), self.clean);
    }

    /// Without the kept image nothing is left.
    pub(crate) fn end(self) {
        self.home.succeed(["remove", &self.kept_name]);
        self.gc();
        layout::assert_empty(&self.home.store());
        assert!(layout::files(&self.home.temporary()).is_empty(), "temporary files are left");
    }
}

/// The layout is valid, by our own eyes and by those of `validate`.
pub(crate) fn check(home: &Home, path: &Path) {
    layout::assert_sound(path);
    home.succeed(["validate", &format!("oci:{}", path.display())]);
}

fn moment(path: &Path, name: &str, blobs_before: usize) -> Moment {
    let blobs = layout::files(&path.join("blobs/sha256")).len();
    if layout::names(path).iter().any(|(found, _)| found == name) {
        Moment::Done
    } else if layout::staged(path) > 0 || blobs > blobs_before {
        Moment::Midway
    } else {
        Moment::Before
    }
}

/// Answers slowly enough that a kill can fall on any part of a transfer.
fn slow_down(registry: &TestRegistry, throttled: bool) {
    let (piece, pause) = (16_384, Duration::from_millis(1));
    registry.heal();
    if throttled {
        registry.always("GET /blobs/", Fault::Drip(piece, pause));
        registry.always("* /blobs/uploads/", Fault::DripRequest(piece, pause));
    }
}

/// How long a run takes at full speed, and throttled.
fn spans(registry: &TestRegistry, mut run: impl FnMut(), clear: impl Fn()) -> [Duration; 2] {
    [false, true].map(|throttled| {
        slow_down(registry, throttled);
        span_of(&mut run, &clear)
    })
}

fn kill_pulls(runs: u32) -> Killer {
    let mut killer = Killer::new("pull");
    let keeper = Keeper::new();
    let (home, registry) = (&keeper.home, &keeper.registry);
    let image = image(910);
    let name = registry.reference("team/app:v1");
    registry.seed("team/app", Some("v1"), &image);
    let spans = spans(registry, || drop(home.succeed(["pull", &name])), || keeper.clear(&name));
    let blobs = layout::files(&home.store().join("blobs/sha256")).len();
    for _ in 0..runs {
        let throttled = killer.coin();
        slow_down(registry, throttled);
        let killed = killer.strike(home.start(["pull", &name]), spans[usize::from(throttled)]);
        let moment = moment(&home.store(), &name, blobs);
        killer.count(killed, moment);
        keeper.check();
        // Else the next run goes on with what this one left.
        if moment == Moment::Done || killer.coin() {
            slow_down(registry, false);
            home.succeed(["pull", &name]);
            layout::assert_holds(&home.store(), &name, &image);
            keeper.clear(&name);
        } else if killer.coin() {
            keeper.check_clean();
        }
    }
    slow_down(registry, false);
    keeper.end();
    killer
}

fn kill_copies(runs: u32) -> Killer {
    let mut killer = Killer::new("copy to a layout");
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let image = image(920);
    registry.seed("team/app", Some("v1"), &image);
    let source = format!("docker://{}", registry.reference("team/app:v1"));
    let path = home.path("layout");
    let target = format!("oci:{}:v1", path.display());
    let copy = ["copy", &source, &target];
    let clear = || std::fs::remove_dir_all(&path).unwrap();
    let spans = spans(&registry, || drop(home.succeed(copy)), clear);
    for _ in 0..runs {
        let throttled = killer.coin();
        slow_down(&registry, throttled);
        let killed = killer.strike(home.start(copy), spans[usize::from(throttled)]);
        // Killed while it was founded, it is no layout yet, and holds nothing.
        let founded = path.join("oci-layout").exists();
        let moment = if founded { moment(&path, "v1", 0) } else { Moment::Before };
        killer.count(killed, moment);
        if founded {
            check(&home, &path);
        }
        if moment == Moment::Done {
            layout::assert_holds(&path, "v1", &image);
        } else if killer.coin() {
            continue;
        }
        slow_down(&registry, false);
        home.succeed(copy);
        check(&home, &path);
        layout::assert_holds(&path, "v1", &image);
        let store = path.to_str().unwrap();
        assert!(home.at(store, &["remove", image.digest().as_str()]));
        assert!(home.at(store, &["gc", "--grace", "0s"]));
        layout::assert_empty(&path);
        std::fs::remove_dir_all(&path).unwrap();
    }
    killer
}

fn kill_pushes(runs: u32) -> Killer {
    let mut killer = Killer::new("push");
    let keeper = Keeper::new();
    let home = &keeper.home;
    let mut left = runs;
    while left > 0 {
        let generation = left.min(GENERATION);
        kill_pushes_to(&TestRegistry::start(), &mut killer, home, generation, &keeper);
        left -= generation;
    }
    keeper.check();
    keeper.end();
    killer
}

/// Pushes to one registry, which may stop existing afterwards.
fn kill_pushes_to(
    registry: &TestRegistry,
    killer: &mut Killer,
    home: &Home,
    runs: u32,
    keeper: &Keeper,
) {
    let image = &keeper.kept;
    let before = layout::files(&home.store());
    let push = |target: &str| {
        let target = registry.reference(target);
        ["--insecure", "http", "push", &keeper.kept_name, &target].map(str::to_owned)
    };
    home.succeed(push("first/app:v1"));
    let mut number = 0;
    let run = || {
        number += 1;
        home.succeed(push(&format!("span/{number}:v1")));
    };
    let spans = spans(registry, run, || {});
    let mut cycle = 0;
    for _ in 0..runs {
        let throttled = killer.coin();
        slow_down(registry, throttled);
        let repository = format!("copy/{cycle}");
        let target = format!("{repository}:v1");
        registry.clear_log();
        let killed = killer.strike(home.start(push(&target)), spans[usize::from(throttled)]);
        let tagged = !registry.tags(&repository).is_empty();
        let sent = registry.requests("* /").iter().any(|request| request.received > 0);
        killer.count(
            killed,
            match (tagged, sent) {
                (true, _) => Moment::Done,
                (false, true) => Moment::Midway,
                (false, false) => Moment::Before,
            },
        );
        if tagged {
            registry.assert_has(&repository, "v1", image);
        }
        registry.assert_has("first/app", "v1", image);
        assert_eq!(layout::files(&home.store()), before, "a push writes nothing here");
        if tagged || killer.coin() {
            slow_down(registry, false);
            home.succeed(push(&target));
            registry.assert_has(&repository, "v1", image);
            cycle += 1;
        }
    }
}

fn kill_imports(runs: u32) -> Killer {
    let mut killer = Killer::new("import");
    let keeper = Keeper::new();
    let home = &keeper.home;
    let tree = home.path("tree");
    std::fs::create_dir(&tree).unwrap();
    for seed in 0..10 {
        std::fs::write(tree.join(seed.to_string()), Noise::new(seed, 100_000).whole()).unwrap();
    }
    let import = ["import", tree.to_str().unwrap(), "made"];
    let digest = || layout::names(&home.store()).into_iter().find(|(name, _)| name == MADE);
    home.succeed(import);
    let expected = digest().expect("the image is named");
    keeper.clear("made");
    let span = span_of(|| drop(home.succeed(import)), || keeper.clear("made"));
    let blobs = layout::files(&home.store().join("blobs/sha256")).len();
    for _ in 0..runs {
        let killed = killer.strike(home.start(import), span);
        let moment = moment(&home.store(), MADE, blobs);
        killer.count(killed, moment);
        keeper.check();
        if moment == Moment::Done || killer.coin() {
            home.succeed(import);
            assert_eq!(digest().as_ref(), Some(&expected));
            keeper.check();
            keeper.clear("made");
        }
    }
    keeper.check_clean();
    keeper.end();
    killer
}

/// What `made` is called in the store.
const MADE: &str = "docker.io/library/made:latest";

fn kill_collections(runs: u32) -> Killer {
    let mut killer = Killer::new("gc");
    let keeper = Keeper::new();
    let home = &keeper.home;
    let store = home.store();
    let mut dice = Dice::new(1);
    let mut litter = || {
        for _ in 0..60 {
            let bytes = Noise::new(dice.roll(), 2_000).whole();
            let digest = corten_spec::Digest::sha256(&bytes);
            std::fs::write(layout::blob(&store, &digest), &bytes).unwrap();
            let part = format!(".corten/staged/sha256-{}", digest.encoded());
            std::fs::write(store.join(part), &bytes[..1_000]).unwrap();
        }
        layout::files(&store).len()
    };
    litter();
    let span = span_of(|| keeper.gc(), || assert!(litter() > 0));
    keeper.check_clean();
    for _ in 0..runs {
        let littered = litter();
        let killed = killer.strike(home.start(["gc", "--grace", "0s"]), span);
        let left = layout::files(&store).len();
        killer.count(
            killed,
            match () {
                () if left == keeper.clean.len() => Moment::Done,
                () if left < littered => Moment::Midway,
                () => Moment::Before,
            },
        );
        keeper.check();
        if killer.coin() {
            keeper.check_clean();
        }
    }
    keeper.check_clean();
    keeper.end();
    killer
}

#[test]
fn a_killed_pull_loses_nothing_and_leaves_nothing() {
    eprintln!("{}", kill_pulls(SHORT));
}

#[test]
fn a_killed_push_leaves_the_whole_image_or_no_tag() {
    eprintln!("{}", kill_pushes(SHORT));
}

#[test]
fn a_killed_copy_leaves_a_layout_or_none() {
    eprintln!("{}", kill_copies(SHORT));
}

#[test]
fn a_killed_import_leaves_nothing() {
    eprintln!("{}", kill_imports(SHORT));
}

#[test]
fn a_killed_collection_takes_nothing_that_is_needed() {
    eprintln!("{}", kill_collections(SHORT));
}

/// `CORTEN_KILL_RUNS` (200) of pull, push and copy, and a tenth as many of import and gc.
#[test]
#[ignore = "takes minutes: just kill-runs"]
fn at_length() {
    let runs = std::env::var("CORTEN_KILL_RUNS").map_or(200, |text| text.parse().unwrap());
    for killer in [kill_pulls(runs), kill_pushes(runs), kill_copies(runs)] {
        println!("{killer}");
        assert!(killer.met.midway >= runs / 4, "too few kills fell into a transfer");
    }
    for killer in [kill_imports(runs / 10), kill_collections(runs / 10)] {
        println!("{killer}");
    }
}
