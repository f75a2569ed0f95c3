//! Variables that a class of settings reads: pydantic's `BaseSettings`.

use crate::detect::kinds::{Scope, Thing};
use crate::detect::project::Project;
use crate::detect::syntax::{Module, Place, Value};

/// A field without a default.
#[derive(Debug)]
pub(super) struct Field {
    /// The variable: `SHOP_API_KEY`.
    pub(super) name: String,
    pub(super) line: u32,
    /// Where an instance is made, as far as the file itself says.
    pub(super) place: Place,
}

/// The fields of `file` that must be set, and the environment files that it names.
pub(super) fn fields(project: &Project<'_>, file: &str) -> (Vec<Field>, Vec<String>) {
    let module = project.module(file);
    let mut fields = Vec::new();
    let mut files = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    for binding in &module.bindings {
        if let Value::Class { .. } = binding.value
            && !classes.contains(&binding.name.as_str())
            && is_settings(project, file, &binding.name, 4)
        {
            classes.push(&binding.name);
        }
    }
    for class in classes {
        let prefix = option(&module, class, "env_prefix").unwrap_or_default();
        files.extend(option(&module, class, "env_file"));
        let made = module
            .calls
            .iter()
            .filter(|call| call.function == class)
            .map(|call| call.place)
            .min();
        let place = made.unwrap_or(Place::Function);
        let mut add = |name: String, line: u32| {
            let name = name.to_uppercase();
            fields.push(Field { name, line, place });
        };
        for (own, name, line) in &module.declared {
            if own == class {
                add(format!("{prefix}{name}"), *line);
            }
        }
        for binding in &module.bindings {
            let own = binding.name.strip_prefix(class);
            let Some(name) = own.and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            // `key: str = Field(..., alias="API_KEY")`.
            if let Value::Call(call) = &binding.value
                && call.function.rsplit('.').next() == Some("Field")
                && call
                    .args
                    .first()
                    .is_none_or(|first| matches!(first, Value::Other))
                && call.keyword("default").is_none()
                && call.keyword("default_factory").is_none()
            {
                let named = ["env", "alias", "validation_alias"];
                let given = named.iter().find_map(|key| call.keyword(key)?.text());
                let plain = format!("{prefix}{name}");
                add(given.map_or(plain, str::to_owned), binding.line);
            }
        }
    }
    (fields, files)
}

fn is_settings(project: &Project<'_>, file: &str, class: &str, left: usize) -> bool {
    let module = project.module(file);
    let Some(Value::Class { bases }) = module.bound(class).map(|binding| &binding.value) else {
        return false;
    };
    bases
        .iter()
        .take(4)
        .any(|base| match project.thing(Scope::file(file), base) {
            Thing::External(path) => matches!(
                path.as_str(),
                "pydantic_settings.BaseSettings" | "pydantic.BaseSettings"
            ),
            Thing::Class(file, class, _) => {
                left > 0 && is_settings(project, &file, &class, left - 1)
            }
            _ => false,
        })
}

/// `model_config = SettingsConfigDict(env_prefix="SHOP_")`, or the same in `class Config`.
fn option(module: &Module, class: &str, key: &str) -> Option<String> {
    let config = module.bound(&format!("{class}.model_config"));
    let of_call = config.and_then(|binding| match &binding.value {
        Value::Call(call) => call.keyword(key)?.text(),
        Value::Dict(entries) => {
            let mut entries = entries.iter();
            let entry = entries.find(|(name, _)| name.text() == Some(key))?;
            entry.1.text()
        }
        _ => None,
    });
    let of_class = || module.bound(&format!("Config.{key}"))?.value.text();
    of_call.or_else(of_class).map(str::to_owned)
}
