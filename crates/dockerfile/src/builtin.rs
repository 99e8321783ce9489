//! The build arguments that every build knows without being told.

/// What a built-in argument is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltinGroup {
    /// A platform: in the global scope; a stage sees it where it declares it.
    Platform,
    /// A proxy: set for every RUN, and part neither of the history nor of what makes a step another
    /// one, unless a stage declares it.
    Proxy,
    /// Something that the builder itself obeys.
    Control,
    /// The time that the image's times are.
    Time,
}

/// A built-in argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinArg {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub group: BuiltinGroup,
}

const fn arg(name: &'static str, group: BuiltinGroup) -> BuiltinArg {
    BuiltinArg { name, group }
}

/// All built-in arguments.
pub const BUILTIN_ARGS: [BuiltinArg; 32] = {
    use BuiltinGroup::{Control, Platform, Proxy, Time};
    [
        arg("BUILDPLATFORM", Platform),
        arg("BUILDOS", Platform),
        arg("BUILDOSVERSION", Platform),
        arg("BUILDARCH", Platform),
        arg("BUILDVARIANT", Platform),
        arg("TARGETPLATFORM", Platform),
        arg("TARGETOS", Platform),
        arg("TARGETOSVERSION", Platform),
        arg("TARGETARCH", Platform),
        arg("TARGETVARIANT", Platform),
        arg("TARGETSTAGE", Platform),
        arg("HTTP_PROXY", Proxy),
        arg("http_proxy", Proxy),
        arg("HTTPS_PROXY", Proxy),
        arg("https_proxy", Proxy),
        arg("FTP_PROXY", Proxy),
        arg("ftp_proxy", Proxy),
        arg("NO_PROXY", Proxy),
        arg("no_proxy", Proxy),
        arg("ALL_PROXY", Proxy),
        arg("all_proxy", Proxy),
        arg("BUILDKIT_SYNTAX", Control),
        arg("BUILDKIT_BUILD_NAME", Control),
        arg("BUILDKIT_CACHE_MOUNT_NS", Control),
        arg("BUILDKIT_CONTEXT_KEEP_GIT_DIR", Control),
        arg("BUILDKIT_INLINE_CACHE", Control),
        arg("BUILDKIT_MULTI_PLATFORM", Control),
        arg("BUILDKIT_SANDBOX_HOSTNAME", Control),
        arg("BUILDKIT_DOCKERFILE_CHECK", Control),
        arg("BUILDKIT_SBOM_SCAN_CONTEXT", Control),
        arg("BUILDKIT_SBOM_SCAN_STAGE", Control),
        arg("SOURCE_DATE_EPOCH", Time),
    ]
};

/// The built-in argument of this name.
///
/// ```
/// use corten_dockerfile::{BuiltinGroup, builtin_arg};
///
/// assert_eq!(builtin_arg("TARGETARCH").unwrap().group, BuiltinGroup::Platform);
/// assert!(builtin_arg("VERSION").is_none());
/// ```
pub fn builtin_arg(name: &str) -> Option<BuiltinArg> {
    BUILTIN_ARGS.into_iter().find(|arg| arg.name == name)
}

/// Arguments that stages may declare and that never become variables.
pub(crate) fn is_no_variable(name: &str) -> bool {
    matches!(name, "BUILDKIT_SBOM_SCAN_CONTEXT" | "BUILDKIT_SBOM_SCAN_STAGE")
}
