//! The walk over the parser's tree that collects a [`Module`].

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{BoolOp, Expr, ExprContext, Number, Parameters, Stmt};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::{Ranged, TextSize};

use super::{Binding, Call, Function, Import, Module, Place, Subscript, Value};

/// Sources nested deeper than this are not looked into; Python itself refuses them.
const DEEPEST: usize = 120;
/// How deep a value is taken apart.
const DEEPEST_VALUE: usize = 8;
/// Longer sources are data, not an app's entry.
const LONGEST: usize = 512 * 1024;

/// Read `source` as a Python module. Never fails: what cannot be read is left out.
pub(crate) fn parse(source: &str) -> Module {
    let mut module = Module::default();
    if source.len() > LONGEST {
        module.broken = true;
        return module;
    }
    // The parser is a third party's, and its input a stranger's.
    let parsed = std::panic::catch_unwind(|| {
        parse_unchecked(source, ParseOptions::from(Mode::Module)).try_into_module()
    });
    let Ok(Some(parsed)) = parsed else {
        module.broken = true;
        return module;
    };
    module.broken = !parsed.errors().is_empty();
    let mut lower = Lower {
        lines: source
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at)
            .collect(),
        module,
        place: Place::Top,
        function: None,
        nested: 0,
        class: None,
        depth: 0,
        defaulted: BTreeSet::new(),
        loads: BTreeSet::new(),
        stores: BTreeSet::new(),
    };
    for statement in &parsed.syntax().body {
        lower.visit_stmt(statement);
    }
    lower.module
}

struct Lower {
    lines: Vec<usize>,
    module: Module,
    place: Place,
    /// The function whose body is being read.
    function: Option<Function>,
    /// Functions inside that function.
    nested: usize,
    class: Option<String>,
    depth: usize,
    /// Where calls begin that stand before an `or`.
    defaulted: BTreeSet<TextSize>,
    loads: BTreeSet<String>,
    stores: BTreeSet<String>,
}

