use std::fs;
use std::path::Path;

use super::code::{only_code, without_tests};
use super::tree::Tree;
use super::{Complaint, arrows, code, documents, examples, lexicon, words};

/// A tree of these files, checked by one rule; each complaint as it is printed.
fn check(rule: fn(&Tree) -> Vec<Complaint>, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let tree = Tree::read(dir.path()).unwrap();
    rule(&tree).iter().map(Complaint::to_string).collect()
}

#[test]
fn a_long_file_is_refused_but_long_tests_are_not() {
    let long = "fn f() {}\n".repeat(801);
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    let files = [
        ("crates/x/src/long.rs", long.as_str()),
        ("crates/x/src/tested.rs", tests.as_str()),
        ("crates/x/tests/it/main.rs", long.as_str()),
    ];
    assert_eq!(
        check(code::sizes, &files),
        ["crates/x/src/long.rs: 801 lines without its tests; 800 is the limit"]
    );
}

#[test]
fn empty_names_and_mod_files_are_refused() {
    let files = [
        ("crates/x/src/utils.rs", ""),
        ("crates/x/src/foo/mod.rs", ""),
        ("crates/x/src/frames.rs", ""),
    ];
    assert_eq!(check(code::names, &files).len(), 2);
}

#[test]
fn forbidden_words_count_only_in_shipped_code() {
    let text = "fn f() {\n    // todo!() in a comment\n    let a = \"dbg!(x)\";\n    g().unwrap();\n}\n\
        #[cfg(test)]\nmod tests {\n    fn t() { g().unwrap(); }\n}\n";
    assert_eq!(
        check(words::check, &[("crates/x/src/a.rs", text)]),
        ["crates/x/src/a.rs:4: `.unwrap()`: return the error, or `expect` with the invariant"]
    );
}

#[test]
fn literals_and_comments_are_blanked_and_offsets_stay() {
    let text = "let a = r#\"x\"y\"#; let b = '\"'; /* c */ fn f<'a>(x: &'a str) {} // d\n";
    let code = only_code(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains('x') || code.contains("(x:"));
    assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
    assert!(!code.contains(" c ") && !code.contains('"'), "{code}");
}

#[test]
fn a_test_item_without_a_body_ends_at_its_semicolon() {
    let code = "#[cfg(test)]\nmod tests;\nfn kept() {}\n";
    assert!(without_tests(code).contains("fn kept"));
    assert!(!without_tests(code).contains("mod tests"));
}

#[test]
fn siblings_must_not_import_each_other() {
    let edge = "[package]\nname = \"stead-edge\"\n[dependencies]\nstead-agent.workspace = true\n";
    let files = [("crates/stead-edge/Cargo.toml", edge)];
    assert_eq!(
        check(arrows::check, &files),
        [
            "crates/stead-edge/Cargo.toml: `stead-edge` must not use `stead-agent`: arrows point down only"
        ]
    );
}

#[test]
fn the_model_may_not_wait_or_read() {
    let manifest = "[package]\nname = \"stead-model\"\n[dependencies]\ntokio = \"1\"\n";
    let files = [
        ("crates/stead-model/Cargo.toml", manifest),
        (
            "crates/stead-model/src/lib.rs",
            "use std::fs;\nuse std::path::Path;\n",
        ),
    ];
    assert_eq!(check(arrows::purity, &files).len(), 2);
}

#[test]
fn synonyms_are_refused_in_documents() {
    let files = [(
        "docs/guide.md",
        "It is fine.\nThe reverse proxy forwards.\n",
    )];
    assert_eq!(
        check(lexicon::check, &files),
        ["docs/guide.md:2: `reverse proxy` is not in the lexicon: edge"]
    );
}

#[test]
fn a_broken_link_is_found_and_a_good_one_is_not() {
    let files = [
        (
            "docs/a.md",
            "[up](../README.md) [gone](b.md) [out](https://example.com) `[x](y)`\n",
        ),
        (
            "README.md",
            "[dir](docs/) [here](#there)\n```\n[no](link.md)\n```\n",
        ),
    ];
    assert_eq!(
        check(documents::links, &files),
        ["docs/a.md:1: the link to `b.md` leads nowhere"]
    );
}

#[test]
fn commands_in_documents_must_exist() {
    let readme = "```sh\ncargo run --release -- up examples/guestbook\ncargo xtask test\n```\n\
        Then `stead fly`, `stead up --watch --high`, `cargo xtask bake`, `cargo xtask bench --quick`.\n";
    let up = "struct Arguments {\n    watch: bool,\n}\n";
    let files = [("README.md", readme), ("crates/stead/src/cli/up.rs", up)];
    assert_eq!(
        check(documents::commands, &files),
        [
            "README.md:5: `stead fly` does not exist",
            "README.md:5: `stead up` has no `--high`",
            "README.md:5: `cargo xtask bake` does not exist"
        ]
    );
}

#[test]
fn an_example_without_a_test_is_found() {
    let files = [
        ("examples/a/README.md", ""),
        ("examples/b/README.md", ""),
        ("crates/stead/tests/it/examples.rs", "up(\"a\")"),
    ];
    assert_eq!(
        check(examples::check, &files),
        ["examples/b: is named in no test"]
    );
}

#[test]
fn decision_notes_are_counted_without_a_gap() {
    let text = "# T\n## Context\n## Choice\n## What it costs\n";
    let files = [
        ("docs/decisions/0001-a.md", text),
        ("docs/decisions/0003-b.md", text),
    ];
    assert_eq!(
        check(documents::decisions, &files),
        ["docs/decisions/0003-b.md: is number 0002 in its place"]
    );
}

#[test]
fn every_crate_of_this_workspace_has_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tree = Tree::read(root).unwrap();
    assert_eq!(arrows::check(&tree), []);
}
