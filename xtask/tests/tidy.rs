//! Who may import whom (docs: ARCHITECTURE.md), read from the `use crate::` lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// Every `.rs` file below a folder, with its text up to the tests.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
                let text = std::fs::read_to_string(&path).expect("a text");
                let code = text
                    .split("#[cfg(test)]\nmod")
                    .next()
                    .unwrap_or_default()
                    .to_string();
                found.push((path, code));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", folder.display());
    found
}

fn is_test(path: &Path) -> bool {
    let test_names = ["tests", "contract", "model", "workload"];
    path.iter()
        .any(|part| test_names.iter().any(|t| part == std::ffi::OsStr::new(t)))
        || path
            .file_stem()
            .is_some_and(|stem| test_names.iter().any(|t| stem == std::ffi::OsStr::new(t)))
}

/// The module right below the crate root that a file belongs to.
fn module(src: &Path, file: &Path) -> String {
    let first = file
        .strip_prefix(src)
        .expect("below src")
        .iter()
        .next()
        .expect("a name");
    let first = first.to_string_lossy();
    first.strip_suffix(".rs").unwrap_or(&first).to_string()
}

/// Modules of the own crate that a text names with `crate::…`.
fn imports(code: &str) -> BTreeSet<String> {
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or_default();
            found.extend(list.split(',').map(|name| {
                name.trim()
                    .split("::")
                    .next()
                    .unwrap_or_default()
                    .to_string()
            }));
        } else {
            found.insert(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    found
}

fn check(src: &Path, allowed: &[(&str, &str)]) {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = allowed
        .iter()
        .map(|(module, may)| (*module, may.split_whitespace().collect()))
        .collect();
    let mut wrong = Vec::new();
    for (file, code) in sources(src) {
        let from = module(src, &file);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(may) = allowed.get(from.as_str()) else {
            wrong.push(format!(
                "{}: module `{from}` has no place in the order of imports",
                file.display()
            ));
            continue;
        };
        for to in imports(&code) {
            if to != from && !may.contains(to.as_str()) && !may.contains("*") {
                wrong.push(format!(
                    "{}: `{from}` may not import `{to}`",
                    file.display()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports against the order:\n{}",
        wrong.join("\n")
    );
}

/// values → pure cores → tier traits and adapters → guards → engine.
#[test]
fn sync_engine_imports_point_one_way() {
    let values = "limits error config env item state ingest";
    let order = |more: &str| format!("{values} {more}");
    let rules = [
        ("limits", String::new()),
        ("state", String::new()),
        ("env", String::new()),
        ("item", "limits".into()),
        ("config", "limits item".into()),
        ("error", "config item ingest state limits".into()),
        ("ingest", "env error item limits config".into()),
        ("wal", order("")),
        ("l1", order("wal")),
        ("merkle", order("l3")),
        ("filter", order("merkle")),
        ("link", order("")),
        ("l2", order("link")),
        ("l3", order("merkle")),
        ("batch", order("l1 l2")),
        ("cdc", order("link")),
        ("guard", order("l2 l3 merkle")),
        ("engine", "*".into()),
    ];
    let rules: Vec<(&str, &str)> = rules
        .iter()
        .map(|(module, may)| (*module, may.as_str()))
        .collect();
    check(&workspace().join("crates/sync-engine/src"), &rules);
}

/// A driver is named only by its adapter.
#[test]
fn drivers_stay_in_their_adapters() {
    let src = workspace().join("crates/sync-engine/src");
    let homes = [
        ("redis::", ["link", "l2", "cdc"].as_slice()),
        ("rusqlite::", ["l3", "wal"].as_slice()),
        ("mysql_async::", ["l3"].as_slice()),
        ("metrics::", ["engine", "guard"].as_slice()),
        (
            "tracing::",
            ["engine", "guard", "l2", "l3", "wal", "cdc", "link"].as_slice(),
        ),
    ];
    let mut wrong = Vec::new();
    for (file, code) in sources(&src) {
        let module = module(&src, &file);
        for (driver, home) in homes {
            let named = code.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with(&format!("use {driver}"))
                    || (line.contains(&format!(" {driver}")) && !line.starts_with("//"))
            });
            if named && !home.contains(&module.as_str()) {
                wrong.push(format!(
                    "{}: `{driver}` outside of {home:?}",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_what_it_should() {
    let code = "use crate::item::Key;\nuse crate::{wal::Wal, l1};\nlet x = crate::engine::f();\n// crate::nothing\nuse crate::Top;";
    let seen: Vec<String> = imports(code).into_iter().collect();
    assert_eq!(seen, ["engine", "item", "l1", "wal"]);
}
