//! Words of `build` with fields, as buildx writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use corten_build::Address;

use crate::Failure;
use crate::ops::{BuildOutput, ContextWord, LoadInto, SecretWord};

/// `KEY=VALUE,…`; of a key that is there twice the last one counts.
pub(super) fn fields(text: &str) -> Result<BTreeMap<&str, &str>, &'static str> {
    text.split(',').map(|field| field.split_once('=').ok_or("it is not KEY=VALUE,…")).collect()
}

/// Refuses what nobody has taken.
pub(super) fn none_left(fields: &BTreeMap<&str, &str>) -> Result<(), String> {
    match fields.first_key_value() {
        Some((key, _)) => Err(format!("{key} is not known here")),
        None => Ok(()),
    }
}

/// An output as buildx writes it.
pub(super) fn output(text: &str) -> Result<BuildOutput, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("-o {text}: {why}"));
    if !text.contains('=') {
        let path = PathBuf::from(text);
        return Ok(if text == "-" { BuildOutput::Tar(path) } else { BuildOutput::Files(path) });
    }
    let mut fields = fields(text).map_err(wrong)?;
    let kind = fields.remove("type").ok_or_else(|| wrong("it has no type"))?;
    let dest = fields.remove("dest").map(PathBuf::from);
    let as_tar = fields.remove("tar").is_none_or(|word| word != "false");
    let pushes = fields.remove("push").is_some_and(|word| word == "true");
    none_left(&fields).map_err(|why| wrong(&why))?;
    let place = || dest.clone().ok_or_else(|| wrong("it has no dest=PATH"));
    Ok(match kind {
        "oci" if !as_tar => BuildOutput::Layout(place()?),
        "oci" => BuildOutput::Archive(place()?),
        "docker" if dest.is_none() => BuildOutput::Engine(LoadInto::Docker),
        "docker" => BuildOutput::Docker(place()?),
        "local" => BuildOutput::Files(place()?),
        "tar" => BuildOutput::Tar(place()?),
        "registry" => BuildOutput::Registry,
        "image" if pushes => BuildOutput::Registry,
        "image" => return Err(wrong("the image is in the local store in any case")),
        _ => return Err(wrong("types are oci, docker, local, tar and registry")),
    })
}

pub(super) fn named(text: &str) -> Result<(String, ContextWord), Failure> {
    let wrong = || Failure::Usage(format!("--build-context {text} is not NAME=WHERE"));
    let (name, place) = text.split_once('=').ok_or_else(wrong)?;
    let is_address =
        |text: &str| text.starts_with("file://") || !matches!(Address::parse(text), Ok(None));
    let word = match place.split_once("://") {
        _ if is_address(place) => ContextWord::Address(place.to_owned()),
        Some(("oci-layout", rest)) => ContextWord::Image(format!("oci:{rest}")),
        Some(("docker-image", rest)) => ContextWord::Image(rest.to_owned()),
        Some((scheme, _)) => {
            let text = format!("--build-context {name}: {scheme}:// is no kind of context");
            return Err(Failure::Usage(text));
        }
        None => ContextWord::Directory(PathBuf::from(place)),
    };
    Ok((name.to_lowercase(), word))
}

pub(in crate::cli) fn secret(text: &str) -> Result<(String, SecretWord), Failure> {
    let wrong =
        || Failure::Usage(format!("--secret {text} is not id=ID,src=FILE or id=ID,env=VARIABLE"));
    let fields = fields(text).map_err(|_| wrong())?;
    let id = fields.get("id").ok_or_else(wrong)?;
    let source = fields.get("src").or_else(|| fields.get("source"));
    let is_variable = fields.get("type") == Some(&"env");
    let word = match (source, fields.get("env")) {
        (Some(name), _) if is_variable => SecretWord::Variable((*name).to_owned()),
        (Some(path), _) => SecretWord::File(PathBuf::from(path)),
        (None, Some(name)) => SecretWord::Variable((*name).to_owned()),
        (None, None) => SecretWord::Variable((*id).to_owned()),
    };
    Ok(((*id).to_owned(), word))
}
