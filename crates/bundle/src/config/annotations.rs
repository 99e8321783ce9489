//! The annotations of a runtime config: implicit ones of the image's fields, then its labels, then the
//! caller's (conversion.md, Annotations).

use std::collections::BTreeMap;

use corten_spec::{ContainerConfig, ImageConfig, annotation};

use super::error::{Result, without_nul};
use super::explain::{Said, Trace};
use super::overrides::{INIT, Overrides};

/// Beginnings of annotations that give orders to runtimes, their hooks and their engines: host paths to
/// write to, devices, settings of units and of machine monitors. An image's labels may not.
const ORDERS: [&str; 16] = [
    "run.oci.",
    "org.systemd.property.",
    "org.criu.",
    "io.containers.",
    "io.podman.",
    "io.katacontainers.",
    "dev.gvisor.",
    "io.containerd.",
    "containerd.io/",
    "io.kubernetes.cri",
    "io.kubernetes.container",
    "cdi.k8s.io/",
    "devices.nri.io/",
    "nerdctl/",
    "module.wasm.image/",
    "run.corten.",
];

/// All annotations.
pub(super) fn annotations(
    image: &ImageConfig,
    config: &ContainerConfig,
    overrides: &Overrides,
    trace: &mut Trace,
) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, (String, Said)> = BTreeMap::new();
    for (key, value) in implicit(image, config) {
        all.insert(key.to_owned(), (value, Said::Image));
    }
    for (key, value) in &config.labels {
        if key.is_empty() {
            trace.notice("the image has a label without a name: no annotation is made of it");
        } else if let Some(prefix) = ORDERS.iter().find(|prefix| key.starts_with(**prefix)) {
            let key: String = key.chars().take(120).collect();
            trace.notice(format!(
                "the image's label '{key}' is no annotation: those of '{prefix}' give orders to runtimes"
            ));
        } else {
            all.insert(key.clone(), (value.clone(), Said::Image));
        }
    }
    for (key, value) in overrides.labels.iter().chain(&overrides.annotations) {
        all.insert(key.clone(), (value.clone(), Said::Flag));
    }
    if overrides.init {
        all.insert(INIT.to_owned(), ("true".to_owned(), Said::Flag));
    }
    let mut annotations = BTreeMap::new();
    for (key, (value, source)) in all {
        let field = format!("annotations[{key}]");
        without_nul(&field, &key)?;
        without_nul(&field, &value)?;
        trace.tell(&field, value.as_str(), source);
        annotations.insert(key, value);
    }
    Ok(annotations)
}

/// What conversion.md makes annotations of. A field that is absent or empty has none.
fn implicit(image: &ImageConfig, config: &ContainerConfig) -> Vec<(&'static str, String)> {
    let [os, architecture, variant, os_version, os_features, author, stop_signal, exposed_ports] =
        annotation::CONVERTED;
    let platform = &image.platform;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
    let all = [
        (os, platform.os.clone()),
        (architecture, platform.architecture.clone()),
        (variant, text(&platform.variant)),
        (os_version, text(&platform.os_version)),
        (os_features, platform.os_features.join(",")),
        (author, text(&image.author)),
        (annotation::CREATED, text(&image.created)),
        (stop_signal, text(&config.stop_signal)),
        (exposed_ports, ports.join(",")),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
