//! The verbs as functions: one request in, one report out. Nothing here prints.
//!
//! Reports are plain values with stable names; as JSON they follow the schema that
//! `corten reference schema` prints.

mod apart;
mod append;
mod attest;
mod build;
mod bundle;
mod cache;
mod check;
mod commit;
mod containers;
mod copy;
mod cp;
mod diff;
mod doctor;
mod edit;
mod edit_image;
mod engines;
mod import;
mod inspect;
mod layers;
mod local;
mod login;
mod look;
mod mount;
mod pod;
mod project;
mod ready;
mod rendering;
mod run;
mod schema;
mod stacks;
mod steps;
mod store_check;
mod unit;
mod unpack;
pub mod validate;
mod volume;

pub(crate) use apart::apart;
pub use append::{AppendReport, AppendRequest, AppendTo, LayerInput, append};
pub(crate) use build::DEVICE_SPECS;
pub use build::{
    AdviceReport, AgentWord, ArgReport, AttestWords, AttestationReport, BuildCheckReport,
    BuildOutput, BuildReport, BuildTold, BuildWanted, BuiltImage, ContextWord, DeviceRules,
    FetchedContext, GrantWords, LoadInto, NeedReport, OutlineReport, ProvenanceMode, SecretWord,
    StepWord, TargetReport, TargetsReport, build, build_check, build_outline, build_targets,
    fetch_context,
};
pub use bundle::{BundleReport, bundle};
pub use cache::{
    CacheEntry, CacheFilter, CacheGcReport, CacheGcRequest, CacheKind, CacheMounts, CachePlace,
    CacheReport, CacheSteps, CacheTo, ExplainCacheReport, ExplainedChange, cache, cache_gc,
    explain_cache,
};
pub use check::validate;
pub use commit::{CommitRequest, commit};
pub(crate) use containers::first_process;
pub use containers::{
    ActedReport, ContainerReport, ExecOptions, LogsRequest, ProcessReport, PsReport, StatsReport,
    StatusReport, TopReport, UsageReport, WaitReport, attach, events, exec, freeze, kill, logs, ps,
    rename, rm, start, start_in_front, stats, status, stop, top, wait,
};
pub use copy::{CopyReport, CopyRequest, PlatformChoice, copy};
pub use cp::{CpEnd, CpReport, cp};
pub use diff::{ConfigChange, DiffReport, FileChange, diff};
pub use doctor::{DoctorReport, Soundness, Symptom, doctor};
pub use edit_image::{ConfigCut, EditReport, EditRequest, edit};
pub use import::{ConfigEdit, ImportReport, ImportRequest, ImportSource, import};
pub use inspect::{
    BlobReport, ImageReport, InspectRequest, RawPart, RunConfig, TagsReport, TreeNode, inspect,
    raw, tags,
};
pub(crate) use layers::on_thread;
pub use local::{
    GcReport, ImagesReport, LocalImage, RemoveReport, TagReport, gc, images, remove, tag,
};
pub use login::{LoginReport, LogoutReport, login, logout};
pub use look::{ExportReport, FileEntry, LookRequest, LsReport, cat, export, ls};
pub use mount::{MountReport, UnmountReport, mount, unmount};
pub use pod::{
    ActedPodsReport, CreatedPodReport, PodReport, PodRequest, PodRun, PodWait, PodsReport,
    create_pod, play, pod_status, pods, remove_pod, run_pod, start_pod, stop_pod,
};
pub use project::{ProjectReport, ProjectWanted, build_project, project_file};
pub use ready::{Pull, Ready, ready};
pub use run::{
    APPARMOR_PROFILE, AppArmorWord, CreatedReport, DeviceWord, ExplainReport, ExplainedField,
    GroupsWord, Network, RunOptions, RunRequest, SeccompWord, Shared, Verify, VolumeMount,
    VolumeSource, create, explain, parse_ulimit, run, run_detached,
};
pub(crate) use run::{Recipes, systemd};
pub use schema::schema;
pub use steps::{
    BeginFrom, BeginRequest, CopyStep, DraftDocument, DraftEdit, FileStep, Layering, Note, RunStep,
    StepChoices, WorkWord, WriteReport, add_layers, begin, change_config, change_files,
    close_layer, draft_document, end, replace_config, write_draft,
};
pub use store_check::{DamagedForm, StoreCheckReport, store_check};
pub use unit::{UnitOf, UnitReport, unit};
pub use unpack::{UnpackReport, unpack};
pub use volume::{
    Volume, VolumeNamesReport, VolumesReport, volume_create, volume_prune, volume_remove, volumes,
};
