//! The share of block devices of a container, as settings of control groups.

use super::settings::{Absent, Gathered, not_in, wrong};
use super::table::Version;
use crate::error::Result;
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

/// Both schedulers' ranges of weights begin or end here.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

pub(crate) fn gather(block: &LinuxBlockIo, to: &mut Gathered<'_>) -> Result<()> {
    let weight = block.weight().filter(|weight| *weight != 0);
    let leaf = block.leaf_weight().filter(|weight| *weight != 0);
    let devices: Vec<_> = block.weight_device().iter().flatten().collect();
    let throttles = [
        ("read_bps", "rbps", block.throttle_read_bps_device()),
        ("write_bps", "wbps", block.throttle_write_bps_device()),
        ("read_iops", "riops", block.throttle_read_iops_device()),
        ("write_iops", "wiops", block.throttle_write_iops_device()),
    ];
    let throttles: Vec<(&str, &str, &LinuxThrottleDevice)> = throttles
        .iter()
        .flat_map(|(old, new, all)| all.iter().flatten().map(move |each| (*old, *new, each)))
        .collect();
    if weight.is_none() && leaf.is_none() && devices.is_empty() && throttles.is_empty() {
        return Ok(());
    }
    let version = version(to)?;
    if let Some(weight) = weight {
        put_weight(to, version, None, weight)?;
    }
    if leaf.is_some() || devices.iter().any(|device| device.leaf_weight().is_some()) {
        // The scheduler that knew it went with Linux 5.0.
        return Err(not_in("blockIO.leafWeight", version));
    }
    for device in devices {
        if let Some(weight) = device.weight() {
            put_weight(to, version, Some(pair(device.major(), device.minor())?), weight)?;
        }
    }
    for (old, new, device) in throttles {
        let pair = pair(device.major(), device.minor())?;
        match version {
            Version::One => {
                let line = format!("{pair} {}", device.rate());
                to.put("blkio", &format!("blkio.throttle.{old}_device"), line);
            }
            Version::Two => to.put("io", "io.max", format!("{pair} {new}={}", device.rate())),
        }
    }
    Ok(())
}

/// The controller changed its name with the version.
fn version(to: &Gathered<'_>) -> Result<Version> {
    match to.version("blkio", "blockIO") {
        Ok(Version::One) => Ok(Version::One),
        _ => to.version("io", "blockIO"),
    }
}

fn pair(major: i64, minor: i64) -> Result<String> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => Err(wrong("blockIO", format!("device {major}:{minor}"))),
    }
}

fn put_weight(
    to: &mut Gathered<'_>,
    version: Version,
    device: Option<String>,
    weight: u16,
) -> Result<()> {
    if !WEIGHTS.contains(&weight) {
        return Err(wrong("blockIO.weight", weight));
    }
    let prefix = device.as_ref().map(|device| format!("{device} ")).unwrap_or_default();
    let plain = format!("{prefix}{weight}");
    match (version, device) {
        (Version::One, None) => {
            let files = [("blkio.weight", plain.clone()), ("blkio.bfq.weight", plain)];
            to.put_first("blkio", &files, Absent::Refused);
        }
        (Version::One, Some(_)) => {
            let files =
                [("blkio.weight_device", plain.clone()), ("blkio.bfq.weight_device", plain)];
            to.put_first("blkio", &files, Absent::Refused);
        }
        (Version::Two, _) => {
            // From 10..1000 to the 1..10000 of the general file.
            let wide = 1 + u32::from(weight - WEIGHTS.start()) * 9999 / 990;
            let files = [("io.bfq.weight", plain), ("io.weight", format!("{prefix}{wide}"))];
            to.put_first("io", &files, Absent::Refused);
        }
    }
    Ok(())
}