impl Lower {
    fn line(&self, at: TextSize) -> u32 {
        let before = self.lines.partition_point(|end| *end < at.to_usize());
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    fn bind(&mut self, name: &str, value: Value, line: u32) {
        self.stores.insert(name.to_owned());
        // An attribute of a class is kept under its dotted name.
        let of_class = self.class.as_ref().filter(|_| self.function.is_none());
        let name = &of_class.map_or(name.to_owned(), |class| format!("{class}.{name}"));
        let binding = Binding {
            name: name.to_owned(),
            value,
            line,
            place: self.place,
        };
        match &mut self.function {
            Some(function) => {
                if self.nested > 0 {
                    return;
                }
                if function.globals.contains(name) {
                    self.module.bindings.push(binding.clone());
                }
                function.bindings.push(binding);
            }
            None => self.module.bindings.push(binding),
        }
    }

    fn bind_target(&mut self, target: &Expr, value: &Value) {
        let line = self.line(target.start());
        let key = match target {
            Expr::Name(name) => Some(name.id.to_string()),
            Expr::Subscript(subscript) => match &*subscript.slice {
                Expr::StringLiteral(key) => Some(key.value.to_str().to_owned()),
                _ => None,
            },
            _ => None,
        };
        if let Some(key) = key {
            self.module.assigned.push((key, value.clone(), line));
        }
        match target {
            Expr::Name(name) => self.bind(name.id.as_str(), value.clone(), line),
            Expr::Tuple(tuple) => self.bind_each(&tuple.elts, value),
            Expr::List(list) => self.bind_each(&list.elts, value),
            // `app.server = …` is kept under its dotted name.
            Expr::Attribute(_) => {
                if let Some(name) = dotted(target, 0) {
                    self.bind(&name, value.clone(), line);
                }
            }
            _ => {}
        }
    }

    fn bind_each(&mut self, targets: &[Expr], value: &Value) {
        for (at, target) in targets.iter().enumerate() {
            let part = match value {
                Value::List(parts) if parts.len() == targets.len() => parts[at].clone(),
                // `app, rt = fast_app()`.
                Value::Call(call) if at == 0 && call.function.ends_with("fast_app") => {
                    value.clone()
                }
                _ => Value::Other,
            };
            if self.depth < DEEPEST {
                self.depth += 1;
                self.bind_target(target, &part);
                self.depth -= 1;
            }
        }
    }

    fn in_place(&mut self, place: Place, body: &[Stmt]) {
        let before = self.place;
        if self.place < place {
            self.place = place;
        }
        for statement in body {
            self.visit_stmt(statement);
        }
        self.place = before;
    }

    fn function(&mut self, def: &ruff_python_ast::StmtFunctionDef) {
        let name = def.name.as_str();
        for decorator in &def.decorator_list {
            self.visit_expr(&decorator.expression);
        }
        for parameter in def.parameters.iter_non_variadic_params() {
            if let Some(default) = &parameter.default {
                self.visit_expr(default);
            }
        }
        let line = self.line(def.name.start());
        if self.function.is_some() {
            self.bind(name, Value::Other, line);
            self.store_parameters(&def.parameters);
            self.nested += 1;
            for statement in &def.body {
                self.visit_stmt(statement);
            }
            self.nested -= 1;
            return;
        }
        let full = match &self.class {
            Some(class) => format!("{class}.{name}"),
            None => name.to_owned(),
        };
        let loads = std::mem::take(&mut self.loads);
        let stores = std::mem::take(&mut self.stores);
        self.function = Some(Function {
            name: full,
            line,
            is_async: def.is_async,
            parameters: parameters(&def.parameters),
            decorators: def
                .decorator_list
                .iter()
                .filter_map(|decorator| dotted(&decorator.expression, 0))
                .collect(),
            ..Function::default()
        });
        self.store_parameters(&def.parameters);
        self.in_place(Place::Function, &def.body);
        let stores_inside = std::mem::replace(&mut self.stores, stores);
        let loads_inside = std::mem::replace(&mut self.loads, loads);
        if let Some(mut function) = self.function.take() {
            function.free = loads_inside
                .into_iter()
                .filter(|name| !stores_inside.contains(name) || function.globals.contains(name))
                .collect();
            self.module.functions.push(function);
            if self.class.is_none() {
                let index = self.module.functions.len() - 1;
                self.bind(name, Value::Function(index), line);
            }
        }
    }

    fn store_parameters(&mut self, parameters: &Parameters) {
        for parameter in parameters.iter_source_order() {
            self.stores.insert(parameter.name().to_string());
        }
    }

    fn class(&mut self, def: &ruff_python_ast::StmtClassDef) {
        let bases: Vec<String> = def
            .arguments
            .iter()
            .flat_map(|arguments| arguments.args.iter())
            .filter_map(|base| dotted(base, 0))
            .collect();
        let line = self.line(def.name.start());
        if self.class.is_none() {
            self.bind(def.name.as_str(), Value::Class { bases }, line);
        }
        if self.function.is_some() {
            // A class inside a function: its methods are nested functions.
            self.nested += 1;
            walk_body(self, &def.body);
            self.nested -= 1;
            return;
        }
        let outer = self.class.replace(def.name.to_string());
        walk_body(self, &def.body);
        self.class = outer;
    }

    fn import(&mut self, import: &ruff_python_ast::StmtImport) {
        for alias in &import.names {
            let module = alias.name.to_string();
            let line = self.line(alias.start());
            self.module.imports.push(module.clone());
            let (name, module) = match &alias.asname {
                Some(name) => (name.to_string(), module),
                None => {
                    let top = module.split('.').next().unwrap_or_default().to_owned();
                    (top.clone(), top)
                }
            };
            self.bind(&name, Value::Import(Import { module, name: None }), line);
        }
    }

    fn import_from(&mut self, import: &ruff_python_ast::StmtImportFrom) {
        let dots = usize::try_from(import.level.min(16)).unwrap_or_default();
        let mut module = ".".repeat(dots);
        if let Some(name) = &import.module {
            module.push_str(name.as_str());
        }
        self.module.imports.push(module.clone());
        for alias in &import.names {
            let line = self.line(alias.start());
            let name = alias.name.to_string();
            let wanted = Import {
                module: module.clone(),
                name: Some(name.clone()),
            };
            if name == "*" {
                self.module.stars.push(wanted);
                continue;
            }
            let local = alias.asname.as_ref().map_or(name, |n| n.to_string());
            self.bind(&local, Value::Import(wanted), line);
        }
    }

    fn value(&self, expr: &Expr, depth: usize) -> Value {
        if depth > DEEPEST_VALUE {
            return Value::Other;
        }
        let list = |items: &[Expr]| {
            Value::List(
                items
                    .iter()
                    .map(|item| self.value(item, depth + 1))
                    .collect(),
            )
        };
        match expr {
            Expr::Call(call) => match self.call(call, depth) {
                Some(call) => Value::Call(Box::new(call)),
                None => Value::Other,
            },
            Expr::Name(_) | Expr::Attribute(_) => dotted(expr, 0).map_or(Value::Other, Value::Name),
            Expr::StringLiteral(text) => Value::Str(text.value.to_str().to_owned()),
            Expr::NumberLiteral(number) => match &number.value {
                Number::Int(int) => int.as_i64().map_or(Value::Other, Value::Int),
                _ => Value::Other,
            },
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::List(items) => list(&items.elts),
            Expr::Tuple(items) => list(&items.elts),
            Expr::Dict(dict) => Value::Dict(
                dict.items
                    .iter()
                    .filter_map(|item| {
                        let key = self.value(item.key.as_ref()?, depth + 1);
                        Some((key, self.value(&item.value, depth + 1)))
                    })
                    .collect(),
            ),
            Expr::If(either) => Value::Either(vec![
                self.value(&either.body, depth + 1),
                self.value(&either.orelse, depth + 1),
            ]),
            Expr::BoolOp(either) => Value::Either(
                either
                    .values
                    .iter()
                    .map(|value| self.value(value, depth + 1))
                    .collect(),
            ),
            // Paths and texts put together: `BASE_DIR / "static"`, `"sqlite:///" + name`.
            Expr::BinOp(pair) => Value::Call(Box::new(Call {
                function: pair.op.as_str().to_owned(),
                args: vec![
                    self.value(&pair.left, depth + 1),
                    self.value(&pair.right, depth + 1),
                ],
                line: self.line(pair.start()),
                ..Call::default()
            })),
            Expr::FString(text) => {
                let mut literal = String::new();
                for element in text.value.elements().take(64) {
                    match element.as_literal() {
                        Some(part) => literal.push_str(&part.value),
                        None => literal.push_str("{}"),
                    }
                }
                Value::Str(literal)
            }
            Expr::Await(inner) => self.value(&inner.value, depth + 1),
            Expr::Named(named) => self.value(&named.value, depth + 1),
            _ => Value::Other,
        }
    }

    fn call(&self, call: &ruff_python_ast::ExprCall, depth: usize) -> Option<Call> {
        let function = dotted(&call.func, 0)?;
        let value = |expr: &Expr| self.value(expr, depth + 1);
        Some(Call {
            function,
            args: call.arguments.args.iter().map(value).collect(),
            keywords: call
                .arguments
                .keywords
                .iter()
                .filter_map(|keyword| {
                    let name = keyword.arg.as_ref()?.to_string();
                    Some((name, value(&keyword.value)))
                })
                .collect(),
            line: self.line(call.start()),
            place: self.place,
            inside: self.function.as_ref().map(|f| f.name.clone()),
        })
    }
}

fn walk_body(lower: &mut Lower, body: &[Stmt]) {
    for statement in body {
        lower.visit_stmt(statement);
    }
}

impl<'a> Visitor<'a> for Lower {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.depth > DEEPEST {
            return;
        }
        self.depth += 1;
        match statement {
            Stmt::FunctionDef(def) => self.function(def),
            Stmt::ClassDef(def) => self.class(def),
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Assign(assign) => {
                let value = self.value(&assign.value, 0);
                for target in &assign.targets {
                    self.bind_target(target, &value);
                }
                walk_stmt(self, statement);
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.value(value, 0);
                    self.bind_target(&assign.target, &value);
                } else if let (Some(class), None, Expr::Name(name)) =
                    (&self.class, &self.function, &*assign.target)
                {
                    let line = self.line(name.start());
                    let field = (class.clone(), name.id.to_string(), line);
                    self.module.declared.push(field);
                }
                walk_stmt(self, statement);
            }
            Stmt::Return(returned) => {
                if let Some(value) = &returned.value {
                    let value = self.value(value, 0);
                    if let (Some(function), 0) = (&mut self.function, self.nested) {
                        function.returns.push(value);
                    }
                }
                walk_stmt(self, statement);
            }
            Stmt::Global(global) => {
                if let Some(function) = &mut self.function {
                    let names = global.names.iter().map(ToString::to_string);
                    function.globals.extend(names);
                }
            }
            Stmt::If(test) => {
                self.visit_expr(&test.test);
                let main = self.function.is_none() && is_main(&test.test);
                self.module.has_main |= main;
                let place = if main { Place::Main } else { Place::Branch };
                self.in_place(place, &test.body);
                for clause in &test.elif_else_clauses {
                    if let Some(test) = &clause.test {
                        self.visit_expr(test);
                    }
                    self.in_place(Place::Branch, &clause.body);
                }
            }
            Stmt::Try(_) | Stmt::With(_) | Stmt::For(_) | Stmt::While(_) | Stmt::Match(_) => {
                let before = self.place;
                self.place = self.place.max(Place::Branch);
                if let Stmt::With(with) = statement {
                    for item in &with.items {
                        if let Some(target) = &item.optional_vars {
                            let value = self.value(&item.context_expr, 0);
                            self.bind_target(target, &value);
                        }
                    }
                }
                walk_stmt(self, statement);
                self.place = before;
            }
            _ => walk_stmt(self, statement),
        }
        self.depth -= 1;
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if self.depth > DEEPEST {
            return;
        }
        self.depth += 1;
        match expr {
            Expr::Call(call) => {
                let start = call.start();
                if let Some(mut call) = self.call(call, 0) {
                    if self.defaulted.contains(&start) {
                        call.keywords.push(("default".to_owned(), Value::Other));
                    }
                    self.module.calls.push(call);
                }
            }
            Expr::Subscript(subscript) => {
                if let (Some(base), Expr::StringLiteral(key)) =
                    (dotted(&subscript.value, 0), &*subscript.slice)
                {
                    let line = self.line(subscript.start());
                    self.module.subscripts.push(Subscript {
                        base,
                        key: key.value.to_str().to_owned(),
                        line,
                        place: self.place,
                        stored: subscript.ctx != ExprContext::Load,
                    });
                }
            }
            Expr::StringLiteral(text) => {
                let line = self.line(text.start());
                let text = text.value.to_str().to_owned();
                self.module.strings.push((text, line));
            }
            Expr::Name(name) => {
                let names = match name.ctx {
                    ExprContext::Load => &mut self.loads,
                    _ => &mut self.stores,
                };
                names.insert(name.id.to_string());
            }
            Expr::BoolOp(either) if either.op == BoolOp::Or => {
                let before_last = either.values.iter().rev().skip(1);
                self.defaulted.extend(before_last.map(Ranged::start));
            }
            Expr::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.store_parameters(parameters);
                }
            }
            Expr::Yield(_) | Expr::YieldFrom(_) => {
                if let (Some(function), 0) = (&mut self.function, self.nested) {
                    function.yields = true;
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
        self.depth -= 1;
    }

    fn visit_except_handler(&mut self, handler: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(inner) = handler;
        if let Some(name) = &inner.name {
            self.stores.insert(name.to_string());
        }
        ruff_python_ast::visitor::walk_except_handler(self, handler);
    }
}

