//! The bytes of a `config.json`: the same for the same config.

use oci_spec::runtime::Spec;
use serde_json::{Map, Value};

use super::capabilities;

/// The config as JSON, with sorted keys; sets of capabilities in the kernel's order.
pub(super) fn bytes(spec: &Spec) -> serde_json::Result<Vec<u8>> {
    let mut value = sorted(serde_json::to_value(spec)?);
    let sets = value.pointer_mut("/process/capabilities").and_then(Value::as_object_mut);
    let ranks = capabilities::ranks();
    for set in sets.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut) {
        set.sort_by_key(|name| name.as_str().and_then(|name| ranks.get(name)).copied());
    }
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The same with the keys of every object in order, whatever order the library keeps them in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
