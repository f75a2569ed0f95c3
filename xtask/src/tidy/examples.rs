//! Every example is run by a test.

use std::collections::BTreeSet;

use super::Complaint;
use super::tree::Tree;

/// Each directory under `examples/` has a README and is named by a test of the binary.
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    let names: BTreeSet<String> = tree
        .files
        .iter()
        .filter_map(|file| {
            let rest = file.path.strip_prefix("examples").ok()?;
            let mut parts = rest.components();
            let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
            parts.next().map(|_| first)
        })
        .collect();
    let mut complaints = Vec::new();
    for name in names {
        let dir = format!("examples/{name}");
        if tree.text(&format!("{dir}/README.md")).is_none() {
            complaints.push(Complaint::new(&dir, 0, "has no README.md"));
        }
        let tested = tree.with_extension("rs").any(|file| {
            let ours = file.path.starts_with("crates/stead") && file.is_test();
            ours && (file.text.contains(&dir) || file.text.contains(&format!("\"{name}\"")))
        });
        if !tested {
            complaints.push(Complaint::new(&dir, 0, "is named in no test"));
        }
    }
    complaints
}
