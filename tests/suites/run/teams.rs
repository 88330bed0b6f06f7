//! `portcullis run` with the files of a platform and its teams.

use std::path::Path;
use std::process::Command;

use portcullis::keys::Digest;
use portcullis_tests::bytes::said;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll};

use super::gate::{Gate, folder};
use super::{KEY, SECOND, TOKEN, store};

const TEAM: &str = "consumers: [{name: ci, roles: [a]}]\nrules: [{path: '/team-a/**', roles: [a]}]\n";

fn platform() -> String {
    let digest = Digest::of(KEY.as_bytes()).to_hex();
    format!(
        "name: run\nconsumers: [{{name: ops, roles: [admin], keys: [{{sha256: '{digest}'}}]}}]\n\
         delegations: [{{file: team-a, prefix: /team-a}}]\nfinal_rules: [{{path: '/**', roles: [admin]}}]\n"
    )
}

#[test]
fn the_files_of_teams_are_live_and_a_refused_one_opens_nothing() {
    let upstream = Upstream::start();
    let files = [("policy.yaml", platform()), ("team-a.yaml", TEAM.to_owned()), ("team-a.keys.json", store(SECOND))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let folder = folder(&files);
    let place = folder.path().to_owned();
    let gate = Gate::start(folder, upstream.address(), &[".", "--admin", "127.0.0.1:0"], &[]);
    let statuses = |key: &str| ["/team-a/x", "/x"].map(|path| gate.status(path, &[("x-api-key", key)]));
    assert_eq!((statuses(KEY), statuses(SECOND), statuses(TOKEN)), ([403, 200], [200, 403], [401, 401]));
    // The digest is that of all files.
    let admin = gate.address("admin interface is at http://").to_string();
    let status = |policy: &Path| {
        let arguments = [Path::new("status"), policy, Path::new("--admin"), Path::new(&admin)];
        Command::new(paths::command()).args(arguments).output().expect("the command starts")
    };
    let output = status(&place);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    gate.write("team-a.yaml", &format!("{TEAM}mode: disabled\n"));
    gate.waits_for("team-a.yaml:3:1: mode: only ./policy.yaml may have this field");
    gate.waits_for("The previous policy stays active");
    assert_eq!((statuses(KEY), statuses(SECOND), statuses(TOKEN)), ([403, 200], [200, 403], [401, 401]));
    // A key is revoked while the file of its team is refused.
    gate.write("team-a.keys.json", &store(TOKEN));
    poll::until("the key is revoked", || (statuses(SECOND) == [401, 401]).then_some(()));
    assert_eq!((statuses(KEY), statuses(TOKEN)), ([403, 200], [401, 401]));
    gate.write("team-a.yaml", TEAM);
    poll::until("the new key is live", || (statuses(TOKEN) == [200, 403]).then_some(()));

    // A team that is added, without a delegation: it has consumers alone.
    let digest = Digest::of(SECOND.as_bytes()).to_hex();
    gate.write("team-b.yaml", &format!("consumers: [{{name: b, roles: [b], keys: [{{sha256: '{digest}'}}]}}]\n"));
    poll::until("its key is live", || (statuses(SECOND) == [403, 403]).then_some(()));
    assert_eq!(status(&place).status.code(), Some(0));
    gate.write("team-b.yaml", &format!("consumers: [{{name: b, roles: [admin], keys: [{{sha256: '{digest}'}}]}}]\n"));
    gate.waits_for("consumers[0].roles[0]: a rule of another file names this role: ./policy.yaml:4:");
    assert_eq!(statuses(SECOND), [403, 403]);
}
