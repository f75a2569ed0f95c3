//! Python source → the few facts that detection asks for.
//!
//! The parser recovers from errors, so a file written for Python 2, or cut in half, still yields
//! what stands before and after the place that cannot be read. Nothing is ever run.

use std::collections::BTreeSet;

mod lower;

pub(crate) use lower::parse;

/// What one Python file says.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Names bound at module level, in order; a name may be bound several times. `Class.name` is bound in a class.
    pub(crate) bindings: Vec<Binding>,
    /// `from x import *`.
    pub(crate) stars: Vec<Import>,
    /// Functions and methods (`Class.method`); nested ones are part of the outer one.
    pub(crate) functions: Vec<Function>,
    /// Every call, in order.
    pub(crate) calls: Vec<Call>,
    /// `os.environ["X"]` and the like: what is subscripted, and by which string.
    pub(crate) subscripts: Vec<Subscript>,
    /// Every assignment of every scope: to a name, or to a string key (`config["X"] = …`).
    pub(crate) assigned: Vec<(String, Value, u32)>,
    /// Fields of classes that are declared without a value (`port: int`): class, name, line.
    pub(crate) declared: Vec<(String, String, u32)>,
    /// Every string literal with its line.
    pub(crate) strings: Vec<(String, u32)>,
    /// Modules named by any import statement, relative ones with leading dots.
    pub(crate) imports: Vec<String>,
    /// The source has `if __name__ == "__main__":`.
    pub(crate) has_main: bool,
    /// The parser met something that it could not read.
    pub(crate) broken: bool,
}

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Place {
    /// Run whenever the module is imported.
    #[default]
    Top,
    /// Inside `if`, `try`, a loop or `with` at module level.
    Branch,
    /// Under `if __name__ == "__main__":`.
    Main,
    /// Inside a function.
    Function,
}

/// `name = value` in any of its forms.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) line: u32,
    pub(crate) place: Place,
}

/// `from module import name`, or `import module`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Import {
    /// With leading dots when relative.
    pub(crate) module: String,
    /// `None`: the module itself.
    pub(crate) name: Option<String>,
}

/// An expression, as far as it matters.
#[derive(Clone, Debug, Default)]
pub(crate) enum Value {
    Import(Import),
    /// Index into [`Module::functions`].
    Function(usize),
    Class {
        bases: Vec<String>,
    },
    Call(Box<Call>),
    /// A dotted name; `()` marks a call inside it: `Flask().wsgi_app`.
    Name(String),
    Str(String),
    Int(i64),
    Bool(bool),
    None,
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// `a if x else b`, `a or b`.
    Either(Vec<Value>),
    #[default]
    Other,
}

/// `function(arguments)`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// Dotted, as written.
    pub(crate) function: String,
    pub(crate) args: Vec<Value>,
    pub(crate) keywords: Vec<(String, Value)>,
    pub(crate) line: u32,
    pub(crate) place: Place,
    /// Name of the function that it stands in.
    pub(crate) inside: Option<String>,
}

/// `base["key"]`.
#[derive(Clone, Debug)]
pub(crate) struct Subscript {
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) place: Place,
    /// Assigned to or deleted, rather than read.
    pub(crate) stored: bool,
}

/// A function or method.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) is_async: bool,
    /// Parameter names in order, with whether each must be given.
    pub(crate) parameters: Vec<(String, bool)>,
    pub(crate) decorators: Vec<String>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) returns: Vec<Value>,
    /// `yield` stands in it.
    pub(crate) yields: bool,
    /// Names read that are not bound in it.
    pub(crate) free: BTreeSet<String>,
    /// Names declared `global`.
    pub(crate) globals: BTreeSet<String>,
}

impl Module {
    /// The last binding of `name` that an import of the module would make.
    pub(crate) fn bound(&self, name: &str) -> Option<&Binding> {
        let on_import = |binding: &&Binding| binding.name == name && binding.place <= Place::Branch;
        let plain =
            |binding: &&Binding| on_import(binding) && !matches!(binding.value, Value::None);
        self.bindings
            .iter()
            .rev()
            .find(plain)
            .or_else(|| self.bindings.iter().rev().find(on_import))
    }

    /// Function by name.
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().rev().find(|f| f.name == name)
    }

    /// Calls of exactly this dotted name.
    pub(crate) fn calls_of<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a Call> {
        self.calls
            .iter()
            .filter(move |call| call.function == function)
    }
}

impl Function {
    /// Whether it can be called without arguments.
    pub(crate) fn callable_bare(&self) -> bool {
        self.parameters.iter().all(|(_, required)| !required)
    }
}

impl Call {
    /// A keyword argument.
    pub(crate) fn keyword(&self, name: &str) -> Option<&Value> {
        self.keywords
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// A keyword argument, or the positional one at `index`.
    pub(crate) fn argument(&self, name: &str, index: usize) -> Option<&Value> {
        self.keyword(name).or_else(|| self.args.get(index))
    }
}

impl Value {
    /// A string literal's text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }
}