fn parameters(parameters: &Parameters) -> Vec<(String, bool)> {
    parameters
        .iter_non_variadic_params()
        .map(|p| (p.parameter.name.to_string(), p.default.is_none()))
        .collect()
}

/// `__name__ == "__main__"`, either way round, also as one of several conditions.
fn is_main(test: &Expr) -> bool {
    match test {
        Expr::Compare(compare) => {
            let mut sides = std::iter::once(&*compare.left).chain(&compare.comparators);
            let mut sides_again = std::iter::once(&*compare.left).chain(&compare.comparators);
            sides.any(|side| matches!(side, Expr::Name(name) if name.id.as_str() == "__name__"))
                && sides_again.any(|side| {
                    matches!(side, Expr::StringLiteral(text) if text.value.to_str() == "__main__")
                })
        }
        Expr::BoolOp(both) => both.values.iter().take(8).any(is_main),
        _ => false,
    }
}

/// `a.b.c`; a call inside becomes `()`, a subscript `[]`.
fn dotted(expr: &Expr, depth: usize) -> Option<String> {
    if depth > 16 {
        return None;
    }
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => {
            let base = dotted(&attribute.value, depth + 1)?;
            Some(format!("{base}.{}", attribute.attr))
        }
        Expr::Call(call) => Some(format!("{}()", dotted(&call.func, depth + 1)?)),
        Expr::Subscript(subscript) => Some(format!("{}[]", dotted(&subscript.value, depth + 1)?)),
        _ => None,
    }
}
