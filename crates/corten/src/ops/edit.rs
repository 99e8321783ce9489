//! Changing an image's config: what `import` takes from its options.

use std::collections::BTreeMap;

use corten_spec::{ContainerConfig, DiffId, History, ImageConfig, Platform, RootFs};

use super::edit_image::ConfigCut;

/// What is set in the config of a new image; what is empty or absent stays as the base has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigEdit {
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// What starts the command line; setting it takes the base's `cmd` away, as in a Dockerfile.
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, in order; a later one replaces an earlier one of the same name.
    pub env: Vec<(String, String)>,
    /// User and group.
    pub user: Option<String>,
    /// Directory the process starts in.
    pub working_dir: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Ports.
    pub exposed_ports: Vec<String>,
    /// Data directories.
    pub volumes: Vec<String>,
    /// Signal that asks the process to stop.
    pub stop_signal: Option<String>,
    /// Who made the image.
    pub author: Option<String>,
}

/// A config without layers for `platform`.
pub(super) fn empty_config(platform: Platform) -> ImageConfig {
    ImageConfig {
        created: None,
        author: None,
        platform,
        config: None,
        rootfs: RootFs::layers(Vec::new()),
        history: Vec::new(),
        extra: BTreeMap::new(),
    }
}

/// Lays one layer on `config` at `created` (RFC 3339), made by a verb, and applies `edit`.
pub(super) fn lay_on(
    config: &mut ImageConfig,
    diff_id: DiffId,
    (created, made_by): (&str, &str),
    edit: &ConfigEdit,
) {
    config.rootfs.diff_ids.push(diff_id);
    config.created = Some(created.to_owned());
    config.history.push(History {
        created: Some(created.to_owned()),
        created_by: Some(made_by.to_owned()),
        ..History::default()
    });
    edit_run(config, edit);
}

/// Applies `edit` to a config.
pub(super) fn edit_run(config: &mut ImageConfig, edit: &ConfigEdit) {
    if edit.author.is_some() {
        config.author.clone_from(&edit.author);
    }
    let mut run = config.config.take().unwrap_or_default();
    apply(&mut run, edit);
    config.config = (run != ContainerConfig::default()).then_some(run);
}

/// Takes `cut` out of a config. What is not there is out of it already.
pub(super) fn take_from(config: &mut ImageConfig, cut: &ConfigCut) {
    let Some(run) = &mut config.config else { return };
    run.env.retain(|entry| !cut.env.contains(entry.split('=').next().unwrap_or_default()));
    run.labels.retain(|key, _| !cut.labels.contains(key));
    run.exposed_ports.retain(|key, _| !cut.exposed_ports.contains(key));
    run.volumes.retain(|key, _| !cut.volumes.contains(key));
}

fn apply(run: &mut ContainerConfig, edit: &ConfigEdit) {
    if edit.entrypoint.is_some() {
        run.entrypoint.clone_from(&edit.entrypoint);
        run.cmd = None;
    }
    if edit.cmd.is_some() {
        run.cmd.clone_from(&edit.cmd);
    }
    for (name, value) in &edit.env {
        let variable = format!("{name}={value}");
        let same = |entry: &&mut String| entry.split('=').next() == Some(name);
        match run.env.iter_mut().find(same) {
            Some(entry) => *entry = variable,
            None => run.env.push(variable),
        }
    }
    let settings = [
        (&mut run.user, &edit.user),
        (&mut run.working_dir, &edit.working_dir),
        (&mut run.stop_signal, &edit.stop_signal),
    ];
    for (place, value) in settings {
        if value.is_some() {
            place.clone_from(value);
        }
    }
    run.labels.extend(edit.labels.clone());
    let key = |text: &String| (text.clone(), serde_json::Map::new());
    run.exposed_ports.extend(edit.exposed_ports.iter().map(key));
    run.volumes.extend(edit.volumes.iter().map(key));
}

#[cfg(test)]
mod tests {
    use corten_spec::Digest;

    use super::*;

    fn laid_on(base: Option<ContainerConfig>, edit: &ConfigEdit) -> ImageConfig {
        let mut config = empty_config(Platform::new("linux", "amd64"));
        config.config = base;
        let made = ("1970-01-01T00:00:00Z", "corten import");
        lay_on(&mut config, DiffId(Digest::sha256(b"x")), made, edit);
        config
    }

    #[test]
    fn an_edit_of_nothing_leaves_no_run_config() {
        assert_eq!(laid_on(None, &ConfigEdit::default()).config, None);
    }

    #[test]
    fn an_entry_point_takes_the_base_command_away() {
        let base =
            ContainerConfig { cmd: Some(vec!["bash".to_owned()]), ..ContainerConfig::default() };
        let edit =
            ConfigEdit { entrypoint: Some(vec!["/app".to_owned()]), ..ConfigEdit::default() };
        let run = laid_on(Some(base), &edit).config.unwrap();
        assert_eq!((run.entrypoint, run.cmd), (Some(vec!["/app".to_owned()]), None));
    }

    #[test]
    fn a_variable_replaces_one_of_its_name_in_its_place() {
        let base = ContainerConfig {
            env: vec!["A=1".to_owned(), "AB=2".to_owned()],
            ..ContainerConfig::default()
        };
        let env = [("A", "3"), ("C", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let run = laid_on(Some(base), &ConfigEdit { env, ..ConfigEdit::default() }).config;
        assert_eq!(run.unwrap().env, ["A=3", "AB=2", "C=4"]);
    }

    #[test]
    fn what_the_base_has_beyond_the_specification_stays() {
        let mut base = ContainerConfig::default();
        base.extra.insert("Healthcheck".to_owned(), serde_json::json!({"Test": ["NONE"]}));
        let edit = ConfigEdit { user: Some("1000".to_owned()), ..ConfigEdit::default() };
        let run = laid_on(Some(base), &edit).config.unwrap();
        assert!(run.extra.contains_key("Healthcheck"));
    }
}
