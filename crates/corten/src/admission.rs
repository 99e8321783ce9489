//! Whether an image may run: decided on its name and its digests, before the first byte of a layer
//! is fetched. The verdict is a value, and what runs an image demands one.

use corten_spec::Digest;

/// What the configuration says of images that may not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Digests of manifests, indexes or configs, and names or beginnings of names up to a slash.
    pub deny: Vec<String>,
}

/// What is known of an image when the decision falls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The image as it was asked for, without a transport.
    pub name: String,
    /// The digest that the name led to, an index perhaps.
    pub root: Digest,
    /// The digest of the manifest that is to run.
    pub manifest: Digest,
    /// The digest of its config.
    pub config: Digest,
}

/// An image that may run. Only [`Policy::decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    evidence: Evidence,
}

impl Admitted {
    /// What was decided on.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// An image that may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} ({digest}) may not run: the configuration denies '{rule}'")]
pub struct Refusal {
    /// The image as it was asked for.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// The rule that applies.
    pub rule: String,
}

impl Policy {
    /// Decides; every document behind `evidence` was verified against its digest.
    pub fn decide(&self, evidence: Evidence) -> Result<Admitted, Refusal> {
        let digests = [&evidence.root, &evidence.manifest, &evidence.config];
        let applies = |rule: &&String| {
            digests.iter().any(|digest| digest.as_str() == rule.as_str())
                || names(rule, &evidence.name)
        };
        match self.deny.iter().find(applies) {
            Some(rule) => Err(Refusal {
                name: evidence.name.clone(),
                digest: evidence.manifest.clone(),
                rule: rule.clone(),
            }),
            None => Ok(Admitted { evidence }),
        }
    }
}

/// Whether `rule` is `name`, or a part of it that ends where a slash, tag or digest begins.
fn names(rule: &str, name: &str) -> bool {
    let rule = rule.trim_end_matches('/');
    let rest = name.strip_prefix(rule);
    !rule.is_empty()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(name: &str) -> Evidence {
        let digest = |text: &str| Digest::of(corten_spec::Algorithm::Sha256, text.as_bytes());
        Evidence {
            name: name.to_owned(),
            root: digest("root"),
            manifest: digest("manifest"),
            config: digest("config"),
        }
    }

    #[test]
    fn what_nothing_denies_may_run() {
        let policy = Policy { deny: vec!["example.com/other".to_owned()] };
        let admitted = policy.decide(evidence("example.com/app:1")).unwrap();
        assert_eq!(admitted.evidence().name, "example.com/app:1");
    }

    #[test]
    fn names_and_digests_are_denied_whole_or_by_their_beginning() {
        let app = evidence("example.com/team/app:1");
        let by_config = app.config.to_string();
        let rules = ["example.com", "example.com/team/", "example.com/team/app:1", &by_config];
        for rule in rules {
            let refused = Policy { deny: vec![rule.to_owned()] }.decide(app.clone());
            assert_eq!(refused.unwrap_err().rule, rule);
        }
        for rule in ["example.co", "example.com/te", "", "/", "team"] {
            assert!(Policy { deny: vec![rule.to_owned()] }.decide(app.clone()).is_ok(), "{rule}");
        }
    }
}
