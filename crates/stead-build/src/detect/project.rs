//! The Python modules of a source tree, and which file an `import` means.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::syntax::{self, Module};
use super::tree::{Tree, file_name, join, parent, resolve, within};

/// No more Python files than this are read.
const MOST_MODULES: usize = 4_000;

/// No more names than this are followed to find out what one of them is: a name that is bound again and
/// again from itself (`query = query.filter(…)`) would double the work with each line.
const MOST_STEPS: u32 = 2_000;

/// A tree, with its Python files read when they are first asked for.
pub(crate) struct Project<'a> {
    pub(crate) tree: &'a Tree,
    modules: RefCell<BTreeMap<String, Rc<Module>>>,
    /// How many more names may be followed for the question that is being answered.
    steps: Cell<u32>,
}

impl<'a> Project<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            modules: RefCell::new(BTreeMap::new()),
            steps: Cell::new(MOST_STEPS),
        }
    }

    /// A new question about what a name leads to.
    pub(crate) fn begin(&self) {
        self.steps.set(MOST_STEPS);
    }

    /// One name further, of `left` that may follow each other. `None`: far enough.
    pub(crate) fn further(&self, left: usize) -> Option<usize> {
        self.steps.set(self.steps.get().checked_sub(1)?);
        left.checked_sub(1)
    }

    /// The facts of one Python file; an unreadable one has none.
    pub(crate) fn module(&self, path: &str) -> Rc<Module> {
        if let Some(module) = self.modules.borrow().get(path) {
            return Rc::clone(module);
        }
        let full = self.modules.borrow().len() >= MOST_MODULES;
        let module = match self.tree.read(path) {
            Some(text) if !full => syntax::parse(&text),
            _ => Module {
                broken: true,
                ..Module::default()
            },
        };
        let module = Rc::new(module);
        self.modules
            .borrow_mut()
            .insert(path.to_owned(), Rc::clone(&module));
        module
    }

    /// Every Python file that may be part of the app, shallow ones first.
    pub(crate) fn python_files(&self) -> Vec<&'a str> {
        let mut files: Vec<&str> = self
            .tree
            .files()
            .filter(|path| path.ends_with(".py"))
            .collect();
        files.sort_by_key(|path| path.matches('/').count());
        files.truncate(MOST_MODULES);
        files
    }

    /// The directory from which `path` is imported when its package is taken whole: the first
    /// one upwards that is no package itself.
    pub(crate) fn package_parent<'p>(&self, path: &'p str) -> &'p str {
        let mut dir = parent(path);
        while !dir.is_empty() && self.tree.has(&join(dir, "__init__.py")) {
            dir = parent(dir);
        }
        dir
    }

    /// Directories that may be on `sys.path` for `path`, likeliest first.
    fn roots(&self, path: &str) -> Vec<String> {
        let mut roots = Vec::new();
        let mut dir = self.package_parent(path);
        loop {
            roots.push(dir.to_owned());
            let source = join(dir, "src");
            if self.tree.has_dir(&source) {
                roots.push(source);
            }
            if dir.is_empty() {
                break;
            }
            dir = parent(dir);
        }
        // A script in a package is run with its own directory first.
        let own = parent(path).to_owned();
        if !roots.contains(&own) {
            roots.push(own);
        }
        roots
    }

    /// The file that `module` (dotted, with leading dots when relative) means in `path`.
    pub(crate) fn find(&self, path: &str, module: &str) -> Option<String> {
        let dots = module.len() - module.trim_start_matches('.').len();
        let tail = module.trim_start_matches('.').replace('.', "/");
        if dots > 0 {
            let up = "../".repeat(dots - 1);
            let dir = resolve(parent(path), &up)?;
            return self.file_at(&join(&dir, &tail));
        }
        self.roots(path)
            .iter()
            .find_map(|root| self.file_at(&join(root, &tail)))
    }

    /// `stem.py`, or the package `stem`.
    fn file_at(&self, stem: &str) -> Option<String> {
        let package = join(stem, "__init__.py");
        if self.tree.has(&package) {
            return Some(package);
        }
        let plain = format!("{stem}.py");
        if !stem.is_empty() && self.tree.has(&plain) {
            return Some(plain);
        }
        None
    }

    /// Whether `module` resolves when `root` alone is on `sys.path`.
    fn resolves_from(&self, root: &str, module: &str) -> bool {
        let stem = join(root, &module.replace('.', "/"));
        self.file_at(&stem).is_some()
            || (module.contains('.') || self.holds_python(&stem)) && self.tree.has_dir(&stem)
    }

    fn holds_python(&self, dir: &str) -> bool {
        self.tree.in_dir(dir).any(|path| path.ends_with(".py"))
    }

    /// Directories from `path`'s package up to `base`, nearest first.
    fn import_roots(&self, base: &str, path: &str) -> Vec<String> {
        let mut roots = Vec::new();
        let mut dir = self.package_parent(path);
        while within(base, dir).is_some() {
            roots.push(dir.to_owned());
            if dir == base || dir.is_empty() {
                break;
            }
            dir = parent(dir);
        }
        if roots.is_empty() {
            roots.push(base.to_owned());
        }
        roots
    }

    /// How many imports of the import graph below `path` each of `roots` resolves.
    fn votes(&self, roots: &[String], path: &str) -> Vec<usize> {
        let mut votes = vec![0; roots.len()];
        let mut seen = vec![path.to_owned()];
        let mut at = 0;
        while at < seen.len() && seen.len() < 200 {
            let file = seen[at].clone();
            at += 1;
            for import in &self.module(&file).imports {
                if import.starts_with('.') {
                    // `from .x import y` in the file itself: its directory must be a package.
                    if file == path && roots.len() > 1 && parent(path) == roots[0] {
                        votes[1] += 1;
                    }
                } else {
                    for (root, count) in roots.iter().zip(&mut votes) {
                        *count += usize::from(self.resolves_from(root, import));
                    }
                }
                if let Some(found) = self.find(&file, import)
                    && !seen.contains(&found)
                {
                    seen.push(found);
                }
            }
        }
        votes
    }

    /// The directory above `dir` from which `path` is imported, if its imports say so.
    pub(crate) fn imported_from_above(&self, dir: &str, path: &str) -> Option<String> {
        let roots = self.import_roots("", path);
        let votes = self.votes(&roots, path);
        let own = roots.iter().position(|root| root == dir);
        let own = own.map_or(0, |at| votes[at]);
        let above = roots
            .iter()
            .zip(&votes)
            .filter(|(root, count)| **count > own && within(root, dir).is_some() && *root != dir);
        above
            .max_by_key(|(_, count)| **count)
            .map(|(root, _)| root.clone())
    }

    /// The directory between `base` and `path` that must be on `sys.path` for `path` and its
    /// neighbours to find each other, and `path`'s dotted name from there.
    pub(crate) fn import_root(&self, base: &str, path: &str) -> (String, String) {
        let roots = self.import_roots(base, path);
        let votes = self.votes(&roots, path);
        let nameable = |root: &str| {
            within(root, path)
                .is_some_and(|rest| rest.trim_end_matches(".py").split('/').all(is_identifier))
        };
        let source = |root: &str| file_name(root) == "src" && root != base;
        let mut best: Option<(usize, bool, usize, &str)> = None;
        for (at, root) in roots.iter().enumerate() {
            if !nameable(root) {
                continue;
            }
            let count = votes[at];
            // Without evidence: `src/` is a root, else the outermost directory.
            let key = (count, source(root), at, root.as_str());
            if best.is_none_or(|best| key > best) {
                best = Some(key);
            }
        }
        let root = best.map_or(roots[0].as_str(), |(_, _, _, root)| root);
        let rest = within(root, path).unwrap_or(path);
        let rest = rest.strip_suffix(".py").unwrap_or(rest);
        let rest = rest.strip_suffix("/__init__").unwrap_or(rest);
        (root.to_owned(), rest.replace('/', "."))
    }
}

/// A name that `import` takes.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|first| first == '_' || first.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric())
}
