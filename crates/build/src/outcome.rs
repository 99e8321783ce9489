//! What a step gives: a layer of the cache, or one that is made; and how that is noted.

use crate::builds::{PastStep, StepEnd};
use crate::cache::StepOrigin;
use crate::error::Result;
use crate::event::BuildEvent;
use crate::imports::StepResult;
use crate::key::{CacheKey, KeyHasher, KeyInput};
use crate::rootfs::Laid;
use crate::stage::{StageRun, StepPlace, shortened};

impl StageRun<'_> {
    /// The layer of a key: from the cache, or made.
    pub(crate) fn layer(
        &mut self,
        key: KeyHasher,
        make: impl FnOnce(&mut Self) -> Result<(Laid, Vec<KeyInput>)>,
    ) -> Result<()> {
        let (session, label) = (self.session, self.step.label.clone());
        let (key, mut inputs) = key.told();
        let cached = if session.request.no_cache { None } else { session.cached(&key) };
        session.count(cached.is_some());
        let laid = match cached {
            Some((layer, end)) => {
                self.tell(BuildEvent::Cached { step: &label });
                self.note(Some(&key), end, Some(PastStep::contents_of(&layer.diff_id)));
                if end == StepEnd::Imported {
                    session.imported.note(&key, &layer, self.origin(inputs));
                }
                Laid::known(layer)
            }
            None => {
                self.tell(BuildEvent::Started { step: &label });
                let made = make(self);
                if made.is_err() {
                    self.note(Some(&key), StepEnd::Failed, None);
                    if !session.is_over() {
                        self.tell(BuildEvent::Failed { step: &label });
                    }
                }
                let (laid, more) = made?;
                inputs.extend(more);
                session.pending.keep(&key, &laid.layer, self.origin(inputs))?;
                let contents = PastStep::contents_of(&laid.layer.diff_id);
                self.note(Some(&key), StepEnd::Ran, Some(contents));
                self.tell(BuildEvent::Done { step: &label });
                laid
            }
        };
        session.origins.gave(self.place.stage_number, &label, &laid.layer.descriptor.digest);
        session.results.add(StepResult {
            key,
            layer: laid.layer.clone(),
            stage: self.place.stage.clone(),
            text: shortened(&self.step.text),
        });
        self.state.layers.push(laid);
        Ok(())
    }

    /// Keeps the layer that this step gave under another key, too.
    pub(crate) fn keep_also(&self, key: &CacheKey, inputs: Vec<KeyInput>) -> Result<()> {
        let Some(laid) = self.state.layers.last() else { return Ok(()) };
        if self.session.is_elsewhere(&laid.layer) {
            self.session.imported.note(key, &laid.layer, self.origin(inputs));
            return Ok(());
        }
        self.session.pending.keep(key, &laid.layer, self.origin(inputs))
    }

    /// Notes how this step ended, for who asks later.
    pub(crate) fn note(&self, key: Option<&CacheKey>, end: StepEnd, contents: Option<String>) {
        let StepPlace { stage, stage_number, number, total } = self.place.clone();
        let (line, text) = (self.step.span.start.line, shortened(&self.step.text));
        let key = key.map(|key| key.as_str().to_owned());
        self.session.past(PastStep {
            stage,
            stage_number,
            number,
            total,
            line,
            text,
            key,
            end,
            contents,
        });
    }

    /// What this step was made by.
    fn origin(&self, inputs: Vec<KeyInput>) -> StepOrigin {
        let now = self.session.builder.now.duration_since(std::time::SystemTime::UNIX_EPOCH);
        StepOrigin {
            stage: self.place.stage.clone(),
            line: self.step.span.start.line,
            text: shortened(&self.step.text),
            made: now.unwrap_or_default().as_secs(),
            inputs,
        }
    }
}
