//! Expressions that name a folder of the tree: `os.path.join(BASE_DIR, "static")`,
//! `BASE_DIR / "static"`, `Path(__file__).resolve().parent.parent`.

use super::project::Project;
use super::syntax::{Call, Value};
use super::tree::{join, parent, within};

/// Reads settings and the folders that they name, relative to a base.
pub(crate) struct Paths<'p, 't> {
    pub(crate) project: &'p Project<'t>,
    pub(crate) base: &'p str,
}

impl Paths<'_, '_> {
    /// The value of a module-level name, through `from .base import *`, and the file it stands in.
    pub(crate) fn setting(&self, file: &str, name: &str, left: usize) -> Option<(Value, String)> {
        let module = self.project.module(file);
        if let Some(binding) = module.bound(name) {
            if let Value::Import(import) = &binding.value {
                let found = self.project.find(file, &import.module)?;
                let next = left.checked_sub(1)?;
                return self.setting(&found, import.name.as_deref()?, next);
            }
            return Some((binding.value.clone(), file.to_owned()));
        }
        let left = left.checked_sub(1)?;
        module.stars.iter().rev().take(8).find_map(|star| {
            let found = self.project.find(file, &star.module)?;
            (found != file).then(|| self.setting(&found, name, left))?
        })
    }

    /// The folder that `value` in `file` names, relative to the base; `None` if it lies outside
    /// or is not known.
    pub(crate) fn path(&self, file: &str, value: &Value) -> Option<String> {
        let full = self.absolute(file, value, 12)?;
        within(self.base, &full).map(str::to_owned)
    }

    /// Relative to the tree.
    fn absolute(&self, file: &str, value: &Value, left: usize) -> Option<String> {
        let left = left.checked_sub(1)?;
        match value {
            // Relative to the directory that the app runs in.
            Value::Str(text) => joined(self.base, text),
            Value::Name(name) => self.named(file, name, left),
            Value::Call(call) => self.called(file, call, left),
            Value::Either(values) => values
                .iter()
                .rev()
                .find_map(|value| self.absolute(file, value, left)),
            _ => None,
        }
    }

    fn named(&self, file: &str, name: &str, left: usize) -> Option<String> {
        if name == "__file__" {
            return Some(file.to_owned());
        }
        if name.ends_with(".root_path") {
            return Some(parent(file).to_owned());
        }
        if name.ends_with(".instance_path") {
            let dir = self.project.package_parent(file);
            return Some(join(dir, "instance"));
        }
        let from_file = name.strip_prefix("pathlib.").unwrap_or(name);
        if let Some(chain) = from_file.strip_prefix("Path()") {
            // The argument is nearly always `__file__`.
            let ups = chain.matches(".parent").count() + chain.matches(".parents").count();
            return up(file, ups);
        }
        if let Some((head, chain)) = name.split_once(".parent") {
            let start = self.named(file, head, left.checked_sub(1)?)?;
            return up(&start, chain.matches(".parent").count() + 1);
        }
        let (value, found) = self.setting(file, name, left)?;
        self.absolute(&found, &value, left)
    }

    fn called(&self, file: &str, call: &Call, left: usize) -> Option<String> {
        let first = call.args.first();
        let function = call.function.rsplit('.').next().unwrap_or_default();
        match function {
            "/" | "join" | "joinpath" | "safe_join" => {
                let mut parts = call.args.iter();
                let mut path = match call.function.strip_suffix(".joinpath") {
                    Some(base) => self.named(file, base, left)?,
                    None => self.absolute(file, parts.next()?, left)?,
                };
                for part in parts {
                    let text = self.text(file, part, left)?;
                    path = joined(&path, &text)?;
                }
                Some(path)
            }
            "+" => {
                let path = self.absolute(file, first?, left)?;
                joined(&path, &self.text(file, call.args.get(1)?, left)?)
            }
            "dirname" => up(&self.absolute(file, first?, left)?, 1),
            "Path" | "abspath" | "realpath" | "normpath" | "str" | "PurePath" => {
                self.absolute(file, first?, left)
            }
            "resolve" | "absolute" | "as_posix" => {
                let base = call.function.rsplit_once('.')?.0;
                self.named(file, base, left)
            }
            "getcwd" | "cwd" => Some(self.base.to_owned()),
            // `root("static")`, `env("STATIC_ROOT", default=…)`, `os.environ.get("X", "static")`.
            "get" | "getenv" | "config" | "env" => {
                let default = call.keyword("default").or_else(|| call.args.get(1))?;
                self.absolute(file, default, left)
            }
            _ => None,
        }
    }

    fn text(&self, file: &str, value: &Value, left: usize) -> Option<String> {
        match value {
            Value::Str(text) => Some(text.clone()),
            Value::Name(name) => match self.setting(file, name, left)?.0 {
                Value::Str(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

fn up(path: &str, levels: usize) -> Option<String> {
    let mut path = path;
    for _ in 0..levels.min(16) {
        if path.is_empty() {
            return None;
        }
        path = parent(path);
    }
    Some(path.to_owned())
}

fn joined(base: &str, text: &str) -> Option<String> {
    if text.contains(['{', '}', '%', '\0']) || text.starts_with('~') || text.starts_with('/') {
        return None;
    }
    super::tree::resolve(base, text)
}
