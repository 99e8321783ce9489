//! Resuming is real: what came before a cut is not asked for again, neither by the same process
//! nor by another one after it.

use std::time::{Duration, Instant};

use corten_testkit::images::ImageMaker;
use corten_testkit::{Fault, Logged, TestRegistry};

use crate::home::Home;
use crate::pushing::home_with;
use crate::{image, large_layer, layout};

/// The offset of `bytes=N-`.
fn offset(request: &Logged) -> u64 {
    let range = request.range.as_deref().unwrap_or("bytes=0-");
    let text = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    text.unwrap_or_else(|| panic!("range {range}")).parse().unwrap()
}

#[test]
fn after_a_cut_a_download_goes_on_where_it_was_cut() {
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let image = image(3);
    let (layer, size) = large_layer(&image);
    registry.seed("team/app", Some("v1"), &image);
    registry.fault(&format!("GET /blobs/{layer}"), 2, Fault::CutAnswer(70_000));
    let reference = registry.reference("team/app:v1");
    home.succeed(["pull", &reference]);
    layout::assert_holds(&home.store(), &reference, &image);
    let requests = registry.requests(&format!("GET /blobs/{layer}"));
    let offsets: Vec<u64> = requests.iter().map(offset).collect();
    assert_eq!(offsets, [0, 70_000, 140_000]);
    assert_eq!(requests.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 206, 206]);
    assert_eq!(requests[2].sent, size - 140_000);
}

#[test]
fn after_the_process_was_killed_the_next_one_goes_on_from_the_staged_part() {
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let image = ImageMaker::new().noise_layer(4, 4_000_000).build();
    let (layer, size) = large_layer(&image);
    registry.seed("team/app", Some("v1"), &image);
    let requests = || registry.requests(&format!("GET /blobs/{layer}"));
    registry.always(&format!("GET /blobs/{layer}"), Fault::Drip(16_000, Duration::from_millis(1)));
    let reference = registry.reference("team/app:v1");
    let staged = home.store().join(format!(".corten/staged/sha256-{}", layer.encoded()));
    let length = || std::fs::metadata(&staged).map_or(0, |meta| meta.len());
    let mut kept = Vec::new();
    for _ in 0..2 {
        let before = length();
        let mut child = home.start(["pull", &reference]);
        let started = Instant::now();
        while length() < before + 600_000 {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing is staged");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kept.push(length());
        assert_eq!(layout::names(&home.store()), []);
    }
    assert!(kept[1] < size, "killed while under way");
    registry.heal();
    home.succeed(["pull", &reference]);
    layout::assert_holds(&home.store(), &reference, &image);
    let offsets: Vec<u64> = requests().iter().map(offset).collect();
    assert_eq!(offsets, [0, kept[0], kept[1]]);
    assert_eq!(requests()[2].sent, size - kept[1]);
}

#[test]
fn a_staged_part_that_was_broken_meanwhile_is_noticed() {
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let image = image(5);
    let (layer, _) = large_layer(&image);
    registry.seed("team/app", Some("v1"), &image);
    let staged = format!("store/.corten/staged/sha256-{}", layer.encoded());
    let mut part = registry.blob("team/app", layer).unwrap()[..70_000].to_vec();
    part[100] = !part[100];
    home.write(&staged, part);
    let reference = registry.reference("team/app:v1");
    home.succeed(["pull", &reference]);
    layout::assert_holds(&home.store(), &reference, &image);
    let requests = registry.requests(&format!("GET /blobs/{layer}"));
    assert_eq!(requests.iter().map(offset).collect::<Vec<_>>(), [70_000, 0]);
}

#[test]
fn after_a_cut_an_upload_goes_on_in_its_session() {
    // Larger than what the sockets between the two hold.
    let image = ImageMaker::new().noise_layer(6, 24_000_000).build();
    let (layer, size) = large_layer(&image);
    let registry = TestRegistry::start();
    let home = home_with(&image, &registry.host());
    let upload = format!("PUT sha256%3A{}", layer.encoded());
    registry.fault(&upload, 1, Fault::CutRequest(14_000_000));
    home.succeed(["push", "app", &registry.reference("copy/app:v1")]);
    registry.assert_has("copy/app", "v1", &image);
    let session = registry.requests(&upload)[0].path.clone();
    let requests = registry.requests(&format!("* {session}"));
    let (cut, after) = requests.split_first().unwrap();
    assert_eq!((cut.method.as_str(), cut.status), ("PUT", 0));
    assert_eq!((after[0].method.as_str(), after[0].status), ("GET", 204), "asks what came");
    assert_eq!(after[1].range.as_deref(), Some(&*format!("14000000-{}", size - 1)));
    let sent: u64 = after.iter().map(|request| request.received).sum();
    assert_eq!(sent, size - 14_000_000, "{after:#?}");
}

#[test]
fn a_push_that_was_killed_leaves_out_what_is_there() {
    let registry = TestRegistry::start();
    let image = image(7);
    let home = home_with(&image, &registry.host());
    let target = registry.reference("copy/app:v1");
    registry.always("PUT /manifests/", Fault::Delay(Duration::from_secs(60)));
    let mut child = home.start(["push", "app", &target]);
    let started = Instant::now();
    while registry.requests("PUT /manifests/").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "no manifest is sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(registry.tags("copy/app"), Vec::<String>::new());
    registry.heal();
    registry.clear_log();
    home.succeed(["push", "app", &target]);
    registry.assert_has("copy/app", "v1", &image);
    assert_eq!(registry.requests("* /blobs/uploads/"), [], "no blob is sent twice");
}
