//! Words that change the config and nothing of the files.

use corten_spec::ImageConfig;

use super::super::edit::{ConfigEdit, edit_run, take_from};
use super::super::edit_image::ConfigCut;
use super::draft::{Draft, WorkWord, hold, name_of};
use super::{Note, noted};
use crate::{Context, Failure};

/// A change of an image's config.
#[derive(Clone, Debug, Default)]
pub struct DraftEdit {
    /// What is set.
    pub edit: ConfigEdit,
    /// What is taken away, first.
    pub cut: ConfigCut,
    /// The user, the group staying as it is.
    pub user: Option<String>,
    /// The group, the user staying as it is.
    pub group: Option<String>,
    /// The image's name.
    pub name: Option<String>,
    /// The tag of its name.
    pub tag: Option<String>,
}

/// Changes the config of the draft.
pub async fn change_config(
    context: &Context,
    work: &WorkWord,
    change: DraftEdit,
    note: Note,
) -> Result<(), Failure> {
    let held = hold(context, work).await?;
    let mut draft = held.draft()?;
    applied(&mut draft, &change)?;
    noted(context, &mut draft, &note, false)?;
    held.keep(&draft)
}

fn applied(draft: &mut Draft, change: &DraftEdit) -> Result<(), Failure> {
    take_from(&mut draft.config, &change.cut);
    edit_run(&mut draft.config, &change.edit);
    draft.annotations.retain(|key, _| !change.cut.annotations.contains(key));
    draft.annotations.extend(change.edit.annotations.clone());
    if change.user.is_some() || change.group.is_some() {
        let run = draft.config.config.get_or_insert_default();
        let old = run.user.take().unwrap_or_default();
        let (user, group) = old.split_once(':').unwrap_or((&old, ""));
        let user = change.user.as_deref().unwrap_or(user);
        let group = change.group.as_deref().unwrap_or(group);
        run.user = match (user, group) {
            ("", "") => None,
            (user, "") => Some(user.to_owned()),
            // A group alone is that of root (image-spec `config.md`, User).
            ("", group) => Some(format!("0:{group}")),
            (user, group) => Some(format!("{user}:{group}")),
        };
    }
    draft.name = change.name.clone().or(draft.name.take());
    draft.tag = change.tag.clone().or(draft.tag.take());
    // A name that is none is refused by the word that gives it.
    name_of(draft).map(drop)
}

/// Puts a config in place of the draft's. Layers and history stay the draft's own.
pub async fn replace_config(
    context: &Context,
    work: &WorkWord,
    bytes: &[u8],
    (shown, note): (&str, Note),
) -> Result<(), Failure> {
    let held = hold(context, work).await?;
    let mut draft = held.draft()?;
    let new: ImageConfig = serde_json::from_slice(bytes).map_err(|error| Failure::Io {
        object: shown.to_owned(),
        action: "reading it as an image config",
        source: error.into(),
    })?;
    let (rootfs, history) = (draft.config.rootfs, draft.config.history);
    draft.config = ImageConfig { rootfs, history, ..new };
    noted(context, &mut draft, &note, false)?;
    held.keep(&draft)
}
