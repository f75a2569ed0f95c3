//! What a name in a Python file is: a WSGI app, an ASGI app, a factory of one, or a decoy.
//!
//! Names are followed through assignments, imports, factories and subclasses, across the files of
//! the tree. What leads out of the tree is looked up in one table, [`constructed`].

use super::project::Project;
use super::syntax::{Call, Function, Import, Module, Value};

mod table;

pub(crate) use table::constructed;

/// Assignments and imports followed before giving up.
const FARTHEST: usize = 24;

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Called with `(environ, start_response)`; the framework's name.
    Wsgi(&'static str),
    /// Called with `(scope, receive, send)`; the framework's name.
    Asgi(&'static str),
    /// Brings its own server: the framework's name.
    Own(&'static str),
    /// Holds a WSGI app under an attribute: framework, attribute.
    Holds(&'static str, &'static str),
    /// Named like an app, but none: what it is.
    Decoy(&'static str),
}

/// What a dotted name leads to.
#[derive(Clone, Debug)]
pub(crate) enum Thing {
    /// Something of a library: `flask.Flask`.
    External(String),
    /// A file of the tree.
    File(String),
    /// A function: file, index.
    Function(String, usize),
    /// A class: file, name, bases.
    Class(String, String, Vec<String>),
    /// A value of a known kind.
    Instance(Kind),
    /// An instance of a class of the tree: file, class.
    Object(String, String),
    Unknown,
}

impl Kind {
    /// Whether a server can be given it.
    pub(crate) fn servable(&self) -> bool {
        matches!(self, Self::Wsgi(_) | Self::Asgi(_) | Self::Holds(..))
    }

    /// The framework's name, or what the decoy is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Wsgi(name)
            | Self::Asgi(name)
            | Self::Own(name)
            | Self::Holds(name, _)
            | Self::Decoy(name) => name,
        }
    }
}

/// A place from which names are looked up: a file, and a function in it.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    pub(crate) file: &'s str,
    pub(crate) function: Option<usize>,
}

impl<'s> Scope<'s> {
    pub(crate) fn file(file: &'s str) -> Self {
        Self {
            file,
            function: None,
        }
    }
}

