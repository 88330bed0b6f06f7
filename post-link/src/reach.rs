//! Which functions of a module can be called.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TypeRef};

use crate::{Error, KEPT};

/// What can be called from the exports that stay.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The new place of each function, by its old one; none for what goes.
    places: Vec<Option<u32>>,
    /// How many of the functions are imports.
    pub(crate) imports: u32,
}

/// What of a module decides who calls whom.
#[derive(Default)]
struct Parts<'a> {
    types: Vec<FuncType>,
    /// The type of each function, those of the imports first.
    functions: Vec<u32>,
    imports: u32,
    bodies: Vec<FunctionBody<'a>>,
    /// Where a host enters.
    entries: Vec<u32>,
    /// The functions of the table.
    table: Vec<u32>,
}

/// What one function calls.
#[derive(Default)]
struct Calls {
    functions: Vec<u32>,
    /// The types of the calls through the table.
    types: Vec<u32>,
}

impl Reach {
    pub(crate) fn of(module: &[u8]) -> Result<Self, Error> {
        let parts = Parts::read(module)?;
        let callable = parts.callable()?;
        let mut next = 0;
        let place = |index| {
            callable.contains(&index).then(|| {
                next += 1;
                next - 1
            })
        };
        Ok(Self { places: (0..count(&parts.functions)).map(place).collect(), imports: parts.imports })
    }

    /// The new place of a function, unless it goes.
    pub(crate) fn place(&self, function: u32) -> Option<u32> {
        self.places.get(usize::try_from(function).ok()?).copied().flatten()
    }
}

impl<'a> Parts<'a> {
    fn read(module: &'a [u8]) -> Result<Self, Error> {
        let mut parts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            parts.take(payload?)?;
        }
        Ok(parts)
    }

    fn take(&mut self, payload: Payload<'a>) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(section) => {
                for of in section.into_iter_err_on_gc_types() {
                    self.types.push(of?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let TypeRef::Func(of) = import?.ty else {
                        return Err(Error::Unforeseen("an import that is no function"));
                    };
                    self.functions.push(of);
                    self.imports += 1;
                }
            }
            Payload::FunctionSection(section) => {
                for of in section {
                    self.functions.push(of?);
                }
            }
            Payload::ExportSection(section) => {
                let mut exports = BTreeMap::new();
                for export in section {
                    let export = export?;
                    exports.insert(export.name, export);
                }
                for name in KEPT {
                    let export = exports.get(name).ok_or(Error::NotExported(name))?;
                    match export.kind {
                        ExternalKind::Func => self.entries.push(export.index),
                        ExternalKind::Memory => {}
                        _ => return Err(Error::Unforeseen("an export that is neither a function nor the memory")),
                    }
                }
            }
            Payload::StartSection { func, .. } => self.entries.push(func),
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element?;
                    let (ElementKind::Active { .. }, ElementItems::Functions(functions)) =
                        (element.kind, element.items)
                    else {
                        return Err(Error::Unforeseen(
                            "a table that is filled in another way than with functions at the start",
                        ));
                    };
                    for function in functions {
                        self.table.push(function?);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    /// The functions that an entry calls, and what they call, and so on.
    fn callable(&self) -> Result<BTreeSet<u32>, Error> {
        let (mut callable, mut called_types) = (BTreeSet::new(), BTreeSet::new());
        let mut to_do = self.entries.clone();
        while let Some(function) = to_do.pop() {
            if !callable.insert(function) {
                continue;
            }
            let Some(body) = function.checked_sub(self.imports).and_then(|place| self.bodies.get(at(place))) else {
                continue;
            };
            let calls = Calls::of(body)?;
            to_do.extend(calls.functions);
            for of in calls.types {
                if called_types.insert(of) {
                    to_do.extend(self.table.iter().filter(|function| self.has_type(**function, of)));
                }
            }
        }
        Ok(callable)
    }

    /// A call through the table compares what the types are, not which they are.
    fn has_type(&self, function: u32, of: u32) -> bool {
        let of_function = self.functions.get(at(function)).and_then(|own| self.types.get(at(*own)));
        of_function.is_some() && of_function == self.types.get(at(of))
    }
}

impl Calls {
    fn of(body: &FunctionBody<'_>) -> Result<Self, Error> {
        let mut calls = Self::default();
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Call { function_index }
                | Operator::ReturnCall { function_index }
                | Operator::RefFunc { function_index } => calls.functions.push(function_index),
                Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                    calls.types.push(type_index);
                }
                Operator::CallRef { .. } | Operator::ReturnCallRef { .. } => {
                    return Err(Error::Unforeseen("a call by reference"));
                }
                Operator::TableSet { .. }
                | Operator::TableGet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => return Err(Error::Unforeseen("a table that changes")),
                _ => {}
            }
        }
        Ok(calls)
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn count(functions: &[u32]) -> u32 {
    u32::try_from(functions.len()).unwrap_or(u32::MAX)
}
