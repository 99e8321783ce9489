//! The JSON reports as JSON Schema, made from the report types themselves.

use std::collections::BTreeMap;

use schemars::{Schema, schema_for};

use crate::Failure;
use crate::ops;

/// One schema for the report of each verb, by the verb's name, as one JSON object.
pub fn schema() -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&schemas()).map_err(|source| Failure::Io {
        object: "the schema".to_owned(),
        action: "writing",
        source: source.into(),
    })?;
    Ok(format!("{text}\n"))
}

fn schemas() -> BTreeMap<&'static str, Schema> {
    BTreeMap::from([
        ("build", schema_for!(ops::BuildReport)),
        ("build check", schema_for!(ops::BuildCheckReport)),
        ("build outline", schema_for!(ops::OutlineReport)),
        ("build targets", schema_for!(ops::TargetsReport)),
        ("build project", schema_for!(ops::ProjectReport)),
        ("build write", schema_for!(ops::WriteReport)),
        ("import", schema_for!(ops::ImportReport)),
        ("commit", schema_for!(ops::ImportReport)),
        ("cp", schema_for!(ops::CpReport)),
        ("export", schema_for!(ops::ExportReport)),
        ("unpack", schema_for!(ops::UnpackReport)),
        ("mount", schema_for!(ops::MountReport)),
        ("unit", schema_for!(ops::UnitReport)),
        ("unmount", schema_for!(ops::UnmountReport)),
        ("append", schema_for!(ops::AppendReport)),
        ("edit", schema_for!(ops::EditReport)),
        ("ls", schema_for!(ops::LsReport)),
        ("diff", schema_for!(ops::DiffReport)),
        ("copy", schema_for!(ops::CopyReport)),
        ("pull", schema_for!(ops::CopyReport)),
        ("push", schema_for!(ops::CopyReport)),
        ("images", schema_for!(ops::ImagesReport)),
        ("tag", schema_for!(ops::TagReport)),
        ("remove", schema_for!(ops::RemoveReport)),
        ("bundle", schema_for!(ops::BundleReport)),
        ("run", schema_for!(ops::ExplainReport)),
        ("create", schema_for!(ops::CreatedReport)),
        ("ps", schema_for!(ops::PsReport)),
        ("status", schema_for!(ops::StatusReport)),
        ("start", schema_for!(ops::ActedReport)),
        ("stop", schema_for!(ops::ActedReport)),
        ("kill", schema_for!(ops::ActedReport)),
        ("pause", schema_for!(ops::ActedReport)),
        ("resume", schema_for!(ops::ActedReport)),
        ("rename", schema_for!(ops::ActedReport)),
        ("rm", schema_for!(ops::ActedReport)),
        ("wait", schema_for!(ops::WaitReport)),
        ("pod create", schema_for!(ops::CreatedPodReport)),
        ("pod play", schema_for!(ops::CreatedPodReport)),
        ("pod start", schema_for!(ops::ActedPodsReport)),
        ("pod stop", schema_for!(ops::ActedPodsReport)),
        ("pod rm", schema_for!(ops::ActedPodsReport)),
        ("pod ps", schema_for!(ops::PodsReport)),
        ("pod status", schema_for!(ops::PodReport)),
        ("top", schema_for!(ops::TopReport)),
        ("volume ls", schema_for!(ops::VolumesReport)),
        ("volume create", schema_for!(ops::VolumeNamesReport)),
        ("volume rm", schema_for!(ops::VolumeNamesReport)),
        ("volume prune", schema_for!(ops::VolumeNamesReport)),
        ("stats", schema_for!(ops::StatsReport)),
        ("store check", schema_for!(ops::StoreCheckReport)),
        ("doctor", schema_for!(ops::DoctorReport)),
        ("gc", schema_for!(ops::GcReport)),
        ("cache ls", schema_for!(ops::CacheReport)),
        ("cache explain", schema_for!(ops::ExplainCacheReport)),
        ("cache gc", schema_for!(ops::CacheGcReport)),
        ("inspect", schema_for!(ops::ImageReport)),
        ("tags", schema_for!(ops::TagsReport)),
        ("validate", schema_for!(ops::validate::ValidateReport)),
        ("login", schema_for!(ops::LoginReport)),
        ("logout", schema_for!(ops::LogoutReport)),
    ])
}
