//! Attributes: values of several files, laid over each other.

use serde_json::{Map, Value};

use crate::ProjectError;

/// Most bytes of a file of attributes.
pub const MAX_VALUES: usize = 1024 * 1024;

/// How deep names on the command line go.
const MAX_DEPTH: usize = 32;

/// The attributes that templates see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectValues(Map<String, Value>);

impl ProjectValues {
    /// Lays a file over what is there: tables are merged, everything else is replaced. The end of its name says
    /// what it is: `.toml`, `.yaml`, `.yml` or `.json`.
    ///
    /// # Errors
    /// Where it is too large, does not read, or is no table.
    pub fn lay(&mut self, file: &str, text: &str) -> Result<(), ProjectError> {
        if text.len() > MAX_VALUES {
            return Err(ProjectError::TooLarge { file: file.to_owned(), limit: MAX_VALUES });
        }
        let wrong = |why: String| ProjectError::Values { file: file.to_owned(), why };
        let value = match file.rsplit_once('.').map(|(_, end)| end) {
            Some("toml") => toml::from_str(text).map_err(|error| wrong(error.to_string()))?,
            Some("json") => serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?,
            Some("yaml" | "yml") => {
                serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?
            }
            _ => return Err(wrong("attributes are .toml, .yaml, .yml or .json".to_owned())),
        };
        match value {
            Value::Object(more) => merge(&mut self.0, more),
            // A YAML file of comments.
            Value::Null => {}
            _ => return Err(wrong("attributes are a table of names".to_owned())),
        }
        Ok(())
    }

    /// Sets one value: `a.b=1`. What reads as JSON is that, everything else is text.
    ///
    /// # Errors
    /// Where there is no name, or it leads through what is no table.
    pub fn set(&mut self, text: &str) -> Result<(), ProjectError> {
        let wrong = |why| ProjectError::Set { text: text.to_owned(), why };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("write NAME=VALUE"))?;
        let names: Vec<&str> = name.split('.').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(wrong("a part of the name is empty"));
        }
        if names.len() > MAX_DEPTH {
            return Err(wrong("the name has too many parts"));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let (last, above) = names.split_last().ok_or_else(|| wrong("there is no name"))?;
        let mut table = &mut self.0;
        for name in above {
            let inner = table.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            table = inner.as_object_mut().ok_or_else(|| wrong("a part of the name is no table"))?;
        }
        table.insert((*last).to_owned(), value);
        Ok(())
    }

    /// Those of a table.
    pub fn of(values: Map<String, Value>) -> Self {
        Self(values)
    }

    /// Lays others over what is there, as [`ProjectValues::lay`] does.
    pub fn lay_over(&mut self, others: &Self) {
        merge(&mut self.0, others.0.clone());
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (_, value) => drop(under.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(values: &ProjectValues) -> Value {
        Value::Object(values.all().clone())
    }

    #[test]
    fn files_are_laid_over_each_other() {
        let mut values = ProjectValues::default();
        values.lay("1.toml", "a = 1\n[t]\nx = 1\ny = [1, 2]\n").unwrap();
        values.lay("2.yaml", "t: {y: [3], z: yes}\n").unwrap();
        values.lay("3.json", "{\"a\": {\"b\": null}}").unwrap();
        values.lay("4.yml", "# nothing\n").unwrap();
        assert_eq!(all(&values)["t"]["y"], json!([3]));
        assert_eq!((&all(&values)["t"]["x"], &all(&values)["a"]), (&json!(1), &json!({"b": null})));
        for (file, text) in
            [("a.json", "[1]"), ("a.toml", "x"), ("a.yaml", "- 1"), ("a.ini", "x=1"), ("a", "")]
        {
            let error = values.lay(file, text).unwrap_err().to_string();
            assert!(error.starts_with(file), "{error}");
        }
        let large = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_VALUES));
        assert!(matches!(values.lay("a.json", &large), Err(ProjectError::TooLarge { .. })));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let name = format!("*a{}", level - 1);
            let row = vec![name; 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        assert!(ProjectValues::default().lay("a.yaml", &bomb).is_err());
    }

    #[test]
    fn what_is_set_is_set_at_its_place() {
        let mut values = ProjectValues::default();
        for text in ["a.b=1", "a.c=x=y", "d=[1]", "e=", "f=\"1\""] {
            values.set(text).unwrap();
        }
        let expected = json!({"a": {"b": 1, "c": "x=y"}, "d": [1], "e": "", "f": "1"});
        assert_eq!(all(&values), expected);
        let deep = format!("{}=1", vec!["a"; 40].join("."));
        for text in ["a", "=1", "a..b=1", ".=1", "d.x=1", deep.as_str()] {
            assert!(values.set(text).is_err(), "{text}");
        }
    }
}
