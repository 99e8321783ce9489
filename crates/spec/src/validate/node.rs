//! A value with its place in the document, and the questions the checks ask of it.

use super::findings::Findings;
use super::json::{Value, clip, push_step};
use super::table::Code;

/// A value and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    parent: Option<&'a Node<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Place(usize),
}

/// The codes under which a family of documents reports absent and mistyped properties.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) missing: Code,
    pub(super) mistyped: Code,
}

/// What is expected of a property.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It must be there.
    Required,
    /// It may be absent; `null` is not absence.
    Optional,
    /// It may be absent or `null` (`config.md`, Properties).
    Nullable,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Root }
    }

    /// JSON pointer to the value.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = self.parent.map(Node::pointer).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Name(name) => push_step(&mut pointer, name),
            Step::Place(place) => push_step(&mut pointer, &place.to_string()),
        }
        pointer
    }

    pub(super) fn report(&self, report: &mut Findings, code: Code, message: impl Into<String>) {
        report.add(code, &self.pointer(), message);
    }

    /// The member of this name; of duplicates the last, as most readers have it.
    pub(super) fn member<'b>(&'b self, name: &'b str) -> Option<Node<'b>> {
        let members = self.members();
        let (_, value) = members.iter().rev().find(|(key, _)| key == name)?;
        Some(Node { value, parent: Some(self), step: Step::Name(name) })
    }

    /// Members of an object; none of anything else.
    pub(super) fn members(&self) -> &'a [(String, Value)] {
        match self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn children<'b>(&'b self) -> impl Iterator<Item = (&'a str, Node<'b>)> {
        self.members().iter().map(|(name, value)| {
            (name.as_str(), Node { value, parent: Some(self), step: Step::Name(name) })
        })
    }

    /// Items of an array; none of anything else.
    pub(super) fn items<'b>(&'b self) -> impl Iterator<Item = Node<'b>> {
        let items: &[Value] = match self.value {
            Value::Array(items) => items,
            _ => &[],
        };
        items.iter().enumerate().map(|(place, value)| Node {
            value,
            parent: Some(self),
            step: Step::Place(place),
        })
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The property `name` where it is there and of the kind asked for; otherwise reports why not.
    pub(super) fn property<'b>(
        &'b self,
        report: &mut Findings,
        family: Family,
        (name, kind, need): (&'b str, Kind, Need),
    ) -> Option<Node<'b>> {
        let Some(found) = self.member(name) else {
            if need == Need::Required {
                self.report(report, family.missing, format!("'{name}' is required"));
            }
            return None;
        };
        if need == Need::Nullable && *found.value == Value::Null {
            return None;
        }
        if !kind.is(found.value) {
            let message = format!("'{name}' must be {}, not {}", kind.name(), kind_of(found.value));
            found.report(report, family.mistyped, message);
            return None;
        }
        Some(found)
    }

    /// The text of the property `name`.
    pub(super) fn text_property<'b>(
        &'b self,
        report: &mut Findings,
        family: Family,
        (name, need): (&'b str, Need),
    ) -> Option<(Node<'b>, &'b str)> {
        let found = self.property(report, family, (name, Kind::Text, need))?;
        found.text().map(|text| (found, text))
    }

    /// Texts of the property `name`, an array of strings.
    pub(super) fn texts_property(
        &self,
        report: &mut Findings,
        family: Family,
        (name, need): (&str, Need),
    ) -> Vec<(String, String)> {
        let Some(array) = self.property(report, family, (name, Kind::Array, need)) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.items() {
            match item.text() {
                Some(text) => texts.push((item.pointer(), text.to_owned())),
                None => {
                    let message = format!("must be a string, not {}", kind_of(item.value));
                    item.report(report, family.mistyped, message);
                }
            }
        }
        texts
    }

    /// Reports names that differ from those of `known` in case only.
    pub(super) fn near_misses(&self, report: &mut Findings, known: &[&str]) {
        for (name, node) in self.children() {
            if known.contains(&name) {
                continue;
            }
            if let Some(meant) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                let message = format!("'{}' is not '{meant}'", clip(name));
                node.report(report, Code::JsonKeyCase, message);
            }
        }
    }
}

/// A kind of value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    fn is(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Bool, Value::Bool(_))
                | (Self::Number, Value::Number(..))
                | (Self::Text, Value::Text(_))
                | (Self::Array, Value::Array(_))
                | (Self::Object, Value::Object(_))
        )
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(..) => "a number",
        Value::Text(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
