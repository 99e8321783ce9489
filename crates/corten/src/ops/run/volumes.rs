//! What a container sees of this machine's files: the words of `--volume`, `--mount` and `--tmpfs`, and
//! the mounts they mean.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// A mount that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Where it comes from.
    pub source: VolumeSource,
    /// Where it is in the container: an absolute path.
    pub target: String,
    /// Whether the container may not write there.
    pub read_only: bool,
    /// More mount options, as mount(8) writes them.
    pub options: Vec<String>,
}

/// Where the files of a mount come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeSource {
    /// A directory or file of this machine.
    Bind(PathBuf),
    /// A volume with a name, made where it is missing; it outlives its containers.
    Named(String),
    /// A volume of the container's pod, which its members share.
    Pod(String),
    /// A volume of this container alone.
    Own,
    /// An empty filesystem in memory.
    Tmpfs,
}

/// Options of mount(8) that may be given for a volume; what is not here is refused, so that no option
/// of a filesystem passes as one of the mount.
const OPTIONS: [&str; 26] = [
    "rw",
    "ro",
    "rro",
    "exec",
    "noexec",
    "rnoexec",
    "suid",
    "nosuid",
    "rnosuid",
    "dev",
    "nodev",
    "rnodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "nosymfollow",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "bind",
    "rbind",
];

/// Options of a filesystem in memory that take a value.
const TMPFS_VALUES: [&str; 5] = ["size", "mode", "uid", "gid", "nr_inodes"];

impl VolumeMount {
    /// `[SOURCE:]TARGET[:OPTIONS]`: a source with a slash is a path, another one is a volume's name, none
    /// is a volume of the container's own.
    pub fn parse(text: &str, here: &Path) -> Result<Self, Failure> {
        let fields: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match fields.as_slice() {
            [target] => ("", *target, ""),
            [source, target] if target.starts_with('/') => (*source, *target, ""),
            [target, options] if target.starts_with('/') => ("", *target, *options),
            [source, target, options] => (*source, *target, *options),
            _ => return Err(wrong(text, "write SOURCE:TARGET or SOURCE:TARGET:OPTIONS")),
        };
        let mut mount = Self {
            source: source_of(source, here).map_err(|why| wrong(text, why))?,
            target: inside(target).map_err(|why| wrong(text, why))?,
            read_only: false,
            options: Vec::new(),
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            mount.option(option).map_err(|why| wrong(text, why))?;
        }
        Ok(mount)
    }

