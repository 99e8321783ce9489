//! Asks the peers, and writes down what they answer.

use std::sync::Mutex;

use crate::answers::{Answer, Answers};
use crate::corpus::families;
use crate::own::Bench;
use crate::peers::Peers;
use crate::{each, page};

/// `CORTEN_RECORD=changed` asks of new and changed cases alone.
#[test]
#[ignore = "asks BuildKit and buildah; just differential"]
fn the_peers_are_asked_again() {
    let Some(bench) = Bench::new() else { return };
    let Some(peers) = Peers::find(&bench) else { return };
    let only_changed = std::env::var("CORTEN_RECORD").is_ok_and(|text| text == "changed");
    let families = families();
    let recorded: Vec<Mutex<Answers>> =
        families.iter().map(|family| Mutex::new(Answers::read(family))).collect();
    let told = each(&families, |family, case| {
        let at = families.iter().position(|own| own.name == family.name).unwrap();
        let known = recorded[at].lock().unwrap().all.get(&case.name).cloned();
        let known = known.filter(|known| only_changed && known.mark == case.mark);
        let mut answer = known.unwrap_or_else(|| {
            let (one, other) = (peers.buildkit(&bench, case), peers.buildah(&bench, case));
            Answer::new(case, one, other)
        });
        let own = bench.build_once(case);
        answer.differs = answer.compare(&own);
        let mut text = String::new();
        for peer in crate::answers::PEERS {
            let differs = answer.differs.get(peer);
            if differs.is_some() != case.reasons.contains_key(peer) {
                text.push_str(&format!("\n  {peer}: {differs:#?}"));
                if let Err(error) = &own {
                    text.push_str(error);
                }
                text.push_str(&format!(
                    " {:?} {:?}",
                    refused(&answer.buildkit),
                    refused(&answer.buildah)
                ));
            }
        }
        // Written at once: what was asked need not be asked again after an interruption.
        let mut answers = recorded[at].lock().unwrap();
        answers.all.insert(case.name.clone(), answer);
        answers.versions = peers.versions.to_vec();
        answers.write(family);
        (!text.is_empty()).then_some(text)
    });
    std::fs::write(page::path(), page::page(&families)).unwrap();
    println!("{}", page::page(&families));
    assert!(told.is_empty(), "differences without a reason, or reasons without one:\n{told}");
}

fn refused(given: &crate::answers::Given) -> Option<&str> {
    match given {
        crate::answers::Given::Refused(text) => Some(text),
        _ => None,
    }
}
