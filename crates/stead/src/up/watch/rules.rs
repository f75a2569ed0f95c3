//! Which paths of a source tree matter for `--watch`.

use std::path::{Path, PathBuf};

use stead_model::manifest::{Manifest, Program};

use super::ignore::Ignores;

/// Directories whose content is made, not written.
const MADE: [&str; 12] = [
    "__pycache__",
    "node_modules",
    "venv",
    "env",
    "site-packages",
    "bower_components",
    "instance",
    "logs",
    "log",
    "tmp",
    "htmlcov",
    "target",
];

/// File names without an extension that matter.
const NAMES: [&str; 12] = [
    "Procfile",
    "Pipfile",
    ".python-version",
    ".node-version",
    ".nvmrc",
    ".env",
    ".flaskenv",
    ".gitignore",
    "Makefile",
    "Gemfile",
    "Rakefile",
    "config.ru",
];

/// Extensions of files that an app is made of.
const EXTENSIONS: [&str; 58] = [
    "py",
    "pyi",
    "pyx",
    "so",
    "toml",
    "cfg",
    "ini",
    "conf",
    "yaml",
    "yml",
    "json",
    "json5",
    "lock",
    "txt",
    "env",
    "properties",
    "html",
    "htm",
    "jinja",
    "jinja2",
    "j2",
    "mako",
    "jade",
    "pug",
    "hbs",
    "ejs",
    "njk",
    "liquid",
    "xml",
    "md",
    "rst",
    "css",
    "scss",
    "sass",
    "less",
    "js",
    "mjs",
    "cjs",
    "ts",
    "mts",
    "cts",
    "jsx",
    "tsx",
    "vue",
    "svelte",
    "wasm",
    "graphql",
    "gql",
    "proto",
    "sql",
    "sh",
    "rb",
    "php",
    "go",
    "rs",
    "lua",
    "pl",
    "po",
];

/// What counts as a change of one source tree.
#[derive(Debug, Default)]
pub(super) struct Rules {
    dir: PathBuf,
    /// Relative paths below which nothing counts: volumes, the state directory.
    excluded: Vec<PathBuf>,
    /// Relative folders that the edge serves: only code counts there.
    folders: Vec<PathBuf>,
    ignores: Ignores,
    /// The state directory, if it lies in the source.
    state: Option<PathBuf>,
}

impl Rules {
    pub(super) fn new(dir: &Path, state: &Path) -> Self {
        let state = state.strip_prefix(dir).map(Path::to_owned).ok();
        Self {
            dir: dir.to_owned(),
            excluded: state.iter().cloned().collect(),
            folders: Vec::new(),
            ignores: Ignores::read(dir),
            state,
        }
    }

    /// What the manifest says about paths; `.gitignore` is read again too.
    pub(super) fn learn(&mut self, manifest: &Manifest) {
        let root = PathBuf::from(manifest.build.root.clone().unwrap_or_default());
        self.excluded = self.state.iter().cloned().collect();
        self.excluded.extend(
            manifest
                .volume
                .values()
                .map(|volume| root.join(&volume.path)),
        );
        let folders = manifest
            .route
            .iter()
            .flat_map(|route| route.static_folders.values());
        let processes = manifest
            .process
            .values()
            .filter_map(|process| match &process.program {
                Program::Static(folder) => Some(folder),
                _ => None,
            });
        self.folders = folders
            .chain(processes)
            .map(|folder| root.join(folder).components().collect())
            .collect();
        self.ignores = Ignores::read(&self.dir);
    }

    /// Whether a directory is worth a watch.
    pub(super) fn enters(&mut self, relative: &Path) -> bool {
        if relative.as_os_str().is_empty() {
            return true;
        }
        let made = relative.iter().any(|part| {
            let part = part.to_string_lossy();
            part.starts_with('.') || part.ends_with(".egg-info") || MADE.contains(&&*part)
        });
        // A virtual environment may have any name.
        let environment = || self.dir.join(relative).join("pyvenv.cfg").is_file();
        !made
            && !self.excluded.iter().any(|path| relative.starts_with(path))
            && !environment()
            && !self.ignores.ignored(&self.dir, relative, true)
    }

    /// Whether a change of this file is a change of the app.
    pub(super) fn counts(&mut self, relative: &Path) -> bool {
        let Some(name) = relative.file_name().and_then(|name| name.to_str()) else {
            return false;
        };
        let parent = relative.parent().unwrap_or(Path::new(""));
        if !parent.as_os_str().is_empty() && !self.enters(parent) {
            return false;
        }
        let extension = Path::new(name)
            .extension()
            .and_then(|part| part.to_str())
            .unwrap_or("");
        let extension = extension.to_ascii_lowercase();
        let matters =
            NAMES.contains(&name) || (EXTENSIONS.contains(&extension.as_str()) && !temporary(name));
        let served = self
            .folders
            .iter()
            .any(|folder| relative.starts_with(folder))
            && !(parent.as_os_str().is_empty() && name == crate::source::FILE)
            && extension != "py";
        matters
            && !served
            && !self.excluded.iter().any(|path| relative.starts_with(path))
            && !self.ignores.ignored(&self.dir, relative, false)
    }
}

/// What editors leave beside a file while it is being written.
fn temporary(name: &str) -> bool {
    name.starts_with(".#")
        || name.starts_with('#')
        || name.starts_with("~$")
        || name.starts_with(".~")
        || (name.starts_with('.') && name.ends_with(".swp"))
        || name.contains("___jb_")
}

/// Data rather than code: what programs write as often as people do.
pub(super) fn is_data(file: &Path) -> bool {
    let extension = file
        .extension()
        .and_then(|part| part.to_str())
        .unwrap_or("");
    matches!(
        extension.to_ascii_lowercase().as_str(),
        "json" | "json5" | "txt" | "xml" | "yaml" | "yml" | "lock" | "md" | "sql"
    )
}
