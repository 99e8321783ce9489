//! The rules of `config.md`, and of the Docker config beside it.

use super::findings::Findings;
use super::grammar::is_date_time;
use super::json::{Value, clip};
use super::node::{Family, Kind, Need, Node, kind_of};
use super::table::Code;
use super::{DocumentKind, annotations, platform};
use crate::Digest;

const FAMILY: Family =
    Family { missing: Code::ConfigPropertyMissing, mistyped: Code::ConfigPropertyType };

const KNOWN: [&str; 10] = [
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history",
];

const KNOWN_CONFIG: [&str; 14] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Memory",
    "MemorySwap",
    "CpuShares",
    "Healthcheck",
];

const RESERVED: [&str; 4] = ["Memory", "MemorySwap", "CpuShares", "Healthcheck"];

/// Checks a config.
pub(super) fn check(report: &mut Findings, root: &Node<'_>, kind: DocumentKind) {
    root.near_misses(report, &KNOWN);
    created(report, root);
    root.text_property(report, FAMILY, ("author", Need::Nullable));
    platform::words(report, root, FAMILY, Need::Nullable);
    if let Some(config) = root.property(report, FAMILY, ("config", Kind::Object, Need::Nullable)) {
        let is_windows = root.member("os").and_then(|os| os.text()) == Some("windows");
        execution(report, &config, is_windows);
        if !kind.is_docker() {
            reserved(report, &config);
        }
    }
    let layers = rootfs(report, root);
    history(report, root, layers);
}

/// `created`, of the image or of an entry of its history.
fn created(report: &mut Findings, node: &Node<'_>) {
    let created = node.text_property(report, FAMILY, ("created", Need::Nullable));
    if let Some((node, text)) = created
        && !is_date_time(text)
    {
        node.report(report, Code::ConfigCreated, format!("'{}'", clip(text)));
    }
}

/// The execution parameters.
fn execution(report: &mut Findings, config: &Node<'_>, is_windows: bool) {
    config.near_misses(report, &KNOWN_CONFIG);
    let user = config.text_property(report, FAMILY, ("User", Need::Nullable));
    if let Some((node, user)) = user
        && !is_windows
        && !is_user(user)
    {
        node.report(report, Code::ConfigUser, format!("'{}'", clip(user)));
    }
    let ports = config.property(report, FAMILY, ("ExposedPorts", Kind::Object, Need::Nullable));
    if let Some(ports) = ports {
        set(report, &ports);
        for (port, node) in ports.children().filter(|(port, _)| !is_port(port)) {
            node.report(report, Code::ConfigExposedPort, format!("'{}'", clip(port)));
        }
    }
    if let Some(node) = config.property(report, FAMILY, ("Volumes", Kind::Object, Need::Nullable)) {
        set(report, &node);
    }
    for (pointer, entry) in config.texts_property(report, FAMILY, ("Env", Need::Nullable)) {
        let named = entry.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        if !named || entry.contains('\0') {
            report.add(Code::ConfigEnv, &pointer, format!("'{}'", clip(&entry)));
        }
    }
    for name in ["Entrypoint", "Cmd"] {
        config.texts_property(report, FAMILY, (name, Need::Nullable));
    }
    config.text_property(report, FAMILY, ("WorkingDir", Need::Nullable));
    annotations::labels(report, config);
    let signal = config.text_property(report, FAMILY, ("StopSignal", Need::Nullable));
    if let Some((node, signal)) = signal
        && !is_signal(signal)
    {
        node.report(report, Code::ConfigStopSignal, format!("'{}'", clip(signal)));
    }
    let escaped = config.property(report, FAMILY, ("ArgsEscaped", Kind::Bool, Need::Nullable));
    if let Some(node) = escaped {
        node.report(report, Code::ConfigArgsEscaped, "");
    }
}

fn reserved(report: &mut Findings, config: &Node<'_>) {
    for name in RESERVED {
        if let Some(node) = config.member(name).filter(|node| *node.value != Value::Null) {
            node.report(report, Code::ConfigReserved, format!("'{name}'"));
        }
    }
}

