//! Reports follow the schema that `corten reference schema` prints. The checker knows the part of
//! JSON Schema that the schemas use and fails on any other, so it cannot pass by not looking.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::User;

/// Fails unless `report` is what the schema of the verb of `line` says, and says nothing beyond it.
pub(crate) fn assert_follows(line: &str, report: &Value) {
    let schemas: Value = serde_json::from_str(&User::new().ok("reference schema")).unwrap();
    let schemas = schemas.as_object().unwrap();
    // A verb has one word or two: `gc`, `store check`.
    let named = |verb: &&String| format!("{line} ").starts_with(&format!("{verb} "));
    let verb = schemas.keys().filter(named).max_by_key(|verb| verb.len());
    let verb = verb.unwrap_or_else(|| panic!("no schema for {line}"));
    let schema = &schemas[verb];
    check(schema, schema, report, verb);
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    if schema.as_bool() == Some(true) {
        return;
    }
    let known = BTreeSet::from([
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "description",
        "format",
        "items",
        "minimum",
        "maximum",
        "properties",
        "required",
        "title",
        "type",
    ]);
    for key in schema.as_object().unwrap_or_else(|| panic!("{at}: {schema}")).keys() {
        assert!(known.contains(key.as_str()), "{at}: the checker does not know {key}");
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        return check(root, &root["$defs"][name], value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        // Only "this or null" is met.
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null());
        return check(root, choice.unwrap(), value, at);
    }
    check_type(&schema["type"], value, at);
    if let Some(minimum) = schema["minimum"].as_i64()
        && let Some(number) = value.as_i64()
    {
        assert!(number >= minimum, "{at}: {number}");
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| check(root, &schema["items"], item, at));
    }
    if let Some(object) = value.as_object() {
        check_object(root, schema, object, at);
    }
}

fn check_type(wanted: &Value, value: &Value, at: &str) {
    if wanted.is_null() {
        return;
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = wanted == is || wanted.as_array().is_some_and(|list| list.iter().any(|w| w == is));
    assert!(fits, "{at}: {value} is not {wanted}");
}

fn check_object(root: &Value, schema: &Value, object: &serde_json::Map<String, Value>, at: &str) {
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().unwrap()), "{at}: {name} is missing");
    }
    for (name, value) in object {
        let at = format!("{at}/{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(property), _) => check(root, property, value, &at),
            (None, Some(other)) => check(root, other, value, &at),
            (None, None) => panic!("{at}: the schema says nothing of it"),
        }
    }
}

#[test]
fn every_verb_that_reports_has_a_schema() {
    let schemas: Value = serde_json::from_str(&User::new().ok("reference schema")).unwrap();
    let there: BTreeSet<&str> =
        schemas.as_object().unwrap().keys().filter_map(|verb| verb.split(' ').next()).collect();
    let silent = ["attach", "cat", "completion", "events", "exec", "logs", "oci", "reference"];
    for verb in corten::cli::command().get_subcommands().map(clap::Command::get_name) {
        assert_eq!(there.contains(verb), !silent.contains(&verb), "{verb}");
    }
}

#[test]
#[should_panic(expected = "the schema says nothing of it")]
fn a_report_with_more_than_its_schema_is_noticed() {
    let report = serde_json::json!({"name": "a", "digest": "b", "more": 1});
    assert_follows("tag", &report);
}

#[test]
#[should_panic(expected = "is missing")]
fn a_report_with_less_than_its_schema_is_noticed() {
    assert_follows("tag", &serde_json::json!({"name": "a"}));
}