impl Project<'_> {
    /// What `name` (dotted) leads to in `scope`.
    pub(crate) fn thing(&self, scope: Scope<'_>, name: &str) -> Thing {
        self.begin();
        self.dotted(scope, name, FARTHEST)
    }

    /// What `value` is in `scope`.
    pub(crate) fn evaluate(&self, scope: Scope<'_>, value: &Value) -> Thing {
        self.begin();
        self.value(scope, value, FARTHEST)
    }

    /// What calling `function` without arguments gives.
    pub(crate) fn made_by(&self, file: &str, index: usize) -> Thing {
        self.begin();
        self.called(
            &Thing::Function(file.to_owned(), index),
            None,
            Scope::file(file),
            FARTHEST,
        )
    }

    fn value(&self, scope: Scope<'_>, value: &Value, left: usize) -> Thing {
        let Some(left) = self.further(left) else {
            return Thing::Unknown;
        };
        match value {
            Value::Import(import) => self.imported(scope.file, import, left),
            Value::Function(index) => Thing::Function(scope.file.to_owned(), *index),
            Value::Call(call) => {
                let function = self.dotted(scope, &call.function, left);
                self.called(&function, Some(call), scope, left)
            }
            Value::Name(name) => self.dotted(scope, name, left),
            Value::Either(values) => values
                .iter()
                .take(4)
                .map(|value| self.value(scope, value, left))
                .find(|thing| !matches!(thing, Thing::Unknown))
                .unwrap_or(Thing::Unknown),
            _ => Thing::Unknown,
        }
    }

    fn imported(&self, file: &str, import: &Import, left: usize) -> Thing {
        let Some(left) = self.further(left) else {
            return Thing::Unknown;
        };
        let found = self.find(file, &import.module);
        let Some(name) = &import.name else {
            return found.map_or_else(|| Thing::External(import.module.clone()), Thing::File);
        };
        let separator = if import.module.ends_with('.') {
            ""
        } else {
            "."
        };
        let inner = format!("{}{separator}{name}", import.module);
        match found {
            // `from app import app` in app.py itself means something else.
            Some(found) if found != file => match self.dotted(Scope::file(&found), name, left) {
                Thing::Unknown => self.find(file, &inner).map_or(Thing::Unknown, Thing::File),
                thing => thing,
            },
            Some(_) => Thing::Unknown,
            None => match self.find(file, &inner) {
                Some(found) => Thing::File(found),
                None if import.module.starts_with('.') => Thing::Unknown,
                None => Thing::External(inner),
            },
        }
    }

    fn dotted(&self, scope: Scope<'_>, name: &str, left: usize) -> Thing {
        let Some(left) = self.further(left) else {
            return Thing::Unknown;
        };
        let mut parts = name.split('.');
        let Some(first) = parts.next() else {
            return Thing::Unknown;
        };
        let (base, calls) = split_calls(first);
        let mut thing = self.plain(scope, base, left);
        for _ in 0..calls {
            thing = self.called(&thing, None, scope, left);
        }
        for part in parts {
            let (attribute, calls) = split_calls(part);
            thing = self.attribute(&thing, attribute, left);
            for _ in 0..calls {
                thing = self.called(&thing, None, scope, left);
            }
        }
        thing
    }

    /// A name without dots.
    fn plain(&self, scope: Scope<'_>, name: &str, left: usize) -> Thing {
        let module = self.module(scope.file);
        if let Some(function) = scope.function.and_then(|at| module.functions.get(at)) {
            let local = function
                .bindings
                .iter()
                .rev()
                .filter(|binding| binding.name == name);
            let mut found = None;
            for binding in local {
                found = Some(self.value(scope, &binding.value, left));
                if !matches!(found, Some(Thing::Unknown)) {
                    break;
                }
            }
            if let Some(thing) = found {
                return thing;
            }
            let mut parameters = function.parameters.iter();
            if let Some(at) = parameters.position(|(own, _)| own == name) {
                // `self` in a method.
                return match function.name.split_once('.') {
                    Some((class, _)) if at == 0 => {
                        Thing::Object(scope.file.to_owned(), class.to_owned())
                    }
                    _ => Thing::Unknown,
                };
            }
        }
        let scope = Scope::file(scope.file);
        if let Some(binding) = module.bound(name) {
            if let Value::Class { bases } = &binding.value {
                return Thing::Class(scope.file.to_owned(), name.to_owned(), bases.clone());
            }
            // `app = Wrapper(app)` names an earlier `app`.
            return self.rebound(&module, scope, name, left);
        }
        for star in module.stars.iter().take(8) {
            let import = Import {
                module: star.module.clone(),
                name: Some(name.to_owned()),
            };
            if self.find(scope.file, &star.module).is_some() {
                let thing = self.imported(scope.file, &import, left);
                if !matches!(thing, Thing::Unknown) {
                    return thing;
                }
            } else if constructed(&format!("{}.{name}", star.module)).is_some() {
                return Thing::External(format!("{}.{name}", star.module));
            }
        }
        Thing::Unknown
    }

    /// The last binding of `name`, where a wrapper around itself means the one before it.
    fn rebound(&self, module: &Module, scope: Scope<'_>, name: &str, left: usize) -> Thing {
        let mut bindings = module
            .bindings
            .iter()
            .rev()
            .filter(|b| b.name == name && b.place <= super::syntax::Place::Branch)
            .filter(|b| !matches!(b.value, Value::None));
        let Some(last) = bindings.next() else {
            return Thing::Unknown;
        };
        if let Value::Call(call) = &last.value {
            let around_itself = call
                .args
                .iter()
                .chain(call.keywords.iter().map(|(_, value)| value))
                .any(|value| matches!(value, Value::Name(inner) if inner == name));
            if around_itself {
                let before = bindings.next().map_or(Thing::Unknown, |binding| {
                    self.value(scope, &binding.value, left)
                });
                let function = self.dotted(scope, &call.function, left);
                return wrapped(&function, &before);
            }
        }
        self.value(scope, &last.value, left)
    }

    fn attribute(&self, thing: &Thing, name: &str, left: usize) -> Thing {
        match thing {
            Thing::External(path) => Thing::External(format!("{path}.{name}")),
            Thing::File(file) => match self.dotted(Scope::file(file), name, left) {
                Thing::Unknown if file.ends_with("/__init__.py") => self
                    .find(file, &format!(".{name}"))
                    .map_or(Thing::Unknown, Thing::File),
                thing => thing,
            },
            Thing::Instance(Kind::Holds(framework, attribute)) if name == *attribute => {
                Thing::Instance(Kind::Wsgi(framework))
            }
            Thing::Instance(Kind::Holds(framework, "wsgifunc()")) if name == "wsgifunc" => {
                Thing::External(format!("{framework}.wsgifunc"))
            }
            Thing::Object(file, class) | Thing::Class(file, class, _) => {
                self.member(file, class, name, left)
            }
            // `app.wsgi_app`, Starlette's `app.app`.
            Thing::Instance(kind @ Kind::Wsgi(_)) if name == "wsgi_app" => {
                Thing::Instance(kind.clone())
            }
            Thing::Instance(kind) if name == "make_wsgi_app" => {
                Thing::External(format!("{}.make_wsgi_app", kind.name()))
            }
            _ => Thing::Unknown,
        }
    }

    /// What `name` of a class, or of its instances, is: bound in the class, by one of its methods as
    /// `self.name`, a method, or the same of its bases.
    fn member(&self, file: &str, class: &str, name: &str, left: usize) -> Thing {
        let Some(left) = self.further(left) else {
            return Thing::Unknown;
        };
        let module = self.module(file);
        let scope = Scope::file(file);
        if let Some(binding) = module.bound(&format!("{class}.{name}")) {
            return self.value(scope, &binding.value, left);
        }
        let (method, own) = (format!("{class}.{name}"), format!("self.{name}"));
        for (index, function) in module.functions.iter().enumerate() {
            if function.name == method {
                return Thing::Function(file.to_owned(), index);
            }
            if function.name.split_once('.').map(|(class, _)| class) != Some(class) {
                continue;
            }
            for binding in function.bindings.iter().rev().filter(|b| b.name == own) {
                let scope = Scope {
                    file,
                    function: Some(index),
                };
                let thing = self.value(scope, &binding.value, left);
                if !matches!(thing, Thing::Unknown) {
                    return thing;
                }
            }
        }
        let Some(Value::Class { bases }) = module.bound(class).map(|binding| &binding.value) else {
            return Thing::Unknown;
        };
        for base in bases.iter().take(4) {
            if let Thing::Class(file, class, _) = self.dotted(scope, base, left) {
                let thing = self.member(&file, &class, name, left);
                if !matches!(thing, Thing::Unknown) {
                    return thing;
                }
            }
        }
        Thing::Unknown
    }

    fn called(&self, thing: &Thing, call: Option<&Call>, scope: Scope<'_>, left: usize) -> Thing {
        let Some(left) = self.further(left) else {
            return Thing::Unknown;
        };
        match thing {
            Thing::External(path) => {
                let first = call.and_then(|call| {
                    let named = ["app", "application", "wsgi_app", "asgi_app"];
                    call.args
                        .first()
                        .or_else(|| named.iter().find_map(|name| call.keyword(name)))
                });
                if let Some(kind) = constructed(path) {
                    return Thing::Instance(kind);
                }
                match first {
                    Some(first) => wrapped(thing, &self.value(scope, first, left)),
                    None => Thing::Unknown,
                }
            }
            Thing::Class(file, name, bases) => {
                let module = self.module(file);
                for base in bases.iter().take(8) {
                    let base_thing = self.dotted(Scope::file(file), base, left);
                    let made = self.called(&base_thing, None, Scope::file(file), left);
                    if let Thing::Instance(_) = made {
                        return made;
                    }
                }
                module
                    .function(&format!("{name}.__call__"))
                    .and_then(|method| interface(method.parameters.get(1..)?, method.is_async))
                    .map_or_else(
                        || Thing::Object(file.clone(), name.clone()),
                        Thing::Instance,
                    )
            }
            Thing::Function(file, index) => {
                let module = self.module(file);
                let Some(function) = module.functions.get(*index) else {
                    return Thing::Unknown;
                };
                let scope = Scope {
                    file,
                    function: Some(*index),
                };
                function
                    .returns
                    .iter()
                    .rev()
                    .map(|value| self.value(scope, value, left))
                    .find(|thing| matches!(thing, Thing::Instance(_) | Thing::Function(..)))
                    .unwrap_or(Thing::Unknown)
            }
            _ => Thing::Unknown,
        }
    }

    /// The kind that a server would find under a name, if any.
    pub(crate) fn kind_of(&self, thing: &Thing) -> Option<Kind> {
        match thing {
            Thing::Instance(kind) => Some(kind.clone()),
            Thing::Function(file, index) => {
                let module = self.module(file);
                let function = module.functions.get(*index)?;
                plain_app(function)
            }
            _ => None,
        }
    }
}