/// An object that stands for a set: every value is the empty object.
fn set(report: &mut Findings, node: &Node<'_>) {
    for (_, node) in node.children() {
        match node.value {
            Value::Object(members) if members.is_empty() => {}
            Value::Object(_) => node.report(report, Code::ConfigSetValue, "must be {}"),
            other => {
                let message = format!("must be an empty object, not {}", kind_of(other));
                node.report(report, Code::ConfigPropertyType, message);
            }
        }
    }
}

/// `user`, `uid`, `user:group`, `uid:gid`, `uid:group`, `user:gid`; empty for none.
fn is_user(text: &str) -> bool {
    let word = |word: &str| {
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != ':';
        !word.is_empty()
            && word.chars().all(plain)
            && (!is_number || crate::parse_owner_id(word).is_some())
    };
    match text.split_once(':') {
        Some((user, group)) => word(user) && word(group),
        None => text.is_empty() || word(text),
    }
}

/// `port`, `port/tcp` or `port/udp`.
fn is_port(text: &str) -> bool {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    digits && port.parse::<u16>().is_ok_and(|port| port > 0) && matches!(protocol, "tcp" | "udp")
}

/// `SIGNAME`, as `SIGKILL` or `SIGRTMIN+3`, or a number; empty for none.
fn is_signal(text: &str) -> bool {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let is_name = text.strip_prefix("SIG").is_some_and(|name| {
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"+-".contains(&b);
        !name.is_empty() && name.bytes().all(legal)
    });
    text.is_empty() || is_name || (is_number && text.parse::<u8>().is_ok())
}

/// Number of layers, where `rootfs` tells it.
fn rootfs(report: &mut Findings, root: &Node<'_>) -> Option<usize> {
    let rootfs = root.property(report, FAMILY, ("rootfs", Kind::Object, Need::Required))?;
    rootfs.near_misses(report, &["type", "diff_ids"]);
    let kind = rootfs.text_property(report, FAMILY, ("type", Need::Required));
    if let Some((node, kind)) = kind
        && kind != "layers"
    {
        node.report(report, Code::ConfigRootfsType, format!("'{}' is not layers", clip(kind)));
    }
    rootfs.property(report, FAMILY, ("diff_ids", Kind::Array, Need::Required))?;
    let diff_ids = rootfs.texts_property(report, FAMILY, ("diff_ids", Need::Required));
    for (pointer, text) in &diff_ids {
        if let Err(error) = Digest::parse(text) {
            report.add(Code::ConfigDiffId, pointer, clip(&error.to_string()));
        }
    }
    Some(diff_ids.len())
}

fn history(report: &mut Findings, root: &Node<'_>, layers: Option<usize>) {
    let list = root.property(report, FAMILY, ("history", Kind::Array, Need::Nullable));
    let Some(list) = list else {
        return;
    };
    let mut made = 0_usize;
    for entry in list.items() {
        if !matches!(entry.value, Value::Object(_)) {
            let message = format!("an entry must be an object, not {}", kind_of(entry.value));
            entry.report(report, Code::ConfigPropertyType, message);
            continue;
        }
        entry.near_misses(report, &["created", "author", "created_by", "comment", "empty_layer"]);
        created(report, &entry);
        for name in ["author", "created_by", "comment"] {
            entry.text_property(report, FAMILY, (name, Need::Nullable));
        }
        let empty = entry.property(report, FAMILY, ("empty_layer", Kind::Bool, Need::Nullable));
        made += usize::from(empty.is_none_or(|node| *node.value != Value::Bool(true)));
    }
    // An image may do without history; one that has it describes each layer.
    if let Some(layers) = layers
        && list.items().next().is_some()
        && made != layers
    {
        let message = format!("{made} entries made a layer, and there are {layers} layers");
        list.report(report, Code::ConfigHistoryCount, message);
    }
}
