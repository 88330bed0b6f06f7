//! `docs/command/*.md`, as a user follows them: each page in a directory of its own, its files written, its commands run in
//! one shell, and every line that it shows comes back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_tests::console::Page;
use portcullis_tests::paths::{envoy, workspace};

#[test]
fn every_command_of_every_page_does_what_it_says() {
    let directory = workspace().join("docs/command");
    let mut failures = Vec::new();
    let mut pages: Vec<_> =
        fs::read_dir(&directory).expect("docs/command").map(|entry| entry.expect("a page").path()).collect();
    pages.sort();
    for path in &pages {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let page = Page::read(&fs::read_to_string(path).expect("a page is text"));
        assert!(page.commands() > 0, "{name} shows no command");
        failures.extend(run(&page).into_iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(pages.len() >= 8, "only {} pages", pages.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn run(page: &Page) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let (place, out) = (directory.path().join("place"), directory.path().join("out"));
    let programs = directory.path().join("bin");
    for new in [&place, &out, &programs] {
        fs::create_dir(new).expect("a directory in it");
    }
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, programs.join(name)).expect("a link");
    link(&workspace().join("target/release/portcullis"), "portcullis");
    link(&envoy(), "envoy");
    page.write_files(&place);
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new("sh")
        .args(["-c", &page.script(&out)])
        .current_dir(&place)
        .env("PATH", path)
        .env("HOME", &place)
        .env_remove("XDG_CACHE_HOME")
        .stdin(Stdio::null())
        .status()
        .expect("sh runs");
    let mut failures = page.failures(&out);
    if !status.success() {
        failures.push(format!("its shell ends with {status}"));
    }
    failures
}
