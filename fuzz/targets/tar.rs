//! Archives: what the strict reader takes, the tolerant one finds nothing wrong with, and what is
//! written of it is read as the same entries and written as the same bytes.

#![no_main]

use std::io::{self, Cursor};

use corten_layer::{Entry, LayerError, LayerRule, Limits, Tar, TarWriter};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    entries: 1_000,
    path: 4_096,
    link: 4_096,
    depth: 64,
    pax: 1 << 16,
    xattrs: 1 << 16,
    extents: 1_000,
    unpacked: 1 << 20,
    image: 1 << 20,
    ratio: 1_100,
    metadata: 8 << 20,
};

fuzz_target!(|bytes: &[u8]| {
    let mut tolerant = Tar::tolerant(bytes, LIMITS);
    let seen = entries(&mut tolerant);
    let faults = tolerant.drain_faults();

    let Ok(strict) = entries(&mut Tar::new(bytes, LIMITS)) else { return };
    // An end without its two blocks of zeros is common in the field; both readers let it pass.
    let graver: Vec<_> =
        faults.into_iter().filter(|(_, rule)| *rule != LayerRule::MissingEnd).collect();
    assert_eq!(graver, [], "only the tolerant reader finds faults");
    assert_eq!(seen.ok().as_ref(), Some(&strict), "the readers see two trees");

    // Not everything that can be read is written: the writer refuses what it cannot say exactly.
    let Ok(written) = rewrite(bytes) else { return };
    let again = rewrite(&written);
    assert_eq!(
        again.ok().as_ref(),
        Some(&written),
        "what was written is another archive when read"
    );
    let reread = entries(&mut Tar::new(&written[..], Limits { unpacked: u64::MAX, ..LIMITS }));
    assert_eq!(reread.unwrap_or_default().len(), strict.len());
});

fn entries(tar: &mut Tar<&[u8]>) -> Result<Vec<Entry>, LayerError> {
    let mut all = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let length = io::copy(tar, &mut io::sink()).map_err(LayerError::Write)?;
        assert_eq!(length, entry.size);
        all.push(entry);
    }
    Ok(all)
}

fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut tar = Tar::new(bytes, Limits { unpacked: u64::MAX, ..LIMITS });
    let mut writer = TarWriter::new(Cursor::new(Vec::new()));
    while let Some(entry) = tar.next_entry()? {
        writer.file(&entry, &mut tar)?;
    }
    Ok(writer.finish()?.into_inner())
}
