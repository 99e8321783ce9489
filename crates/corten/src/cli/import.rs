//! `corten import`: an image of any root filesystem.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use corten_layer::Compression;
use corten_spec::{Platform, parse_owner_id};

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops::{self, ConfigEdit, ImportRequest, ImportSource};
use crate::output::{bytes, count, print, print_json};

/// Make an image of a directory or of the tar of a root filesystem
#[derive(Args)]
#[command(
    after_help = "The same tree gives the same digest, as a directory or as a tar, on any number of cores. \
A COMMAND is written as in a Dockerfile: a JSON array, or a text for /bin/sh -c.

Examples:
  corten import ./rootfs app --cmd '[\"/bin/app\",\"--serve\"]' --user 1000
  mmdebstrap trixie - | corten import - debian:trixie --cmd '[\"bash\"]'
  corten import ./site web --from nginx --label org.example.team=web"
)]
pub(super) struct ImportArgs {
    /// A directory, a tar (plain, gzip or zstd), or - for a tar on standard input.
    source: PathBuf,
    /// The image's name in the local store.
    name: String,
    #[command(flatten)]
    edit: EditArgs,
    /// What the image runs on, such as linux/arm64 [default: the base's, or this machine's].
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// An image to lay the tree on: a name of the local store or of a registry, or any place.
    #[arg(long, value_name = "IMAGE")]
    from: Option<String>,
    /// When it was made, RFC 3339 [default: $SOURCE_DATE_EPOCH, else 1970-01-01T00:00:00Z].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// How the layer is packed: gzip (read by everything), zstd (smaller and faster) or none.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CompressionWord::Gzip, hide_possible_values = true)]
    compression: CompressionWord,
    /// Owner of every file, instead of what the files say.
    #[arg(long, value_name = "UID:GID")]
    owner: Option<String>,
}

/// What the config of a new image says beyond that of its base.
#[derive(Args)]
pub(super) struct EditArgs {
    /// What runs by default: the arguments after the entry point.
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    cmd: Option<Words>,
    /// What always comes first on the command line.
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    entrypoint: Option<Words>,
    /// An environment variable; may repeat.
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User, and group, of the process.
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Directory the process starts in.
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// A label; may repeat.
    #[arg(long, short, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// An annotation of the manifest; may repeat.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// A port the process listens on; may repeat.
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// A directory that holds data; may repeat.
    #[arg(long, value_name = "DIR")]
    volume: Vec<String>,
    /// The signal that asks the process to stop.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Who made the image.
    #[arg(long)]
    author: Option<String>,
}

impl EditArgs {
    /// The change that the words ask for.
    pub(super) fn edit(self) -> Result<ConfigEdit, Failure> {
        let pairs =
            |texts: &[String]| texts.iter().map(|text| pair(text)).collect::<Result<_, _>>();
        Ok(ConfigEdit {
            cmd: self.cmd.map(|words| words.0),
            entrypoint: self.entrypoint.map(|words| words.0),
            env: self.env.iter().map(|text| pair(text)).collect::<Result<_, _>>()?,
            user: self.user,
            working_dir: self.workdir,
            labels: pairs(&self.label)?,
            annotations: pairs(&self.annotation)?,
            exposed_ports: self.expose,
            volumes: self.volume,
            stop_signal: self.stop_signal,
            author: self.author,
        })
    }
}

/// The arguments of a command.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionWord {
    /// Readable by everything.
    Gzip,
    /// Smaller and faster; engines since 2020 read it.
    Zstd,
    /// No compression.
    None,
}

impl From<CompressionWord> for Compression {
    fn from(word: CompressionWord) -> Self {
        match word {
            CompressionWord::Gzip => Self::Gzip,
            CompressionWord::Zstd => Self::Zstd,
            CompressionWord::None => Self::None,
        }
    }
}

/// A JSON array of strings, or a text for the shell, as CMD and ENTRYPOINT of a Dockerfile.
fn command(text: &str) -> Result<Words, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map(Words)
            .map_err(|error| format!("not a JSON array of strings: {error}"));
    }
    Ok(Words(["/bin/sh", "-c", text].map(str::to_owned).to_vec()))
}

pub(super) async fn import(
    context: &Context,
    args: ImportArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let edit = args.edit.edit()?;
    let source = if args.source.as_os_str() == "-" {
        ImportSource::Stdin
    } else {
        ImportSource::Path(args.source)
    };
    let request = ImportRequest {
        source,
        name: super::copy::store_name(&args.name)?,
        edit,
        platform: args.platform,
        base: args.from.as_deref().map(Place::parse_bare).transpose()?,
        created: args.created,
        compression: args.compression.into(),
        owner: args.owner.as_deref().map(owner).transpose()?,
    };
    let report = ops::import(context, request).await?;
    told(&report, json)
}

/// Prints what was made.
pub(super) fn told(report: &ops::ImportReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(report)?;
    } else {
        let (packed, unpacked) = (bytes(report.layer.size), bytes(report.unpacked_size));
        let entries = count(report.entries, "entry");
        print(&format!(
            "{}\n{}\n{entries}, {unpacked} packed to {packed}\n",
            report.name, report.digest
        ))?;
    }
    Ok(Exit::Done)
}

fn pair(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::Usage(format!("'{text}' is not KEY=VALUE"))),
    }
}

fn owner(text: &str) -> Result<(u32, u32), Failure> {
    let refuse = || Failure::Usage(format!("'{text}' is not UID:GID, two numbers"));
    let (uid, gid) = text.split_once(':').ok_or_else(refuse)?;
    match (parse_owner_id(uid), parse_owner_id(gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_or_a_text_for_the_shell() {
        assert_eq!(command(r#"["/bin/a","b c"]"#).unwrap().0, ["/bin/a", "b c"]);
        assert_eq!(command("a && b").unwrap().0, ["/bin/sh", "-c", "a && b"]);
        assert!(command("[1]").is_err());
    }

    #[test]
    fn an_owner_is_two_numbers() {
        assert_eq!(owner("0:65534").unwrap(), (0, 65_534));
        for wrong in ["4294967295:0", "0:4294967295", "root:root", "1", "-1:0", "4294967296:0"] {
            assert!(owner(wrong).is_err(), "{wrong}");
        }
    }
}
