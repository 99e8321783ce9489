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

/// A registry of the field, and an image for it.
struct Stand {
    registry: DockerRegistry,
    image: TestImage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Told,
}

impl Stand {
    /// `None`, told on stderr, where the registry is missing.
    fn new(seed: u64) -> Option<Self> {
        Some(Self { registry: DockerRegistry::start()?, image: image(seed) })
    }

    /// The same with the image in it.
    fn with_image(seed: u64) -> Option<Self> {
        let stand = Self::new(seed)?;
        let home = home_with(&stand.image, stand.registry.host());
        home.succeed(["push", "app", &stand.registry.reference("team/app:v1")]);
        Some(stand)
    }

    /// Pulls through a proxy into an empty store.
    fn pull(&self, mischief: Mischief) -> Outcome {
        let proxy = FaultProxy::start(self.registry.host(), mischief);
        let home = Home::new(&[&proxy.host()]);
        let reference = format!("{}/team/app:v1", proxy.host());
        let outcome = outcome(&proxy, &home.run(["pull", &reference]));
        if outcome == Outcome::Told {
            assert_eq!(layout::names(&home.store()), []);
            proxy.change(Mischief::Clean);
            home.succeed(["pull", &reference]);
        }
        layout::assert_sound(&home.store());
        layout::assert_holds(&home.store(), &reference, &self.image);
        outcome
    }

    /// Pushes through a proxy into a repository of its own, and looks past it what is there.
    fn push(&self, repository: &str, mischief: Mischief) -> Outcome {
        let proxy = FaultProxy::start(self.registry.host(), mischief);
        let home = home_with(&self.image, &proxy.host());
        let target = format!("{}/{repository}:v1", proxy.host());
        let outcome = outcome(&proxy, &home.run(["push", "app", &target]));
        if outcome == Outcome::Told {
            proxy.change(Mischief::Clean);
            home.succeed(["push", "app", &target]);
        }
        let reader = Home::new(&[self.registry.host()]);
        let direct = self.registry.reference(&format!("{repository}:v1"));
        reader.succeed(["pull", &direct]);
        layout::assert_holds(&reader.store(), &direct, &self.image);
        outcome
    }
}

fn outcome(proxy: &FaultProxy, ran: &Ran) -> Outcome {
    if ran.code == Some(0) {
        return Outcome::Whole;
    }
    let words = &ran.stderr;
    assert!(ran.code.is_some_and(|code| (1..=8).contains(&code)), "{:?}: {words}", ran.code);
    assert!(words.contains(&proxy.host()), "the registry is not named: {words}");
    Outcome::Told
}

/// Offsets in a connection: in the first head, between head and body, in the middle, near the end.
const OFFSETS: [u64; 6] = [0, 40, 300, 5_000, 66_000, LAYER - 1_000];

/// Each offset in each direction, all at once, with a name for it. The first `connections`
/// connections meet the same strike.
fn everywhere(connections: usize, harm: Harm, case: impl Fn(&str, Mischief) + Sync) {
    std::thread::scope(|scope| {
        for at in OFFSETS {
            for flow in [Flow::Up, Flow::Down] {
                let case = &case;
                let strikes = vec![Some(Strike { flow, at, harm }); connections];
                let name = format!("{}/{at}", format!("{flow:?}").to_lowercase());
                scope.spawn(move || case(&name, Mischief::Scripted(strikes)));
            }
        }
    });
}

#[test]
fn pull_gets_over_cuts_at_any_offset() {
    let Some(stand) = Stand::with_image(20) else { return };
    everywhere(3, Harm::Cut, |name, mischief| {
        assert_eq!(stand.pull(mischief), Outcome::Whole, "{name}");
    });
}

#[test]
fn push_gets_over_cuts_at_any_offset() {
    let Some(stand) = Stand::new(21) else { return };
    everywhere(3, Harm::Cut, |name, mischief| {
        assert_eq!(stand.push(name, mischief), Outcome::Whole, "{name}");
    });
}

#[test]
fn silence_at_any_offset_is_got_over() {
    let Some(stand) = Stand::with_image(22) else { return };
    everywhere(2, Harm::Stall(SILENCE), |name, mischief| {
        assert_eq!(stand.pull(mischief.clone()), Outcome::Whole, "{name}");
        assert_eq!(stand.push(name, mischief), Outcome::Whole, "{name}");
    });
}

#[test]
fn a_flipped_byte_never_gets_into_an_image() {
    let Some(stand) = Stand::with_image(23) else { return };
    everywhere(2, Harm::Corrupt, |name, mischief| {
        stand.pull(mischief.clone());
        stand.push(name, mischief);
    });
}

#[test]
fn connections_that_break_anywhere_end_well() {
    let Some(stand) = Stand::with_image(24) else { return };
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let stand = &stand;
            scope.spawn(move || {
                let harms = vec![Harm::Cut, Harm::Cut, Harm::Stall(SILENCE)];
                let mischief = Mischief::Seeded { seed, chance: 60, within: LAYER, harms, most: 4 };
                assert_eq!(stand.pull(mischief.clone()), Outcome::Whole, "seed {seed}");
                let repository = format!("seed/{seed}");
                assert_eq!(stand.push(&repository, mischief), Outcome::Whole, "seed {seed}");
            });
        }
    });
}
