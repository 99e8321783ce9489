//! `--cache-to` and `--cache-from`, as buildx writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use corten_spec::{RefName, Reference};

use super::Failure;
use super::words::{fields, none_left};
use crate::ops::{CacheMounts, CachePlace, CacheSteps, CacheTo};

/// The name that a cache has in a layout where none is given.
const LATEST: &str = "latest";

/// Where a cache goes.
pub(super) fn cache_to(text: &str) -> Result<CacheTo, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--cache-to {text}: {why}"));
    let mut fields = fields_of(text).map_err(wrong)?;
    let place = place(&mut fields, "dest").map_err(|why| wrong(&why))?;
    let steps = match fields.remove("mode") {
        None | Some("max") => CacheSteps::All,
        Some("min") => CacheSteps::OfImage,
        Some(_) => return Err(wrong("mode is max or min")),
    };
    let mounts = match fields.remove("mounts") {
        None | Some("false") => CacheMounts::None,
        Some("true") => CacheMounts::All,
        Some(ids) => CacheMounts::Some(ids.split(':').map(str::to_owned).collect()),
    };
    let ignore_error = match fields.remove("ignore-error") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(wrong("ignore-error is true or false")),
    };
    none_left(&fields).map_err(|why| wrong(&why))?;
    Ok(CacheTo { place, steps, mounts, ignore_error })
}

/// Where a cache comes from.
pub(super) fn cache_from(text: &str) -> Result<CachePlace, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--cache-from {text}: {why}"));
    let mut fields = fields_of(text).map_err(wrong)?;
    let place = place(&mut fields, "src").map_err(|why| wrong(&why))?;
    none_left(&fields).map_err(|why| wrong(&why))?;
    Ok(place)
}

/// A name alone is that of a registry.
fn fields_of(text: &str) -> Result<BTreeMap<&str, &str>, &'static str> {
    if text.contains('=') {
        return fields(text);
    }
    Ok(BTreeMap::from([("type", "registry"), ("ref", text)]))
}

fn place(fields: &mut BTreeMap<&str, &str>, path: &str) -> Result<CachePlace, String> {
    match fields.remove("type") {
        Some("registry") => {
            let name = fields.remove("ref").ok_or("it has no ref=NAME")?;
            Reference::parse(name).map(CachePlace::Registry).map_err(|error| error.to_string())
        }
        Some("local") => {
            let directory = fields.remove(path).ok_or(format!("it has no {path}=DIR"))?;
            let name = fields.remove("tag").unwrap_or(LATEST);
            let name = RefName::parse(name).map_err(|error| error.to_string())?;
            Ok(CachePlace::Layout(PathBuf::from(directory), name))
        }
        Some(other) => Err(format!("there is no type {other} here: types are registry and local")),
        None => Err("it has no type".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_buildx_writes_them() {
        let to = cache_to("type=registry,ref=example.com/app:cache,mode=min,mounts=a:b").unwrap();
        assert_eq!(to.place.shown(), "example.com/app:cache");
        assert_eq!(to.steps, CacheSteps::OfImage);
        assert!(to.mounts.takes("b") && !to.mounts.takes("c"));
        let from = cache_from("example.com/app:cache").unwrap();
        assert_eq!(from, to.place);
        let local = cache_from("type=local,src=/c").unwrap();
        assert_eq!(local.shown(), "oci:/c:latest");
        for (wrong, told) in [
            ("type=gha", "types are registry and local"),
            ("type=s3,bucket=x", "types are registry and local"),
            ("type=inline", "types are registry and local"),
            ("type=local", "dest=DIR"),
            ("type=registry", "ref=NAME"),
            ("type=registry,ref=a,mode=all", "mode is"),
            ("type=registry,ref=a,what=1", "what is not known"),
            ("ref=a", "no type"),
        ] {
            let error = cache_to(wrong).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(wrong), "{error}");
        }
    }
}
