//! Words of configurations that the library which reads them spells another way or does not know.

use oci_spec::runtime::Capability;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// Flags of the scheduler: as the specification has them, and as the library does.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];
/// The sets of capabilities of a process.
const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// A document in which no name stands twice in one object: two readers would take two things from it.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(value)) = all.next_element()? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Strict(value))) = all.next_entry::<String, Strict>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// Translates a configuration, and tells the capabilities that nobody knows and that are left out of it (runtime-spec,
/// config, "Linux Process": a value that cannot be mapped to the kernel is to be warned of).
pub(crate) fn translate(config: &mut Value) -> Vec<String> {
    config.get_mut("process").map(translate_process).unwrap_or_default()
}

/// The same for a process alone.
pub(crate) fn translate_process(process: &mut Value) -> Vec<String> {
    let flags = process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        let known = FLAGS.iter().find(|(word, _)| flag == word);
        if let Some((_, word)) = known {
            *flag = Value::from(*word);
        }
    }
    let mut unknown = Vec::new();
    for set in SETS {
        let set = process.get_mut("capabilities").and_then(|sets| sets.get_mut(set));
        let Some(set) = set.and_then(Value::as_array_mut) else { continue };
        set.retain(|name| {
            let is_known = serde_json::from_value::<Capability>(name.clone()).is_ok();
            // What is no word at all is an error of who reads it.
            if let (false, Some(name)) = (is_known, name.as_str())
                && !unknown.iter().any(|one| one == name)
            {
                unknown.push(name.to_owned());
            }
            is_known || !name.is_string()
        });
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_every_depth() {
        let read = |text: &str| serde_json::from_str::<Strict>(text).map(|Strict(value)| value);
        let plain = r#"{"a": [1, -1, 1.5, null, true, "x", {"b": {}}]}"#;
        assert_eq!(read(plain).unwrap(), serde_json::from_str::<Value>(plain).unwrap());
        for twice in [r#"{"a": 1, "a": 1}"#, r#"{"a": [{"b": 1, "b": 2}]}"#] {
            assert!(read(twice).unwrap_err().to_string().contains("duplicate field"), "{twice}");
        }
    }

    #[test]
    fn unknown_capabilities_are_left_out_and_told_once() {
        let mut config = json!({"process": {
            "capabilities": {"bounding": ["CAP_KILL", "CAP_NEW"], "effective": ["CAP_NEW", 7]},
            "scheduler": {"flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]},
        }});
        assert_eq!(translate(&mut config), ["CAP_NEW"]);
        assert_eq!(
            config,
            json!({"process": {
                "capabilities": {"bounding": ["CAP_KILL"], "effective": [7]},
                "scheduler": {"flags": ["SCHED_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"]},
            }})
        );
        assert!(translate(&mut json!({"process": 1})).is_empty());
    }
}
