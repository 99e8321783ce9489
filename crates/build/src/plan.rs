//! What is to be built: the stages that a target needs, and the steps that make layers.

use corten_dockerfile::{
    BuildInputs, Dockerfile, GlobalScope, Span, StageLinks, links, reachable, target,
};

use crate::error::BuildError;

/// Which stages are built, in the order in which they stand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The Dockerfile.
    pub file: Dockerfile,
    /// What it is given.
    pub inputs: BuildInputs,
    /// The values that FROM sees.
    pub global: GlobalScope,
    /// What each stage needs.
    pub links: Vec<StageLinks>,
    /// The stages to build, each after those it needs.
    pub stages: Vec<usize>,
    /// The stage that becomes the image.
    pub target: usize,
}

/// One instruction of a stage, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub span: Span,
    /// Its line.
    pub text: String,
    /// How it is called while it goes on: `[stage 2/5] RUN make`.
    pub label: String,
}

impl Plan {
    /// Plans a build of `target_name`, or of the last stage. `contexts` are the names of the named contexts.
    ///
    /// # Errors
    /// Where an argument before the first FROM has no value, or stages do not fit together.
    ///
    /// ```
    /// use corten_build::Plan;
    /// use corten_dockerfile::{BuildInputs, Dockerfile};
    ///
    /// let file = Dockerfile::parse(b"FROM scratch AS a\nFROM scratch AS idle\nFROM a\n").unwrap();
    /// let plan = Plan::new(file, BuildInputs::default(), None, &[]).unwrap();
    /// assert_eq!(plan.stages, [0, 2]);
    /// ```
    pub fn new(
        file: Dockerfile,
        inputs: BuildInputs,
        target_name: Option<&str>,
        contexts: &[&str],
    ) -> Result<Self, BuildError> {
        let global = GlobalScope::read(&file, &inputs).map_err(BuildError::Global)?;
        let target = target(&file, target_name).map_err(BuildError::Link)?;
        let links = links(&file, &global, contexts).map_err(BuildError::Link)?;
        let stages = reachable(&links, target).map_err(BuildError::Link)?;
        Ok(Self { file, inputs, global, links, stages, target })
    }

    /// How a stage is called: its name, or `stage-` and its number.
    pub(crate) fn name(&self, stage: usize) -> String {
        let name = self.file.stages.get(stage).and_then(|stage| stage.name.clone());
        name.unwrap_or_else(|| format!("stage-{stage}"))
    }
}
