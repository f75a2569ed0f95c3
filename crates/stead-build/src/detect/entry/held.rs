//! Apps that are attributes: of a class, or of an instance that a module holds (`server.app`).

use super::{ATTRIBUTES, Found, Passed, Why, elsewhere, push};
use crate::detect::kinds::{Kind, Scope, Thing};
use crate::detect::project::Project;
use crate::detect::syntax::{Binding, Value};

/// The first usual attribute of `holder` that is an app.
fn attribute(project: &Project<'_>, file: &str, holder: &str) -> Option<(&'static str, Kind)> {
    ATTRIBUTES.iter().find_map(|name| {
        let thing = project.thing(Scope::file(file), &format!("{holder}.{name}"));
        let kind = project.kind_of(&thing)?;
        // A method is no app by its parameters: the first one is the instance.
        let servable = matches!(thing, Thing::Instance(_)) && kind.servable();
        servable.then_some((*name, kind))
    })
}

/// `server = Server()`, whose instances have an app. `false` if `binding` is none such.
pub(super) fn by_instance(
    project: &Project<'_>,
    file: &str,
    binding: &Binding,
    thing: &Thing,
    found: &mut Found,
) -> bool {
    if !matches!(thing, Thing::Object(..)) || elsewhere(file) {
        return false;
    }
    let Some((name, kind)) = attribute(project, file, &binding.name) else {
        return false;
    };
    let held = match &kind {
        Kind::Holds("Connexion", _) | Kind::Wsgi(_) | Kind::Asgi(_) => {
            format!("{}.{name}", binding.name)
        }
        Kind::Holds(_, inner) => format!("{}.{name}.{inner}", binding.name),
        Kind::Own(_) | Kind::Decoy(_) => return false,
    };
    let imported = matches!(binding.value, Value::Import(_));
    push(
        project,
        file,
        &binding.name,
        held,
        kind,
        imported,
        binding.line,
        found,
    );
    true
}

/// `class Server: app = Flask(…)`; an app that only an instance has is passed over, since nobody
/// made the instance.
pub(super) fn by_class(project: &Project<'_>, file: &str, class: &Binding, found: &mut Found) {
    if elsewhere(file) {
        return;
    }
    // Frameworks' own classes are apps themselves once they are called.
    let made = project.thing(Scope::file(file), &format!("{}()", class.name));
    if !matches!(made, Thing::Object(..)) {
        return;
    }
    let Some((name, kind)) = attribute(project, file, &class.name) else {
        return;
    };
    let module = project.module(file);
    let of_class = format!("{}.{name}", class.name);
    let plain = matches!(kind, Kind::Wsgi(_) | Kind::Asgi(_));
    if let Some(bound) = module.bound(&of_class).filter(|_| plain) {
        let line = bound.line;
        push(
            project,
            file,
            &class.name,
            of_class,
            kind,
            false,
            line,
            found,
        );
        return;
    }
    let init = module.function(&format!("{}.__init__", class.name));
    let needed: Vec<&str> = init
        .iter()
        .flat_map(|init| init.parameters.iter().skip(1))
        .filter(|(_, required)| *required)
        .map(|(name, _)| name.as_str())
        .collect();
    let inner = match &kind {
        Kind::Holds("Connexion", _) => String::new(),
        Kind::Holds(_, inner) => format!(".{inner}"),
        _ => String::new(),
    };
    found.passed.push(Passed {
        file: file.to_owned(),
        name: class.name.clone(),
        line: class.line,
        why: Why::Held(format!(
            "{}({}).{name}{inner}",
            class.name,
            needed.join(", ")
        )),
    });
}
