//! `portcullis schema` prints what `docs/policy.schema.json` holds.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

#[test]
fn the_schema_of_the_repository_is_what_is_printed() {
    let output =
        Command::cargo_bin("portcullis").expect("the command is built").arg("schema").output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success() && printed.starts_with('{'), "{printed}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.schema.json");
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        fs::write(&file, &printed).expect("the file can be written");
    }
    let held = fs::read_to_string(&file).expect("docs/policy.schema.json is there");
    assert!(
        held == printed,
        "docs/policy.schema.json is not what `portcullis schema` prints: set PORTCULLIS_BLESS=1 once"
    );
}

/// What an editor shows: every member has a remark, and what has a default says it.
#[test]
fn every_member_has_a_description() {
    let output =
        Command::cargo_bin("portcullis").expect("the command is built").arg("schema").output().expect("it runs");
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let mut members = 0;
    let mut found = vec![&schema];
    while let Some(value) = found.pop() {
        for (name, member) in value["properties"].as_object().into_iter().flatten() {
            members += 1;
            assert!(member["description"].as_str().is_some_and(|text| text.len() > 5), "{name}: {member}");
        }
        match value {
            serde_json::Value::Object(inside) => found.extend(inside.values()),
            serde_json::Value::Array(inside) => found.extend(inside),
            _ => {}
        }
    }
    assert!(members >= 40, "only {members} members");
    assert_eq!(schema["properties"]["reply"]["properties"]["realm"]["default"], "portcullis");
}
