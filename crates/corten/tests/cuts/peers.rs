//! The reference registry of the field, behind a proxy that breaks connections: whatever happens,
//! the image arrives whole, or the error names the registry and the next run succeeds.

use std::time::Duration;

use corten_testkit::images::TestImage;
use corten_testkit::{DockerRegistry, FaultProxy, Flow, Harm, Mischief, Ran, Strike};

use crate::home::Home;
use crate::pushing::home_with;
use crate::{LAYER, image, layout};

/// Longer than the patience of the client.
const SILENCE: Duration = Duration::from_millis(1_500);

/// A registry with a proxy before it, and a home that has `image` under `app`.
struct Stand {
    registry: DockerRegistry,
    proxy: FaultProxy,
    home: Home,
    image: TestImage,
}

impl Stand {
    /// `None`, told on stderr, where the registry is missing.
    fn new(seed: u64) -> Option<Self> {
        let registry = DockerRegistry::start()?;
        let proxy = FaultProxy::start(registry.host(), Mischief::Clean);
        let image = image(seed);
        let home = home_with(&image, &proxy.host());
        Some(Self { registry, proxy, home, image })
    }

    fn through(&self, rest: &str) -> String {
        format!("{}/{rest}", self.proxy.host())
    }

    /// Pulls through the proxy into a store of its own.
    fn pull(&self) -> Outcome {
        let home = Home::new(&[&self.proxy.host()]);
        let reference = self.through("team/app:v1");
        let ran = home.run(["pull", &reference]);
        let outcome = self.outcome(&ran);
        if outcome == Outcome::Told {
            assert_eq!(layout::names(&home.store()), []);
            self.proxy.change(Mischief::Clean);
            home.succeed(["pull", &reference]);
        }
        layout::assert_sound(&home.store());
        layout::assert_holds(&home.store(), &reference, &self.image);
        outcome
    }

    /// Pushes through the proxy into a repository of its own, and looks what is there.
    fn push(&self, repository: &str) -> Outcome {
        let target = self.through(&format!("{repository}:v1"));
        let ran = self.home.run(["push", "app", &target]);
        let outcome = self.outcome(&ran);
        self.proxy.change(Mischief::Clean);
        if outcome == Outcome::Told {
            self.home.succeed(["push", "app", &target]);
        }
        // Past the proxy, into an empty store.
        let home = Home::new(&[self.registry.host()]);
        let direct = self.registry.reference(&format!("{repository}:v1"));
        home.succeed(["pull", &direct]);
        layout::assert_holds(&home.store(), &direct, &self.image);
        outcome
    }

    fn outcome(&self, ran: &Ran) -> Outcome {
        if ran.code == Some(0) {
            return Outcome::Whole;
        }
        let words = &ran.stderr;
        assert!(ran.code.is_some_and(|code| (1..=8).contains(&code)), "{:?}: {words}", ran.code);
        assert!(words.contains(&self.proxy.host()), "the registry is not named: {words}");
        Outcome::Told
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Told,
}

/// The same strike for the first `connections` connections.
fn strikes(connections: usize, flow: Flow, at: u64, harm: Harm) -> Mischief {
    Mischief::Scripted(vec![Some(Strike { flow, at, harm }); connections])
}

/// Offsets in a connection: in the first head, between head and body, in the middle, near the end.
const OFFSETS: [u64; 6] = [0, 40, 300, 5_000, 66_000, LAYER - 1_000];

#[test]
fn pull_gets_over_cuts_at_any_offset() {
    let Some(stand) = Stand::new(20) else { return };
    stand.push("team/app");
    for at in OFFSETS {
        for flow in [Flow::Down, Flow::Up] {
            stand.proxy.change(strikes(3, flow, at, Harm::Cut));
            assert_eq!(stand.pull(), Outcome::Whole, "{flow:?} {at}");
        }
    }
    stand.proxy.change(strikes(2, Flow::Down, 66_000, Harm::Stall(SILENCE)));
    assert_eq!(stand.pull(), Outcome::Whole);
    assert!(!stand.proxy.struck().is_empty());
}

#[test]
fn push_gets_over_cuts_at_any_offset() {
    let Some(stand) = Stand::new(21) else { return };
    for (number, at) in OFFSETS.into_iter().enumerate() {
        for flow in [Flow::Up, Flow::Down] {
            stand.proxy.change(strikes(3, flow, at, Harm::Cut));
            let repository = format!("cut-{number}/{}", format!("{flow:?}").to_lowercase());
            assert_eq!(stand.push(&repository), Outcome::Whole, "{flow:?} {at}");
        }
    }
    stand.proxy.change(strikes(2, Flow::Up, 66_000, Harm::Stall(SILENCE)));
    assert_eq!(stand.push("stalled/app"), Outcome::Whole);
}

#[test]
fn a_flipped_byte_never_gets_into_an_image() {
    let Some(stand) = Stand::new(22) else { return };
    stand.push("team/app");
    for (number, at) in OFFSETS.into_iter().enumerate() {
        for flow in [Flow::Down, Flow::Up] {
            stand.proxy.change(strikes(2, flow, at, Harm::Corrupt));
            stand.pull();
            stand.proxy.change(strikes(2, flow, at, Harm::Corrupt));
            stand.push(&format!("flip-{number}/{}", format!("{flow:?}").to_lowercase()));
        }
    }
}

#[test]
fn connections_that_break_anywhere_end_well() {
    let Some(stand) = Stand::new(23) else { return };
    stand.push("team/app");
    for seed in 0..6 {
        let harms = vec![Harm::Cut, Harm::Cut, Harm::Stall(SILENCE)];
        let mischief =
            || Mischief::Seeded { seed, chance: 60, within: LAYER, harms: harms.clone(), most: 4 };
        stand.proxy.change(mischief());
        assert_eq!(stand.pull(), Outcome::Whole, "seed {seed}");
        stand.proxy.change(mischief());
        assert_eq!(stand.push(&format!("seed/{seed}")), Outcome::Whole, "seed {seed}");
    }
}
