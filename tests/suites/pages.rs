//! `docs/command/*.md`, how-to guides and the tutorial, followed as a user does, on a real Envoy: the same Envoy rejects a revoked
//! key within 2 seconds.

use std::collections::BTreeSet;
use std::fs;

use libtest_mimic::{Arguments, Trial};
use portcullis_tests::follow::follow;
use portcullis_tests::paths::workspace;

const GUIDES: [&str; 19] = [
    "guides/deepaas.md",
    "guides/denied.md",
    "guides/fastapi.md",
    "guides/grpc.md",
    "guides/kubernetes-secrets.md",
    "guides/move.md",
    "guides/ollama.md",
    "guides/orchestra.md",
    "guides/readiness.md",
    "guides/report-to-enforce.md",
    "guides/roll-back.md",
    "guides/rotate.md",
    "guides/rxinfer.md",
    "guides/streaming.md",
    "guides/teams.md",
    "guides/triton.md",
    "guides/vllm.md",
    "guides/web-pages.md",
    "tutorial.md",
];

fn main() {
    let docs = workspace().join("docs");
    let entries = fs::read_dir(docs.join("command")).expect("docs/command").map(|entry| entry.expect("a page"));
    let names = entries.map(|entry| format!("command/{}", entry.file_name().to_string_lossy()));
    let names: BTreeSet<_> = names.chain(GUIDES.map(str::to_owned)).collect();
    let trials = names.into_iter().map(|name| {
        let page = fs::read_to_string(docs.join(&name)).expect("a page is text");
        Trial::test(name.clone(), move || {
            follow(&name, &page);
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
