//! What Python source imports, for the few modules whose absence Stead can foresee. Reads lines;
//! runs nothing.

use std::path::Path;

/// Modules that are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    /// `pkg_resources`, which new environments lack and newer setuptools no longer has.
    pub(crate) pkg_resources: bool,
    /// `distutils`, which Python 3.12 took out.
    pub(crate) distutils: bool,
    /// `sqlite3`, which some Pythons are built without.
    pub(crate) sqlite3: bool,
}

/// A walk stops after this many files: what is looked for is found early or is not there.
const MOST_FILES: usize = 20_000;

/// Larger files are generated data.
const LARGEST: u64 = 1024 * 1024;

/// Directories that are not the app's (or a package's) own code.
const PASSED_OVER: [&str; 16] = [
    "node_modules",
    "tests",
    "test",
    "testing",
    "docs",
    "venv",
    "env",
    "__pycache__",
    "_vendor",
    "_vendored",
    "setuptools",
    "pkg_resources",
    "_distutils_hack",
    "pip",
    "wheel",
    "site-packages",
];

/// Look through the Python files below `root`, or at the one file that it is.
pub(crate) fn imports(root: &Path) -> Imports {
    let mut found = Imports::default();
    if root.extension().is_some_and(|extension| extension == "py") {
        if let Ok(bytes) = std::fs::read(root) {
            look(&String::from_utf8_lossy(&bytes), &mut found);
        }
        return found;
    }
    let mut left = MOST_FILES;
    walk(root, 0, &mut left, &mut found);
    found
}

fn walk(directory: &Path, depth: usize, left: &mut usize, found: &mut Imports) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // A link may lead out of the tree or around in it.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            let skip = name.starts_with('.') || PASSED_OVER.contains(&name) || depth > 20;
            let nested = !skip && !entry.path().join("pyvenv.cfg").exists();
            if nested {
                walk(&entry.path(), depth + 1, left, found);
            }
        } else if kind.is_file()
            && name.ends_with(".py")
            && name != "setup.py"
            && name != "conftest.py"
        {
            let small = entry.metadata().is_ok_and(|data| data.len() <= LARGEST);
            if !small {
                continue;
            }
            if *left == 0 {
                return;
            }
            *left -= 1;
            if let Ok(bytes) = std::fs::read(entry.path()) {
                look(&String::from_utf8_lossy(&bytes), found);
            }
        }
    }
}

/// An import counts unless it is tried: `try: import x` has an answer for `x` being away.
fn look(text: &str, found: &mut Imports) {
    if !["pkg_resources", "distutils", "sqlite"]
        .iter()
        .any(|name| text.contains(name))
    {
        return;
    }
    let mut before = "";
    for line in text.lines() {
        let line = line.trim_end();
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let tried = before.starts_with("try:")
            || before.starts_with("except")
            || before.starts_with("else:");
        let indented = bare.len() < line.len();
        if !(tried && indented) {
            found.pkg_resources |= imports_module(bare, "pkg_resources")
                || bare.starts_with("__import__('pkg_resources')")
                || bare.starts_with("__import__(\"pkg_resources\")");
            found.distutils |= imports_module(bare, "distutils");
        }
        found.sqlite3 |= imports_module(bare, "sqlite3") || bare.contains("sqlite://");
        before = bare;
    }
}

fn imports_module(line: &str, module: &str) -> bool {
    let rest = match (line.strip_prefix("import "), line.strip_prefix("from ")) {
        (Some(rest), _) => {
            return rest.split(',').any(|name| {
                name.split_whitespace()
                    .next()
                    .is_some_and(|name| is(name, module))
            });
        }
        (None, Some(rest)) => rest,
        (None, None) => return false,
    };
    rest.split_whitespace()
        .next()
        .is_some_and(|name| is(name, module))
}

fn is(name: &str, module: &str) -> bool {
    name.split('.').next() == Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Imports {
        let mut found = Imports::default();
        look(text, &mut found);
        found
    }

    #[test]
    fn an_import_that_has_an_alternative_does_not_count() {
        assert!(found("import os, pkg_resources as p\n").pkg_resources);
        assert!(found("def f():\n    from pkg_resources import x\n").pkg_resources);
        assert!(found("__import__('pkg_resources').declare_namespace(__name__)\n").pkg_resources);
        assert!(
            !found("try:\n    import pkg_resources\nexcept ImportError:\n    pass\n").pkg_resources
        );
        assert!(
            !found("try:\n    import a\nexcept ImportError:\n    import pkg_resources\n")
                .pkg_resources
        );
        assert!(!found("# import pkg_resources\nx = 'import pkg_resources'\n").pkg_resources);
        assert!(found("from distutils.version import LooseVersion\n").distutils);
        assert!(found("SQLALCHEMY_DATABASE_URI = 'sqlite:///app.db'\n").sqlite3);
    }

    #[test]
    fn only_the_apps_own_code_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["venv/lib/a.py", "tests/a.py", ".hidden/a.py", "setup.py"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "import pkg_resources\n").unwrap();
        }
        assert_eq!(imports(directory.path()), Imports::default());
        std::fs::write(directory.path().join("app.py"), "import pkg_resources\n").unwrap();
        assert!(imports(directory.path()).pkg_resources);
    }
}
