//! Looks at layers and times packing, from the command line:
//!
//! ```text
//! cargo run --release -p corten-layer --example layer -- audit FILE...
//! cargo run --release -p corten-layer --example layer -- bench TAR [THREADS]
//! ```

#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::time::Instant;

use corten_layer::{Compression, DiffReader, Limits, Packer, Packing, Tar, audit};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, files)) if verb == "audit" => files.iter().try_for_each(|file| look(file)),
        Some((verb, rest)) if verb == "bench" => {
            let file = rest.first().ok_or("which tar?")?;
            let threads = rest.get(1).map_or(Ok(NonZeroUsize::MIN), |number| number.parse())?;
            bench(file, threads)
        }
        _ => Err("audit FILE... | bench TAR [THREADS]".into()),
    }
}

/// Prints what is wrong with a layer.
fn look(file: &str) -> Result<(), Box<dyn Error>> {
    let audit = audit(File::open(file)?, None, Limits::default())?;
    println!("{file}: {} entries, {} problems", audit.entries, audit.problems.len());
    for problem in &audit.problems {
        println!("  {}: {} ({})", problem.place, problem.rule, problem.rule.code());
    }
    Ok(())
}

/// Packs and unpacks a tar in memory with each compression, in MB (10^6 unpacked bytes) a second.
fn bench(file: &str, threads: NonZeroUsize) -> Result<(), Box<dyn Error>> {
    let mut plain = Vec::new();
    File::open(file)?.read_to_end(&mut plain)?;
    let rate = |since: Instant| plain.len() as f64 / 1e6 / since.elapsed().as_secs_f64();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let start = Instant::now();
        let packing = Packing { threads, ..Packing::new(compression) };
        let mut packer = Packer::new(Vec::new(), packing)?;
        packer.write_all(&plain)?;
        let (packed, bytes) = packer.finish()?;
        let (size, packing) = (packed.descriptor.size, rate(start));
        let start = Instant::now();
        let reader = DiffReader::open(bytes.as_slice(), Some(compression), Limits::default())?;
        let mut tar = Tar::new(reader, Limits::default());
        while tar.next_entry()?.is_some() {}
        let unpacked = tar.into_inner().finish()?;
        assert_eq!(unpacked.diff_id, packed.diff_id);
        let ratio = plain.len() as f64 / size as f64;
        println!(
            "{compression:>12}: packed at {packing:.0} MB/s (ratio {ratio:.2}), read at {:.0} MB/s",
            rate(start)
        );
    }
    Ok(())
}
