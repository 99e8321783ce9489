//! An OCI runtime (runtime-spec): from a runtime bundle, a root filesystem and a `config.json`, to a
//! confined process. It knows nothing of images, layers or names.
pub mod capability;
pub mod seccomp;
