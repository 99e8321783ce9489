//! Variables that are set one after the other.

use std::collections::HashMap;

use crate::expand::{ExpandError, MAX_ENVIRONMENT, MAX_VARIABLES, Variables};

/// Variables in the order in which they were first set, found by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    list: Vec<(String, String)>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Values {
    /// Sets a variable where it stands, or at the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), ExpandError> {
        self.place(name, value);
        if self.list.len() > MAX_VARIABLES || self.bytes > MAX_ENVIRONMENT {
            return Err(ExpandError::TooMany);
        }
        Ok(())
    }

    fn place(&mut self, name: &str, value: &str) {
        let old = self.places.get(name).and_then(|at| self.list.get_mut(*at));
        if let Some((_, old)) = old {
            self.bytes = self.bytes.saturating_sub(old.len()) + value.len();
            value.clone_into(old);
            return;
        }
        self.places.insert(name.to_owned(), self.list.len());
        self.bytes += name.len() + value.len();
        self.list.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn list(&self) -> &[(String, String)] {
        &self.list
    }
}

/// Whoever gives these answers for how many there are.
impl FromIterator<(String, String)> for Values {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        let mut values = Self::default();
        for (name, value) in pairs {
            values.place(&name, &value);
        }
        values
    }
}

impl Variables for Values {
    fn value(&self, name: &str) -> Option<&str> {
        let place = self.places.get(name)?;
        self.list.get(*place).map(|(_, value)| value.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.list.iter().map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stays_where_it_was_set_first() {
        let mut values = Values::default();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            values.set(name, value).unwrap();
        }
        assert_eq!(values.names(), ["a", "b"]);
        assert_eq!(values.value("a"), Some("3"));
    }

    #[test]
    fn there_is_an_end_to_variables() {
        let mut values = Values::default();
        let set = (0..=MAX_VARIABLES).try_for_each(|number| values.set(&number.to_string(), ""));
        assert_eq!(set, Err(ExpandError::TooMany));
        let large = "x".repeat(MAX_ENVIRONMENT);
        assert_eq!(Values::default().set("a", &large), Err(ExpandError::TooMany));
    }
}
