//! Numbers of users and groups, as they come in from outside.

/// What is no user or group: `chown(2)` and `setresuid(2)` read it as "leave it as it is".
const UNCHANGED: u32 = u32::MAX;

/// The id that `number` is: every one of 32 bits but the highest.
///
/// ```
/// assert_eq!(corten_spec::owner_id(4_294_967_294), Some(4_294_967_294));
/// assert_eq!(corten_spec::owner_id(4_294_967_295), None);
/// ```
pub fn owner_id(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|id| *id != UNCHANGED)
}

/// The id that a text of decimal digits is; a sign is none of them.
///
/// ```
/// assert_eq!(corten_spec::parse_owner_id("1000"), Some(1000));
/// assert_eq!(corten_spec::parse_owner_id("4294967295"), None);
/// assert_eq!(corten_spec::parse_owner_id("+1"), None);
/// ```
pub fn parse_owner_id(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    owner_id(text.parse().ok().filter(|_| is_number)?)
}
