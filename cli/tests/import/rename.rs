//! `--rename`: a consumer or role whose name the gate refuses is imported under another name.

use crate::place::{OUTSIDE, Place, line_with};

const TABLE: &str = "key,consumer,roles\nStray-Secret-9,José Pérez,read\ncsv-alice-1111aaaa,jose-perez,read\n\
                     csv-dave-3333cccc,dave,Rôle\n";

#[test]
fn the_report_names_the_option_and_the_option_works() {
    let place = Place::new();
    place.write("keys.csv", TABLE);
    let import = ["import", "csv", "keys.csv"];
    let (status, _, said) = place.run(&import, &[]);
    assert_eq!(status, 1, "{said}");
    for (part, option) in [(":2:1:", "--rename 'José Pérez=jose-perez-2'"), (":4:1:", "--rename 'Rôle=role'")] {
        assert!(line_with(&said, part).ends_with(&format!(": rename it with {option}")), "{said}");
    }
    // The same roles: the two consumers become one.
    let renames = ["--rename", "José Pérez=jose-perez", "--rename", "Rôle=admin"];
    let (status, _, said) = place.run(&[&import[..], &renames].concat(), &[]);
    assert!(status == 0 && said.contains("imported 2 keys") && said.contains("1 already there"), "{said}");
    place.write("policy.yaml", "rules: [{path: \"/w\", roles: [admin]}]\n");
    place.decides(&[
        ("GET", "/", "X-API-Key: Stray-Secret-9", OUTSIDE, "allow key"),
        ("GET", "/w", "X-API-Key: Stray-Secret-9", OUTSIDE, "deny missing_role"),
        ("GET", "/w", "X-API-Key: csv-dave-3333cccc", OUTSIDE, "allow key"),
    ]);
    assert_eq!(place.read("keys.json").matches("sha256").count(), 3);
}

#[test]
fn two_consumers_become_one_only_if_their_roles_are_the_same() {
    let place = Place::new();
    place.write("keys.csv", "key,consumer,roles\nStray-Secret-9,a,read\ncsv-alice-1111aaaa,b b,write\n");
    let (status, _, said) = place.run(&["import", "csv", "keys.csv", "--rename", "b b=a"], &[]);
    assert!(status == 1 && line_with(&said, ":3:1:").contains("consumer a already has the roles read"), "{said}");
}

/// A role that the gate accepts may be in rules, so the option does not change it.
#[test]
fn only_a_role_that_is_refused_is_renamed() {
    let place = Place::new();
    place.write("keys.csv", "key,consumer,roles\nStray-Secret-9,admin,admin\n");
    let (status, _, said) = place.run(&["import", "csv", "keys.csv", "--rename", "admin=ops"], &[]);
    assert!(status == 0 && place.read("keys.json").contains(r#""ops": {"roles": ["admin"]"#), "{said}");
}

#[test]
fn a_group_of_kong_has_the_new_name_in_rules_too() {
    let place = Place::new();
    place.write(
        "kong.yaml",
        "consumers: [{username: a, keyauth_credentials: [{key: Stray-Secret-9}], acls: [{group: Ventas España}]}]\n\
         plugins: [{name: key-auth, config: {key_names: [x-api-key]}}, {name: acl, config: {allow: [Ventas España]}}]\n",
    );
    let import = ["import", "kong", "kong.yaml"];
    let (_, _, said) = place.run(&[&import[..], &["--dry-run"]].concat(), &[]);
    assert!(said.contains("--rename 'Ventas España=ventas-espana'"), "{said}");
    let (status, _, said) = place.run(&[&import[..], &["--rename", "Ventas España=ventas"]].concat(), &[]);
    assert_eq!(status, 0, "{said}");
    place.decides(&[("GET", "/", "X-API-Key: Stray-Secret-9", OUTSIDE, "allow key")]);
}

/// A consumer that has its key as a name gets another name.
#[test]
fn a_name_with_the_key_in_it_is_replaced() {
    let place = Place::new();
    place.write(
        "kong.yaml",
        "consumers: [{username: of-Stray-Secret-9, keyauth_credentials: [{key: Stray-Secret-9}]}]\n",
    );
    let import = ["import", "kong", "kong.yaml"];
    let (status, _, said) = place.run(&import, &[]);
    assert!(status == 1 && said.contains("use another name"), "{said}");
    let (_, _, said) = place.run(&[&import[..], &["--rename", "of-Stray-Secret-9=a"]].concat(), &[]);
    assert!(said.contains("imported 1 key"), "{said}");
}

#[test]
fn an_option_that_is_wrong_or_not_used_is_told() {
    let place = Place::new();
    place.write("keys.csv", "key,consumer\nStray-Secret-9,a\n");
    let import = ["import", "csv", "keys.csv", "--rename"];
    for (options, message) in [
        (&["a=b c"][..], "the new name is refused: invalid consumer name"),
        (&["a="], "the new name is refused"),
        (&["a"], "expected OLD=NEW"),
        (&["=a"], "expected OLD=NEW"),
        (&["a=b", "--rename", "a=c"], "duplicate --rename of \"a\""),
    ] {
        let (status, _, said) = place.run(&[&import[..], options].concat(), &[]);
        assert!(status == 2 && said.contains(message), "{options:?}: {said}");
        assert!(!place.path("keys.json").exists(), "{options:?}");
    }
    let (status, _, said) = place.run(&[&import[..], &["b=c"]].concat(), &[]);
    assert!(status == 0 && said.contains("--rename 'b=c': not used, no consumer and no refused role"), "{said}");
}
