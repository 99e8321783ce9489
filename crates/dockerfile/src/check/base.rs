//! What checks ask for about images, and why instructions cannot be carried out.

use crate::chmod::ModeError;
use crate::dockerfile::DockerfileError;
use crate::expand::ExpandError;
use crate::mount::MountError;
use crate::port::PortError;

/// What is known of an image that a stage is built on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// The variables of its config, in order.
    pub environment: Vec<(String, String)>,
    /// Whether its config has a shell.
    pub has_shell: bool,
    /// What its ONBUILD lines keep.
    pub triggers: Vec<crate::Trigger>,
    /// Its system and architecture.
    pub platform: Option<(String, String)>,
}

/// What is known of images: the port through which checks ask for it.
pub trait BaseImages {
    /// The image of this name, as FROM has it once it is substituted, for this platform; none where
    /// nothing is known of it. Then no variable counts as undefined, for it may be the image's.
    fn image(&self, name: &str, platform: Option<&str>) -> Option<BaseImage>;
}

/// Nothing is known of any image.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBases;

impl BaseImages for NoBases {
    fn image(&self, _name: &str, _platform: Option<&str>) -> Option<BaseImage> {
        None
    }
}

/// Why an instruction that reads well cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It cannot be substituted.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A mount cannot be made.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A port is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What ONBUILD kept is no instruction.
    #[error(transparent)]
    Trigger(#[from] DockerfileError),
    /// A signal is none.
    #[error("there is no signal `{signal}`")]
    Signal {
        /// What is written.
        signal: String,
    },
    /// A mode is none.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// COPY takes an address.
    #[error("COPY takes files alone, and `{path}` is an address; ADD takes those")]
    RemoteCopy {
        /// The address.
        path: String,
    },
    /// `--checksum` where there is nothing that has one.
    #[error("--checksum is for one source that is an address")]
    Unchecked,
    /// A path is empty where none can be.
    #[error("the path of a volume is empty")]
    Volume,
}
