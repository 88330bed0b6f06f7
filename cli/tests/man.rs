//! `portcullis man`: one page for each command, with the sections that readers of manual pages expect.

mod common;

use std::fs;
use std::process::Command;

use tempfile::TempDir;

fn pages() -> TempDir {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("man1");
    let (code, output, errors) = common::run(&[], &["man", place.to_str().unwrap()], "");
    assert_eq!((code, output.as_str()), (0, ""), "{errors}");
    let count = fs::read_dir(&place).unwrap().count();
    assert_eq!(errors, format!("portcullis: wrote {count} manual pages to {}\n", place.display()));
    directory
}

#[test]
fn every_command_has_a_page_with_its_sections_in_order() {
    let directory = pages();
    let names: Vec<String> = fs::read_dir(directory.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["portcullis.1", "portcullis-run.1", "portcullis-keys-generate.1", "portcullis-man.1"] {
        assert!(names.iter().any(|name| name == page), "{page}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
    for name in names {
        let text = fs::read_to_string(directory.path().join("man1").join(&name)).unwrap();
        let title = name.trim_end_matches(".1").replace('-', r"\-");
        let version = env!("CARGO_PKG_VERSION");
        assert!(text.starts_with(&format!(".TH \"{title}\" \"1\" \"\" \"portcullis {version}\" ")), "{text}");
        let mut rest = text.as_str();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES\n.nf", "EXIT STATUS"] {
            let found = rest.split_once(&format!(".SH {section}\n")).or_else(|| {
                // A name of two words is quoted.
                rest.split_once(&format!(".SH \"{section}\"\n"))
            });
            rest = found.unwrap_or_else(|| panic!("{name} has no {section} there: {text}")).1;
        }
        assert!(!rest.trim().is_empty() && !text.contains(".SH EXTRA"), "{text}");
    }
}

/// Only where the tools are: without them there is nothing that reads a page.
#[test]
fn a_formatter_shows_the_lines_of_the_examples_as_they_are() {
    let directory = pages();
    let page = directory.path().join("man1/portcullis-keys.1");
    let Ok(output) = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(&page).output() else {
        eprintln!("NOT CHECKED: how groff formats the pages, for want of groff");
        return;
    };
    let (text, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(warnings, "");
    assert!(text.lines().any(|line| line.trim() == "portcullis keys list"), "{text}");
}
