//! Words of Kubernetes that have a grammar of their own: quantities, and variables in command lines.

/// A quantity in thousandths: `2`, `0.5`, `250m`, `128Mi`, `1.5G`. Fractions of a thousandth are cut off.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.get(digits.len()..)? {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // Nine digits after the point are more than any size of a machine needs.
    if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > 9 {
        return None;
    }
    let sum = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let part = u64::try_from(u128::from(factor) * part / scale).ok()?;
    sum.checked_add(part)
}

/// Puts the values of variables in the place of `$(NAME)`; `$$(NAME)` stands for itself, and so does the
/// name of a variable that is not set.
pub(super) fn expanded(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|name| name.split_once(')'));
        let value = named.and_then(|(name, more)| {
            let set = env.iter().rev().find(|(other, _)| other == name)?;
            Some((&set.1, more))
        });
        match value {
            Some((value, more)) => {
                out.push_str(value);
                rest = more;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_point_and_a_suffix() {
        for (text, wanted) in [
            ("2", Some(2_000)),
            ("0.5", Some(500)),
            ("250m", Some(250)),
            ("128Mi", Some((128 << 20) * 1_000)),
            ("1.5G", Some(1_500_000_000_000)),
            ("", None),
            ("Mi", None),
            ("-1", None),
            ("1e3", None),
            ("1.", Some(1_000)),
            (".5", None),
            ("1Qi", None),
            ("99999999999999999Ti", None),
        ] {
            assert_eq!(thousandths(text), wanted, "{text}");
        }
    }

    #[test]
    fn variables_stand_in_brackets() {
        let env = [("A", "1"), ("B", "$(A)"), ("A", "2")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (text, wanted) in [
            ("a $(A) b", "a 2 b"),
            ("$(B)", "$(A)"),
            ("$$(A) $(C) $A $", "$(A) $(C) $A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expanded(text, &env), wanted, "{text}");
        }
    }
}
