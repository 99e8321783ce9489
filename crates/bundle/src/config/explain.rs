//! Where each field of a runtime config comes from, and how others do it.

use serde_json::Value;

/// One field of a runtime config, explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Its path, as `process.cwd`, or of an entry, as `process.env[PATH]`.
    pub field: String,
    /// What it is.
    pub value: Value,
    /// Who says so.
    pub source: Said,
    /// What Docker, Podman, containerd or rkt do where they differ.
    pub elsewhere: Option<&'static str>,
}

/// Who says what a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The image's config.
    Image,
    /// Nobody: our default.
    Default,
    /// The caller.
    Flag,
    /// A file of the root filesystem: `passwd` or `group`.
    Root,
    /// The machine that the config is for.
    Host,
    /// The specification: there is no choice.
    Specification,
}

impl Said {
    /// The word for it, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Default => "default",
            Self::Flag => "flag",
            Self::Root => "root",
            Self::Host => "host",
            Self::Specification => "specification",
        }
    }
}

/// What is written down while a config is made.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) explained: Vec<Explained>,
    pub(super) notices: Vec<String>,
}

impl Trace {
    /// A field and who says it.
    pub(super) fn tell(&mut self, field: &str, value: impl Into<Value>, source: Said) {
        self.tell_beside(field, value, source, None);
    }

    /// The same, with what others do.
    pub(super) fn tell_beside(
        &mut self,
        field: &str,
        value: impl Into<Value>,
        source: Said,
        elsewhere: Option<&'static str>,
    ) {
        let (field, value) = (field.to_owned(), value.into());
        self.explained.push(Explained { field, value, source, elsewhere });
    }

    /// Something that the caller should know.
    pub(super) fn notice(&mut self, text: impl Into<String>) {
        self.notices.push(text.into());
    }
}
