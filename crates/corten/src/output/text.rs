//! Text for people: sizes, ages, tables, trees.

use std::fmt::Write as _;
use std::time::Duration;

use crate::plain::plain;

/// A size in bytes as people read it: powers of ten, three digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[allow(clippy::cast_precision_loss)] // three digits are shown, a double has fifteen
    let mut value = count as f64 / 1000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// A number of things: `1 blob`, `2 blobs`, `3 entries`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if number == 1 => format!("1 {thing}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {thing}s"),
    }
}

/// A span of time as people say it: its largest unit alone.
pub(crate) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let steps = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    for (length, word) in steps {
        let count = seconds / length;
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            return format!("{count} {word}{plural} ago");
        }
    }
    "just now".to_owned()
}

/// Rows under a heading, columns as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row; cells may be foreign text.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    /// The text, a line a row.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Draws a tree: `label` gives a node's line, which may be foreign text, `children` what hangs below it.
pub(crate) fn tree<'a, T>(
    root: &'a T,
    label: &dyn Fn(&T) -> String,
    children: &dyn Fn(&'a T) -> Vec<&'a T>,
) -> String {
    let mut text = format!("{}\n", plain(&label(root)));
    branch(root, "", label, children, &mut text);
    text
}

fn branch<'a, T>(
    node: &'a T,
    indent: &str,
    label: &dyn Fn(&T) -> String,
    children: &dyn Fn(&'a T) -> Vec<&'a T>,
    text: &mut String,
) {
    let below = children(node);
    let last = below.len().saturating_sub(1);
    for (position, child) in below.into_iter().enumerate() {
        let (turn, next) =
            if position == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let _ = writeln!(text, "{indent}{turn}{}", plain(&label(child)));
        branch(child, &format!("{indent}{next}"), label, children, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let rows = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (15_432, "15.4 kB"),
            (640_123_456, "640 MB"),
            (999_999_999, "1.00 GB"),
            (u64::MAX, "18447 PB"),
        ];
        for (count, expected) in rows {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        let counts = [count(0, "blob"), count(1, "blob"), count(1, "entry"), count(2, "entry")];
        assert_eq!(counts, ["0 blobs", "1 blob", "1 entry", "2 entries"]);
    }

    #[test]
    fn ages_are_said_in_their_largest_unit() {
        assert_eq!(age(Duration::from_secs(59)), "just now");
        assert_eq!(age(Duration::from_secs(61)), "1 minute ago");
        assert_eq!(age(Duration::from_secs(86_400 * 15)), "2 weeks ago");
    }

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        let mut table = Table::new(&["NAME", "SIZE"]);
        table.row(vec!["long-name".to_owned(), "1 B".to_owned()]);
        assert_eq!(table.render(), "NAME       SIZE\nlong-name  1 B\n");
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches() {
        struct Node(&'static str, Vec<Node>);
        let root = Node("a", vec![Node("b", vec![Node("c", vec![])]), Node("d", vec![])]);
        let text = tree(&root, &|n| n.0.to_owned(), &|n| n.1.iter().collect());
        assert_eq!(text, "a\n├── b\n│   └── c\n└── d\n");
    }
}
