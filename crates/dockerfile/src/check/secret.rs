//! Names that secrets have.

/// Whether what has this name seems to be a secret, as `SecretsUsedInArgOrEnv` says.
///
/// ```
/// use corten_dockerfile::names_a_secret;
///
/// assert!(names_a_secret("API_TOKEN"));
/// assert!(!names_a_secret("TOKEN_FILE"));
/// assert!(!names_a_secret("VERSION"));
/// ```
pub fn names_a_secret(name: &str) -> bool {
    const TOLD: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let lower = name.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
    has(&TOLD) && !has(&HARMLESS)
}