    /// `type=bind|volume|tmpfs,source=…,target=…[,readonly][,options]`, with the other words that docker
    /// and podman take for the same.
    pub fn parse_long(text: &str, here: &Path) -> Result<Self, Failure> {
        let (mut kind, mut source, mut target) = ("volume", None, None);
        let mut options: Vec<String> = Vec::new();
        for field in text.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key {
                "type" => kind = value,
                "source" | "src" => source = Some(value),
                "target" | "dst" | "destination" => target = Some(value),
                "readonly" | "ro" if matches!(value, "" | "true" | "1") => {
                    options.push("ro".to_owned());
                }
                "readonly" | "ro" if matches!(value, "false" | "0") => {}
                "bind-propagation" => options.push(value.to_owned()),
                "bind-recursive" | "recursive" => {
                    options.push(reach(value).map_err(|why| wrong(text, why))?)
                }
                "tmpfs-size" => options.push(format!("size={value}")),
                "tmpfs-mode" => options.push(format!("mode={value}")),
                _ if value.is_empty() => options.push(key.to_owned()),
                _ => options.push(field.to_owned()),
            }
        }
        let target = target.ok_or_else(|| wrong(text, "target=PATH is missing"))?;
        let source = match (kind, source) {
            ("bind", Some(path)) => VolumeSource::Bind(here.join(path)),
            ("volume", Some(name)) => named(name).map_err(|why| wrong(text, why))?,
            ("volume", None) => VolumeSource::Own,
            ("tmpfs", None) => VolumeSource::Tmpfs,
            ("bind", None) => return Err(wrong(text, "source=PATH is missing")),
            ("tmpfs", Some(_)) => return Err(wrong(text, "a tmpfs has no source")),
            _ => return Err(wrong(text, "the type is bind, volume or tmpfs")),
        };
        let target = inside(target).map_err(|why| wrong(text, why))?;
        let mut mount = Self { source, target, read_only: false, options: Vec::new() };
        for option in options {
            mount.option(&option).map_err(|why| wrong(text, why))?;
        }
        Ok(mount)
    }

    /// `TARGET[:OPTIONS]` of `--tmpfs`.
    pub fn parse_tmpfs(text: &str) -> Result<Self, Failure> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = inside(target).map_err(|why| wrong(text, why))?;
        let source = VolumeSource::Tmpfs;
        let mut mount = Self { source, target, read_only: false, options: Vec::new() };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            mount.option(option).map_err(|why| wrong(text, why))?;
        }
        Ok(mount)
    }

    fn option(&mut self, option: &str) -> Result<(), &'static str> {
        let valued = option.split_once('=').map(|(key, _)| key);
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "z" | "Z" => return selinux_label(),
            "rro" | TOP_ONLY if !self.is_bound() => {
                return Err("nothing is mounted below what is not bound");
            }
            "rro" => {
                self.read_only = true;
                self.options.push(option.to_owned());
            }
            TOP_ONLY => self.options.push(option.to_owned()),
            known if OPTIONS.contains(&known) => self.options.push(option.to_owned()),
            _ if self.source == VolumeSource::Tmpfs
                && valued.is_some_and(|key| TMPFS_VALUES.contains(&key)) =>
            {
                self.options.push(option.to_owned());
            }
            _ => return Err("there is an option that is not known"),
        }
        Ok(())
    }

    fn is_bound(&self) -> bool {
        self.source != VolumeSource::Tmpfs
    }

    /// The mount of runtime-spec `config.md`; `volume` is the directory of a volume.
    pub(crate) fn mount(&self, volume: Option<&Path>) -> Mount {
        let mut options = self.options.clone();
        let top_only = options.iter().any(|option| option == TOP_ONLY);
        options.retain(|option| option != TOP_ONLY);
        options.push(if self.read_only { "ro" } else { "rw" }.to_owned());
        let mut mount = Mount::default();
        mount.set_destination(PathBuf::from(&self.target));
        let source = match &self.source {
            VolumeSource::Tmpfs => {
                mount.set_typ(Some("tmpfs".to_owned())).set_source(Some(PathBuf::from("tmpfs")));
                for (option, default) in [("nosuid", "suid"), ("nodev", "dev"), ("mode=1777", "")] {
                    let key = option.split('=').next().unwrap_or(option);
                    let said = |given: &String| given == default || given.starts_with(key);
                    if !self.options.iter().any(said) {
                        options.push(option.to_owned());
                    }
                }
                mount.set_options(Some(options));
                return mount;
            }
            VolumeSource::Bind(path) => Some(path.as_path()),
            VolumeSource::Named(_) | VolumeSource::Pod(_) | VolumeSource::Own => {
                // What a container makes there is no device of the machine's to the next one.
                if !options.iter().any(|option| matches!(option.as_str(), "dev" | "nodev")) {
                    options.push("nodev".to_owned());
                }
                volume
            }
        };
        if !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
            options.push("rbind".to_owned());
        }
        if !top_only && options.iter().any(|option| option == "rbind") {
            // What is mounted below is given along, so what is denied is denied there, too.
            deny_below(&mut options);
        }
        let propagation = |option: &String| {
            matches!(option.trim_start_matches('r'), "private" | "shared" | "slave" | "unbindable")
        };
        if !options.iter().any(propagation) {
            options.push("rprivate".to_owned());
        }
        mount.set_typ(Some("bind".to_owned())).set_source(source.map(Path::to_path_buf));
        mount.set_options(Some(options));
        mount
    }
}

/// The word, never given to a mount, by which what is denied at the place of a bind is not denied to what is mounted
/// below it.
const TOP_ONLY: &str = "bind-recursive=writable";

/// The option that a value of `bind-recursive=`, docker's word, or `recursive=`, rkt's, means.
fn reach(value: &str) -> Result<String, &'static str> {
    let word = match value {
        "enabled" | "true" => "rbind",
        "disabled" | "false" => "bind",
        "writable" => TOP_ONLY,
        "readonly" => "rro",
        _ => {
            return Err(
                "recursive is true or false; bind-recursive enabled, disabled, writable or readonly",
            );
        }
    };
    Ok(word.to_owned())
}

/// Adds the recursive form of everything that is denied.
fn deny_below(options: &mut Vec<String>) {
    for word in ["ro", "nosuid", "nodev", "noexec"] {
        let recursive = format!("r{word}");
        let has = |wanted: &str| options.iter().any(|option| option == wanted);
        if has(word) && !has(&recursive) {
            options.push(recursive);
        }
    }
}

/// Whether this machine gives files labels, which corten does not write.
fn selinux_label() -> Result<(), &'static str> {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(
            "this machine has SELinux, and corten writes no labels: label the files with chcon and leave z away",
        );
    }
    // Without SELinux there is no label that could be missing.
    Ok(())
}

fn wrong(text: &str, why: &str) -> Failure {
    Failure::Usage(format!("{text}: {why}"))
}

fn source_of(source: &str, here: &Path) -> Result<VolumeSource, &'static str> {
    match source {
        "" => Ok(VolumeSource::Own),
        path if path.contains('/') || path.starts_with('.') => {
            Ok(VolumeSource::Bind(here.join(path)))
        }
        name => named(name),
    }
}

