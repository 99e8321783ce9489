//! Texts of fields, as mail has them: `Name: value`, further lines of a value indented.

/// Longest value that is taken, in bytes.
const MAX_VALUE: usize = 1024;

/// The fields of one paragraph.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// The first value of a field that is not empty, and not longer than anybody means one to be.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.found(|key| key.eq_ignore_ascii_case(name))
    }

    /// The same of a field whose name has its case.
    pub(crate) fn exact(&self, name: &str) -> Option<&'a str> {
        self.found(|key| key == name)
    }

    fn found(&self, is_meant: impl Fn(&str) -> bool) -> Option<&'a str> {
        let found = self.0.iter().find(|(key, _)| is_meant(key));
        found.map(|(_, value)| *value).filter(|value| is_plain(value))
    }
}

/// Whether a value is one that may go into an inventory.
pub(crate) fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_VALUE && !value.contains(char::is_control)
}

/// The paragraphs of a text; first lines of values alone.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = Fields<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut fields = Fields::default();
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if fields.0.is_empty() {
                    continue;
                }
                return Some(fields);
            }
            if !line.starts_with([' ', '\t'])
                && let Some((name, value)) = line.split_once(':')
            {
                fields.0.push((name.trim(), value.trim()));
            }
        }
        (!fields.0.is_empty()).then_some(fields)
    })
}
