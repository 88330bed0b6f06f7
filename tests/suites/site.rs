//! The site that `make docs` builds: every page of docs/ is in it, in the order of docs/README.md; its links, those to other
//! files too, and its search work; a broken link fails it. The pictures of a terminal show what the commands print today.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_tests::bytes::said;
use portcullis_tests::packed::{add_build, apart, done};
use portcullis_tests::paths::{copy_of_the_source, envoy, workspace};
use tempfile::TempDir;
use walkdir::WalkDir;

/// Runs scripts/docs of a folder, with arguments.
fn build(source: &Path, arguments: &[&str]) -> Output {
    let mut script = Command::new("python3");
    script.arg(source.join("scripts/docs")).args(arguments).env_remove("GITHUB_REPOSITORY");
    apart(&mut script).output().expect("python3 starts")
}

/// The site of this folder, with more arguments.
fn site(arguments: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().display().to_string();
    done(build(&workspace(), &[&["--output", &output], arguments].concat()));
    folder
}

/// Lets a copy of the source have the tools that are fetched here.
fn with_tools(copy: &Path) {
    fs::create_dir(copy.join(".cache")).expect("a folder");
    symlink(workspace().join(".cache/tools"), copy.join(".cache/tools")).expect("a link");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.expect("a file").into_path());
    all.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// A file at the top of the site whose name has a digest in it.
fn hashed(site: &Path, begin: &str, ending: &str) -> String {
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin));
    read(&files(site, ending).into_iter().find(is_it).unwrap_or_else(|| panic!("there is no {begin}*.{ending}")))
}

/// The page of the site that a Markdown file becomes.
fn built(site: &Path, page: &Path) -> String {
    let page = page.strip_prefix(workspace()).expect("a page of the repository");
    let name =
        if page.ends_with("README.md") { page.with_file_name("index.html") } else { page.with_extension("html") };
    read(&site.join(name))
}

#[test]
fn the_site_has_every_page_in_its_part_and_finds_it() {
    let playground = tempfile::tempdir().expect("a folder");
    fs::write(playground.path().join("index.html"), "<title>a playground</title>").expect("a file");
    let folder = site(&["--playground", &playground.path().display().to_string()]);
    let site = folder.path();
    let contents = hashed(site, "toc-", "js");
    let index = hashed(site, "searchindex-", "js");
    for page in files(&workspace().join("docs"), "md") {
        let html = built(site, &page);
        let heading = read(&page).lines().next().and_then(|line| line.strip_prefix("# ")).map(str::to_owned);
        let heading = heading.unwrap_or_else(|| panic!("{} begins with its title", page.display()));
        assert!(html.contains("<h1 id="), "{}", page.display());
        // As text: titles may have code and quotes in them.
        let word = heading.split([' ', '`', '…', ':', ',', '?']).max_by_key(|word| word.len()).expect("a word");
        assert!(contents.contains(word) && index.contains(word), "{}: {heading}", page.display());
    }
    for part in ["Tutorial", "How-to guides", "Reference", "Explanation", "Project"] {
        assert!(contents.contains(&format!(">{part}</li>")), "the table of contents has no part {part}");
    }
    for page in ["SECURITY.html", "CONTRIBUTING.html", "ARCHITECTURE.html", "CHANGELOG.html", "monitoring/index.html"] {
        assert!(site.join(page).is_file(), "{page}");
    }
    for page in files(site, "html") {
        let html = read(&page);
        for markup in ["&lt;!--", "[!NOTE]", "[!WARNING]", "[!IMPORTANT]", "[!TIP]", "[!CAUTION]"] {
            assert!(!html.contains(markup), "{} shows {markup}", page.display());
        }
    }
    assert!(site.join("docs/architecture.svg").is_file() && site.join("bench/results/latest.svg").is_file());
    assert!(read(&site.join("playground/index.html")).contains("a playground"));
    assert!(site.join("envoy/envoy.yaml").is_file(), "a file that a page links to");
}

#[test]
fn with_a_repository_other_files_are_links_to_it() {
    let folder = site(&["--repository", "https://git.example.com/me/gate", "--playground", "/nonexistent"]);
    let site = folder.path();
    let pages: String = files(site, "html").iter().map(|page| read(page)).collect();
    for link in ["blob/main/envoy/envoy.yaml", "tree/main/envoy", "edit/main/docs/security-model.md"] {
        assert!(pages.contains(&format!("href=\"https://git.example.com/me/gate/{link}\"")), "{link}");
    }
    assert!(!site.join("envoy").exists() && !site.join("playground").exists(), "no copies");
    assert!(read(&site.join("404.html")).contains("<base href=\"/gate/\">"));
}