/// Longest name of a volume.
const MAX_NAME: usize = 128;

fn named(name: &str) -> Result<VolumeSource, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_NAME && name.chars().all(plain) {
        Ok(VolumeSource::Named(name.to_owned()))
    } else {
        Err("a volume's name has letters, digits, _ - and .; a path has a slash")
    }
}

/// A path inside the container: absolute, and without a step up.
pub(in crate::ops) fn inside(path: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if !path.starts_with('/') || parts.contains(&"..") || parts.is_empty() {
        return Err("the path in the container is absolute, has no .. and is not the root");
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(VolumeSource, String, bool)> {
        let mount = VolumeMount::parse(text, Path::new("/here")).ok()?;
        Some((mount.source, mount.target, mount.read_only))
    }

    #[test]
    fn a_volume_is_a_path_a_name_or_the_containers_own() {
        let bind = |path: &str| VolumeSource::Bind(PathBuf::from(path));
        let named = || VolumeSource::Named("data".to_owned());
        for (text, wanted) in [
            ("/a:/b", Some((bind("/a"), "/b".to_owned(), false))),
            ("./a:/b:ro", Some((bind("/here/./a"), "/b".to_owned(), true))),
            ("data:/b/./c//", Some((named(), "/b/c".to_owned(), false))),
            ("data:/b:ro,noexec", Some((named(), "/b".to_owned(), true))),
            ("/cache", Some((VolumeSource::Own, "/cache".to_owned(), false))),
            ("/cache:ro", Some((VolumeSource::Own, "/cache".to_owned(), true))),
            ("a:b", None),
            ("data:/b:size=1", None),
            ("data:/", None),
            ("data:/a/../b", None),
            ("-x:/b", None),
            ("", None),
            ("a:/b:ro:rw", None),
        ] {
            assert_eq!(parsed(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_long_form_says_the_same() {
        let long = |text: &str| VolumeMount::parse_long(text, Path::new("/here")).ok();
        let short = |text: &str| VolumeMount::parse(text, Path::new("/here")).ok();
        assert_eq!(long("type=bind,src=/a,dst=/b,readonly"), short("/a:/b:ro"));
        assert_eq!(long("source=data,target=/b"), short("data:/b"));
        assert_eq!(
            long("type=tmpfs,target=/t,tmpfs-size=1m"),
            VolumeMount::parse_tmpfs("/t:size=1m").ok()
        );
        for wrong in
            ["type=bind,target=/b", "type=tmpfs,src=x,target=/b", "type=npipe,target=/b", ""]
        {
            assert_eq!(long(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn how_far_a_bind_reaches_has_the_words_of_docker_and_of_rkt() {
        let options = |words: &str| {
            let text = format!("type=bind,source=/a,target=/b,{words}");
            let mount = VolumeMount::parse_long(&text, Path::new("/")).ok()?.mount(None);
            mount.options().clone()
        };
        let told = |words: &str| options(words).unwrap_or_default().join(" ");
        assert_eq!(told("readonly"), "ro rbind rro rprivate");
        assert_eq!(told("bind-recursive=readonly"), "rro ro rbind rprivate");
        assert_eq!(told("readonly,bind-recursive=writable"), "ro rbind rprivate");
        assert_eq!(told("readonly,bind-recursive=disabled"), "bind ro rprivate");
        assert_eq!(told("recursive=false"), "bind rw rprivate");
        assert_eq!(told("recursive=true"), "rbind rw rprivate");
        assert_eq!(options("recursive=perhaps"), None);
        assert!(VolumeMount::parse_tmpfs("/t:rro").is_err());
    }

    #[test]
    fn a_mount_is_private_and_a_tmpfs_harmless_unless_asked() {
        let options = |text: &str| {
            let mount = VolumeMount::parse(text, Path::new("/")).unwrap().mount(None);
            mount.options().clone().unwrap()
        };
        assert_eq!(options("/a:/b"), ["rw", "rbind", "rprivate"]);
        assert_eq!(options("/a:/b:ro"), ["ro", "rbind", "rro", "rprivate"]);
        assert_eq!(
            options("/a:/b:nosuid,nodev,noexec"),
            [
                "nosuid", "nodev", "noexec", "rw", "rbind", "rnosuid", "rnodev", "rnoexec",
                "rprivate"
            ]
        );
        assert_eq!(options("/a:/b:ro,bind,rshared"), ["bind", "rshared", "ro"]);
        assert_eq!(options("a:/b"), ["rw", "nodev", "rbind", "rnodev", "rprivate"]);
        assert_eq!(options("/b:dev,exec"), ["dev", "exec", "rw", "rbind", "rprivate"]);
        let tmpfs = VolumeMount::parse_tmpfs("/t:mode=700,dev").unwrap().mount(None);
        assert_eq!(tmpfs.options().clone().unwrap(), ["mode=700", "dev", "rw", "nosuid"]);
    }
}