/// `def application(environ, start_response)`, `async def app(scope, receive, send)`.
pub(crate) fn plain_app(function: &Function) -> Option<Kind> {
    interface(&function.parameters, function.is_async)
}

fn interface(parameters: &[(String, bool)], is_async: bool) -> Option<Kind> {
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    match names[..] {
        [environ, start]
            if environ.starts_with("env")
                && matches!(start, "start_response" | "start" | "start_resp" | "sr") =>
        {
            Some(Kind::Wsgi("WSGI"))
        }
        ["scope", "receive", "send"] if is_async => Some(Kind::Asgi("ASGI")),
        _ => None,
    }
}

/// A library's wrapper around an app is an app, if it is named like one.
fn wrapped(function: &Thing, inner: &Thing) -> Thing {
    let (Thing::External(path), Thing::Instance(kind)) = (function, inner) else {
        return Thing::Unknown;
    };
    let name = path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let framework = kind.name();
    match name.as_str() {
        "wsgitoasgi" | "wsgimiddleware" if path.starts_with("asgiref") => {
            Thing::Instance(Kind::Asgi(framework))
        }
        "asgimiddleware" if path.starts_with("a2wsgi") => Thing::Instance(Kind::Wsgi(framework)),
        "wsgimiddleware" if path.starts_with("a2wsgi") => Thing::Instance(Kind::Asgi(framework)),
        _ => {
            let kept = [
                "middleware",
                "proxyfix",
                "whitenoise",
                "wsgi",
                "asgi",
                "cling",
                "profiler",
                "stripper",
                "prefix",
                "logger",
                "fixer",
                "sentry",
                "cors",
                "timing",
                "shareddata",
                "reverseproxied",
                "debuggedapplication",
                "corsmiddleware",
                "trustedhost",
            ];
            // `CORS(app)` of flask_cors returns something else; `CORSMiddleware(app)` wraps.
            let keeps = kept.iter().any(|part| name.contains(part)) && name != "cors";
            if keeps && kind.servable() {
                Thing::Instance(kind.clone())
            } else {
                Thing::Unknown
            }
        }
    }
}

/// `f()()` → (`f`, 2); a subscript makes the name unknown.
fn split_calls(part: &str) -> (&str, usize) {
    let base = part.find(['(', '[']).map_or(part, |at| &part[..at]);
    (base, part.matches("()").count())
}