#[test]
fn a_broken_link_and_a_lost_page_fail() {
    let copy = copy_of_the_source();
    let (readme, index) = (copy.path().join("README.md"), copy.path().join("docs/README.md"));
    with_tools(copy.path());
    let fails = |file: &Path, text: &str, status: i32, message: &str| {
        let before = read(file);
        fs::write(file, format!("{before}\n{text}\n")).expect("the file can be written");
        let output = build(copy.path(), &[]);
        let text = said(&output);
        assert!(output.status.code() == Some(status) && text.contains(message), "{message}: {text}");
        assert!(!copy.path().join("target/site").exists(), "what is broken is not published");
        fs::write(file, before).expect("the file can be written");
    };
    fails(&readme, "[no such part](docs/security-model.md#no-such-part)", 1, "security-model.html#no-such-part");
    fails(
        &readme,
        "[no such page](docs/no-such-page.md)",
        2,
        "README.md links to docs/no-such-page.md, which does not exist",
    );
    let lost = copy.path().join("docs/lost.md");
    fs::write(&lost, "# Lost\n").expect("a page");
    fails(&readme, "", 2, "no page links to docs/lost.md: add it to docs/README.md");
    fails(&readme, "[lost](docs/lost.md)", 2, "docs/README.md names neither docs/lost.md nor");
    fails(&index, "[lost](lost.md)\n\n[no such part](#no-such-part)", 1, "#no-such-part");
    fs::remove_file(lost).expect("it is there");
    let other = build(copy.path(), &["--output", &copy.path().join("tests").display().to_string()]);
    assert!(said(&other).contains("has other files than a site"), "{}", said(&other));

    // The control: nothing else is wrong. A link to the source of the playground leads to the playground.
    for folder in ["playground", "target/playground"] {
        fs::create_dir_all(copy.path().join(folder)).expect("a folder");
    }
    fs::write(copy.path().join("target/playground/index.html"), "<title>a playground</title>").expect("a file");
    fs::write(&readme, format!("{}\n[try it](playground/)\n", read(&readme))).expect("the file can be written");
    done(build(copy.path(), &["--repository", "https://git.example.com/me/gate"]));
    let start = read(&copy.path().join("target/site/index.html"));
    assert!(start.contains(r#"href="playground/index.html""#), "{start}");
}

/// On a real Envoy, in front of the sample service.
#[test]
fn the_pictures_of_a_terminal_show_what_is_printed_today() {
    let check = |source: &Path| {
        let mut script = Command::new("python3");
        script.arg(source.join("scripts/record")).arg("--check").env("PORTCULLIS_ENVOY", envoy());
        apart(&mut script).output().expect("python3 starts")
    };
    done(check(&workspace()));
    for name in ["first-minutes.svg", "check.svg"] {
        let picture = read(&workspace().join("docs").join(name));
        assert!(picture.len() < 200_000, "{name}");
        for other in ["<script", "href", "url(", "@import", "foreignObject"] {
            assert!(!picture.contains(other), "{name} has {other}");
        }
        let keys =
            picture.split("pk_").skip(1).map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric()).count());
        assert!(keys.into_iter().all(|length| length < 8), "{name} shows a whole key");
    }
    let moving = read(&workspace().join("docs/first-minutes.svg"));
    assert!(moving.contains("pk_") && moving.contains("prefers-reduced-motion") && !moving.contains("infinite"));

    // The control: a message that nothing prints.
    let copy = copy_of_the_source();
    add_build(copy.path());
    let backend = "target/release/portcullis-backend";
    fs::copy(workspace().join(backend), copy.path().join(backend)).expect("the backend is there: run `make build`");
    with_tools(copy.path());
    let picture = copy.path().join("docs/check.svg");
    fs::write(&picture, read(&picture).replace("missing_role", "no_such_reason")).expect("the picture can be written");
    let output = check(copy.path());
    assert!(output.status.code() == Some(1) && said(&output).contains("no_such_reason"), "{}", said(&output));
}

/// Two files, because a picture in a README cannot know the theme of GitHub by itself.
#[test]
fn the_drawing_of_the_readme_is_the_same_in_light_and_dark() {
    let [light, dark] = ["light", "dark"].map(|name| {
        let text = read(&workspace().join(format!("docs/overview-{name}.svg")));
        let (before, rest) = text.split_once("<style>").expect("it has its colours");
        let (style, after) = rest.split_once("</style>").expect("it has its colours");
        (format!("{before}{after}"), style.to_owned())
    });
    assert_eq!(light.0, dark.0);
    assert_ne!(light.1, dark.1);
}
