//! Reference pages: written where they differ, reported where only a check is wanted.

use std::{env, fs, process};

use xtask::pages::{Mode, settle};

#[test]
fn a_page_is_written_once_and_reported_when_it_is_stale() {
    let root = env::temp_dir().join(format!("xtask-pages-{}", process::id()));
    let page = root.join("docs/src/reference/cli.md");

    let missing = settle(&root, "cli", "one", Mode::Check).unwrap();
    assert_eq!(
        missing.as_deref(),
        Some("docs/src/reference/cli.md:1: page: stale; run `cargo xtask cli`")
    );
    assert!(!page.exists());

    assert_eq!(settle(&root, "cli", "one", Mode::Write).unwrap(), None);
    assert_eq!(fs::read_to_string(&page).unwrap(), "one");
    assert_eq!(settle(&root, "cli", "one", Mode::Check).unwrap(), None);

    assert!(settle(&root, "cli", "two", Mode::Check).unwrap().is_some());
    assert_eq!(fs::read_to_string(&page).unwrap(), "one");
    fs::remove_dir_all(&root).unwrap();
}
