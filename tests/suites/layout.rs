//! The layout of `src/`, as ARCHITECTURE.md has it: imports between folders go one way, and no two files import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The folders, each above those that it may import.
const FOLDERS: [&str; 7] = ["filter", "decision", "document", "keys", "request", "path", "value"];

/// The modules that each module imports, without its unit tests. Modules are paths such as `path::trie::walk`.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let files: Vec<_> =
        walkdir::WalkDir::new(&src).into_iter().map(|entry| entry.expect("a folder").into_path()).collect();
    let files = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let texts: BTreeMap<String, String> = files
        .map(|file| {
            let name = file.strip_prefix(&src).expect("in src").with_extension("");
            let module = name.iter().map(|part| part.to_str().expect("UTF-8")).collect::<Vec<_>>().join("::");
            (module, fs::read_to_string(file).expect("a source"))
        })
        .collect();
    let imported = |module: &String, text: &String| {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let statements = code.split('\n').enumerate().filter_map(|(number, line)| {
            let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
            let rest = code.split('\n').skip(number + 1).collect::<Vec<_>>().join(" ");
            let statement = format!("{} {rest}", line.strip_prefix("use ")?);
            statement.split_once(';').map(|(statement, _)| statement.to_owned())
        });
        let paths = statements.flat_map(|statement| {
            let path = match (statement.strip_prefix("crate::"), statement.strip_prefix("super::")) {
                (Some(path), _) => path.to_owned(),
                (_, Some(path)) => format!("{parent}::{path}"),
                _ => return Vec::new(),
            };
            let (prefix, items) = path.split_once('{').unwrap_or((&path, ""));
            items.trim_end_matches('}').split(',').map(|item| format!("{prefix}{}", item.trim())).collect()
        });
        // The module that is meant is the longest one with which the path begins.
        let meant = |path: String| {
            let known = texts.keys().filter(|known| path == **known || path.starts_with(&format!("{known}::")));
            let known = known.max_by_key(|known| known.len()).cloned();
            let is_known = known.is_some() || path.split("::").next().is_some_and(|folder| FOLDERS.contains(&folder));
            assert!(is_known || module == "secrecy", "{module} imports {path}: name the module that defines it");
            known
        };
        paths.filter_map(meant).filter(|other| other != module).collect()
    };
    texts.iter().map(|(module, text)| (module.clone(), imported(module, text))).collect()
}

fn level(module: &str) -> Option<usize> {
    let folder = module.split("::").next()?;
    FOLDERS.iter().position(|known| *known == folder)
}

#[test]
fn folders_import_only_folders_below_them() {
    let imports = imports();
    let count: usize = imports.values().map(BTreeSet::len).sum();
    assert!(count > 150, "control: there are imports, {count} of them");
    for (module, others) in &imports {
        for other in others {
            let levels = level(module).zip(level(other));
            assert!(levels.is_none_or(|(upper, lower)| upper <= lower), "{module} imports {other}, which is above it");
        }
    }
}

#[test]
fn no_two_files_import_each_other() {
    let mut imports = imports();
    // Takes away what imports nothing that is left. What remains is in a circle, or leads to one.
    loop {
        let done: Vec<String> =
            imports.iter().filter(|(_, others)| others.is_empty()).map(|(one, _)| one.clone()).collect();
        if done.is_empty() {
            break;
        }
        for module in done {
            imports.remove(&module);
            for others in imports.values_mut() {
                others.remove(&module);
            }
        }
    }
    assert!(imports.is_empty(), "imports in a circle: {imports:#?}");
}

#[test]
fn every_folder_is_in_architecture_md() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md")).expect("the page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("/` |"));
    let rows: Vec<&str> = rows.map(|(folder, _)| folder).filter(|folder| !folder.contains('/')).collect();
    assert_eq!(rows, FOLDERS);
    let modules: BTreeSet<_> =
        imports().into_keys().filter_map(|module| Some(module.split_once("::")?.0.to_owned())).collect();
    assert_eq!(modules, FOLDERS.map(str::to_owned).into());
}
