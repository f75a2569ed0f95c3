use super::*;

fn file(path: &[u8]) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::File {
            digest: "a".repeat(64),
            size: 7,
            executable: false,
        },
    }
}

fn link(path: &[u8], target: &[u8]) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::Link {
            target: target.to_vec(),
        },
    }
}

fn refused(entries: Vec<Entry>) -> String {
    Tree::new(entries).unwrap_err().to_string()
}

#[test]
fn a_tree_is_read_as_it_was_written_whatever_bytes_its_names_have() {
    let names: [&[u8]; 10] = [
        b"app.py",
        b"a b",
        b"a%41",
        b"line\nfeed",
        b"latin-\xe9",
        "snowman-\u{2603}".as_bytes(),
        b"\xff\xfe",
        b"deep/er/x",
        b"deep-er",
        b"$(id)`id`;'\"",
    ];
    let mut entries: Vec<Entry> = names.iter().map(|name| file(name)).collect();
    entries.push(link(b"link", b"deep/er"));
    let tree = Tree::new(entries).unwrap();
    let text = tree.text();
    assert!(text.iter().all(|byte| *byte >= b' '));
    assert_eq!(Tree::read(&text), Ok(tree));
    for end in 0..text.len() {
        assert!(Tree::read(&text[..end]).is_err());
    }
}

#[test]
fn a_tree_has_one_listing() {
    let text = |text: &str| text.replace("SHA", &"a".repeat(64));
    let good = text(r#"{"tree":[{"path":"a","sha256":"SHA","size":7},{"path":"b","link":"a"}]}"#);
    assert!(Tree::read(good.as_bytes()).is_ok());
    for other in [
        // Blanks, order, an unknown key, an encoding that is not needed, a key twice, a default that is written.
        r#"{"tree": []}"#,
        r#"{"tree":[{"path":"b","link":"a"},{"path":"a","sha256":"SHA","size":7}]}"#,
        r#"{"tree":[{"path":"a","sha256":"SHA","size":7,"mode":"4755"}]}"#,
        r#"{"tree":[{"path":"%61","sha256":"SHA","size":7}]}"#,
        r#"{"tree":[{"path":"a","path":"b","sha256":"SHA","size":7}]}"#,
        r#"{"tree":[{"path":"a","sha256":"SHA","size":7,"executable":false}]}"#,
        r#"{"tree":[{"path":"a","sha256":"SHA","size":-1}]}"#,
        r#"{"tree":[{"path":"a","sha256":"SHA"}]}"#,
        r#"{"tree":[{"path":"a","sha256":"SHA","size":7,"link":"b"}]}"#,
        r#"{"tree":[{"path":"a","link":"b","executable":true}]}"#,
        r#"{"tree":[{"path":"a","sha256":"../../etc/passwd","size":7}]}"#,
    ] {
        assert!(Tree::read(text(other).as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn no_path_leads_out_of_a_tree() {
    for path in [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/..",
        "a/../../x",
        "./a",
        "a/.",
        "a//b",
        "a/",
        "/a",
        "a\0b",
    ] {
        assert!(Tree::new(vec![file(path.as_bytes())]).is_err(), "{path:?}");
    }
    let long = [b"x".repeat(256), b"x/".repeat(1600)];
    for path in &long {
        assert!(Tree::new(vec![file(path)]).is_err());
    }
    // Names that only look so.
    for path in ["...", "..a", "a..", ".git", ".env", "-rf", "~"] {
        assert!(Tree::new(vec![file(path.as_bytes())]).is_ok(), "{path}");
    }
}

#[test]
fn nothing_is_twice_in_a_tree_nor_below_a_file_or_a_link() {
    assert_eq!(
        refused(vec![file(b"a"), file(b"a")]),
        "`a`: it is there twice"
    );
    assert_eq!(
        refused(vec![file(b"a"), file(b"a-b"), file(b"a/b")]),
        "`a/b`: `a` is no directory"
    );
    assert_eq!(
        refused(vec![link(b"a", b"b"), file(b"a/c/d"), file(b"b/x")]),
        "`a/c/d`: `a` is no directory"
    );
}

#[test]
fn links_stay_inside_on_whatever_way_they_lead() {
    let inside: [&[Entry]; 7] = [
        &[link(b"a", b"b")],
        &[link(b"a/b/c", b"../../x")],
        &[link(b"d/e/x", b"../..")],
        &[link(b"a", b"a")],
        &[link(b"a", b"b"), link(b"b", b"a")],
        &[link(b"x", b"d/e"), link(b"y", b"x/../..")],
        &[link(b"a", b"./b/.//c/..")],
    ];
    for entries in inside {
        assert!(Tree::new(entries.to_vec()).is_ok(), "{entries:?}");
    }
    let outside: [&[Entry]; 7] = [
        &[link(b"a", b"/etc/passwd")],
        &[link(b"a", b"..")],
        &[link(b"a/b", b"../../x")],
        &[link(b"a", b"b/../../x")],
        // Each stays inside when it is read alone, and together they do not.
        &[link(b"d/e/x", b"../.."), link(b"d/e/y", b"x/..")],
        &[
            link(b"d/x", b".."),
            link(b"e", b"d/x/x2"),
            link(b"x2", b"d/x/../.."),
        ],
        &[
            link(b"up", b"d/x"),
            link(b"d/x", b".."),
            link(b"z", b"up/../q"),
        ],
    ];
    for entries in outside {
        assert!(
            refused(entries.to_vec()).contains("it is a link out of the tree"),
            "{entries:?}"
        );
    }
    assert_eq!(
        refused(vec![link(b"a", b"")]),
        "`a`: it is a link to nothing"
    );
}

#[test]
fn links_that_multiply_end_by_themselves() {
    let mut entries = Vec::new();
    for number in 0..3000 {
        let target = format!("l{:05}/", number + 1).repeat(400);
        entries.push(link(format!("l{number:05}").as_bytes(), target.as_bytes()));
    }
    assert_eq!(refused(entries), "its links are too many to follow");
}

#[test]
fn a_tree_has_bounds() {
    let mut large = file(b"a");
    let Kind::File { size, .. } = &mut large.kind else {
        panic!();
    };
    *size = LARGEST_FILE + 1;
    assert_eq!(refused(vec![large]), "`a`: it has more than 2 GB");
    let many = (0..5).map(|number| {
        let mut entry = file(format!("{number}").as_bytes());
        if let Kind::File { size, .. } = &mut entry.kind {
            *size = LARGEST_FILE;
        }
        entry
    });
    assert!(refused(many.collect()).contains("more than 8 GB together"));
    let mut two = vec![file(b"a"), file(b"b")];
    if let Kind::File { size, .. } = &mut two[0].kind {
        *size = 8;
    }
    assert_eq!(refused(two), "`b`: one content has two sizes");
}

#[test]
fn a_content_counts_once() {
    let tree = Tree::new(vec![file(b"b"), file(b"a"), link(b"c", b"a")]).unwrap();
    assert_eq!(tree.contents(), [("a".repeat(64).as_str(), 7)]);
    assert_eq!(tree.size(), 14);
}
