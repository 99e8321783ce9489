//! Links: where the next page of a list is (`Link`, RFC 8288 section 3).

use std::fmt;

use super::cursor::{Cursor, write_quoted};

/// Longest value of one header read, in bytes.
pub const MAX_LINK: usize = 16 * 1024;
/// Most links read of all headers together.
const MAX_LINKS: usize = 32;

/// One link of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it points: a URL or a part of one, to be resolved against the URL of the request.
    pub target: String,
    /// How the target relates to this answer, such as `next`; empty where it does not say.
    pub relation: String,
}

impl Link {
    /// A link to the next page.
    pub fn next(target: impl Into<String>) -> Self {
        Self { target: target.into(), relation: "next".to_owned() }
    }

    /// Whether one of the link's relations is `next`.
    pub fn is_next(&self) -> bool {
        self.relation.split([' ', '\t']).any(|word| word.eq_ignore_ascii_case("next"))
    }

    /// Reads the values of all `Link` headers of an answer, in their order; what is no link, or
    /// beyond the limits, is left out.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let values = values.into_iter().filter(|value| value.len() <= MAX_LINK);
        let mut links = Vec::new();
        for value in values {
            let mut cursor = Cursor::new(value);
            while let Some(link) = one(&mut cursor) {
                if links.len() == MAX_LINKS {
                    return links;
                }
                links.push(link);
            }
        }
        links
    }
}

fn one(cursor: &mut Cursor<'_>) -> Option<Link> {
    loop {
        cursor.skip_commas();
        if cursor.is_done() {
            return None;
        }
        if cursor.take('<') {
            break;
        }
        // No link stands here; go on after the next comma.
        cursor.value();
        cursor.until(|c| c == ',');
    }
    let target = cursor.until(|c| c == '>').trim().to_owned();
    if !cursor.take('>') {
        return None;
    }
    let mut relation = None;
    loop {
        cursor.skip_space();
        if !cursor.take(';') {
            break;
        }
        cursor.skip_space();
        let name = cursor.token();
        cursor.skip_space();
        let value = if cursor.take('=') {
            cursor.skip_space();
            cursor.value()
        } else {
            String::new()
        };
        // RFC 8288 section 3.3: of several, the first counts.
        if name.eq_ignore_ascii_case("rel") && relation.is_none() {
            relation = Some(value);
        }
    }
    cursor.until(|c| c == ',');
    Some(Link { target, relation: relation.unwrap_or_default() })
}

impl fmt::Display for Link {
    /// Writes the link as a server sends it; what cannot stand between `<` and `>` is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<")?;
        for c in self.target.chars() {
            match c {
                '<' => f.write_str("%3C")?,
                '>' => f.write_str("%3E")?,
                c if c.is_control() || c == ' ' => write!(f, "%{:02X}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str(">; ")?;
        write_quoted(f, "rel", &self.relation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str, relation: &str) -> Link {
        Link { target: target.to_owned(), relation: relation.to_owned() }
    }

    #[test]
    fn links_of_the_field_are_read() {
        let cases: Vec<(&[&str], Vec<Link>)> = vec![
            (
                &["</v2/a/tags/list?n=2&last=b>; rel=\"next\""],
                vec![link("/v2/a/tags/list?n=2&last=b", "next")],
            ),
            (
                &["<https://example.com/x,y;z>;rel=next"],
                vec![link("https://example.com/x,y;z", "next")],
            ),
            (
                &["< /a > ; title=\"x, <y>; rel=z\" ; REL = Next ; rel=\"prev\""],
                vec![link("/a", "Next")],
            ),
            (
                &["</a>; rel=prev, </b>; rel=\"last next\""],
                vec![link("/a", "prev"), link("/b", "last next")],
            ),
            (&["</a>", "</b>;;rel=next"], vec![link("/a", ""), link("/b", "next")]),
            (&["nonsense, </b>; rel=next"], vec![link("/b", "next")]),
            (&["</a; rel=next", "", ",", "<", "\"", ";"], vec![]),
        ];
        for (values, wanted) in cases {
            assert_eq!(Link::parse(values.iter().copied()), wanted, "{values:?}");
        }
    }

    #[test]
    fn next_is_one_of_the_relations_in_any_case() {
        for (relation, next) in
            [("next", true), ("last NEXT", true), ("nextish", false), ("", false)]
        {
            assert_eq!(link("/a", relation).is_next(), next, "{relation}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let next = Link::next("/v2/a/tags/list?n=1&last=v1");
        assert_eq!(next.to_string(), "</v2/a/tags/list?n=1&last=v1>; rel=\"next\"");
        assert_eq!(Link::parse([next.to_string().as_str()]), [next]);
        assert_eq!(Link::next("a>b\r\n").to_string(), "<a%3Eb%0D%0A>; rel=\"next\"");
    }

    #[test]
    fn limits_hold() {
        let long = format!("<{}>; rel=next", "a".repeat(MAX_LINK));
        assert_eq!(Link::parse([long.as_str()]), []);
        assert_eq!(Link::parse(["</a>,".repeat(100).as_str()]).len(), MAX_LINKS);
    }
}
