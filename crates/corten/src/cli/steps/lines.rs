//! Words of lines: how a script is parted into words, and how words are told so that they part again.

/// One line of a script that has words, with its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

/// Parts a script. A backslash at the end continues a line; `#` begins a comment where a word would begin.
///
/// # Errors
/// The number of the line with an open quote.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, usize> {
    let mut lines = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let (first, mut whole) = pending.take().unwrap_or((number + 1, String::new()));
        if let Some(kept) = line.strip_suffix('\\').filter(|kept| !kept.ends_with('\\')) {
            whole.push_str(kept);
            pending = Some((first, whole));
            continue;
        }
        whole.push_str(line);
        push(&mut lines, first, &whole)?;
    }
    if let Some((first, whole)) = pending {
        push(&mut lines, first, &whole)?;
    }
    Ok(lines)
}

fn push(lines: &mut Vec<Line>, number: usize, text: &str) -> Result<(), usize> {
    let words = split(text).ok_or(number)?;
    if !words.is_empty() {
        lines.push(Line { number, words });
    }
    Ok(())
}

/// The words of a line, as a shell would have them, without variables; `None` where a quote is open.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Words as one line that parts into them again.
pub(super) fn told(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        lines(text).unwrap().into_iter().map(|line| line.words).collect()
    }

    #[test]
    fn a_script_is_parted_as_a_shell_does() {
        assert_eq!(
            words("begin\n\n# nothing\nrun -- a 'b c' \"d $e\\\"\" f\\ g # end\n"),
            [vec!["begin"], vec!["run", "--", "a", "b c", "d $e\"", "f g"]]
        );
        assert_eq!(words("run -- a \\\n  b \\\n  c"), [["run", "--", "a", "b", "c"]]);
        assert_eq!(words("label add x ''"), [["label", "add", "x", ""]]);
        assert_eq!(words("a#b"), [["a#b"]]);
    }

    #[test]
    fn a_line_keeps_its_number() {
        let script = lines("a\n\nb \\\nc\nd").unwrap();
        assert_eq!(script.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(lines("a\nb 'c\nd"), Err(2));
        assert_eq!(lines("a\nb \"c"), Err(2));
    }

    #[test]
    fn what_is_told_parts_into_the_same_words() {
        for list in [&["run", "--", "sh", "-c", "echo 'a' \"$b\" # c"][..], &["", "it's", "a\tb"]] {
            let list: Vec<String> = list.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(&told(&list)), Some(list));
        }
        assert_eq!(told(&["copy".to_owned(), "./a".to_owned()]), "copy ./a");
    }
}
