//! What a verb knows beyond the error when a registry fails it: why that registry was asked, and
//! where the image is instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use corten_store::StoreError;

use crate::Failure;

/// Sentences to say if a host fails, by host.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    sentences: Mutex<BTreeMap<String, String>>,
}

impl Advice {
    /// Remembers what to say if `host` does not give what is asked of it.
    pub(crate) fn add(&self, host: &str, sentence: String) {
        // A panic elsewhere leaves the map whole.
        let mut sentences = self.sentences.lock().unwrap_or_else(PoisonError::into_inner);
        sentences.insert(host.to_owned(), sentence);
    }

    /// The failure, with the sentence for the host that failed.
    pub(crate) fn apply(&self, failure: Failure) -> Failure {
        let Failure::Store(error) = failure else { return failure };
        let place = match &error {
            StoreError::NotFound { place, .. }
            | StoreError::Denied { place, .. }
            | StoreError::RateLimited { place, .. }
            | StoreError::Unreachable { place, .. } => place,
            _ => return Failure::Store(error),
        };
        let host = place.split('/').next().unwrap_or_default();
        let sentences = self.sentences.lock().unwrap_or_else(PoisonError::into_inner);
        match sentences.get(host) {
            Some(sentence) => Failure::Advised { error, advice: sentence.clone() },
            None => Failure::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(place: &str) -> Failure {
        Failure::Store(StoreError::NotFound { object: "tag 1".to_owned(), place: place.to_owned() })
    }

    #[test]
    fn a_sentence_is_said_of_its_host_alone() {
        let advice = Advice::default();
        advice.add("a.example", "look elsewhere".to_owned());
        let hint = |place| advice.apply(missing(place)).hint().unwrap_or_default();
        assert!(hint("a.example/app").contains("look elsewhere"));
        assert!(!hint("b.example/app").contains("look elsewhere"));
    }

    #[test]
    fn the_error_and_its_exit_code_stay_what_they_are() {
        let advice = Advice::default();
        advice.add("a.example", "look elsewhere".to_owned());
        let (plain, advised) = (missing("a.example/app"), advice.apply(missing("a.example/app")));
        assert_eq!(advised.to_string(), plain.to_string());
        assert_eq!(advised.exit(), plain.exit());
    }
}
