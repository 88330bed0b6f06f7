//! Writes a module without what cannot be called.

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, ExportSection, FunctionSection, ImportSection, Module,
};
use wasmparser::{
    CustomSectionReader, Element, ElementItems, ElementKind, Export, FunctionBody, FunctionSectionReader,
    ImportSectionReader, Operator,
};

use crate::reach::Reach;
use crate::{Error, KEPT};

pub(crate) struct Rewrite<'r> {
    reach: &'r Reach,
    /// The function whose body comes next, by its old place.
    next: u32,
}

type Done<T = ()> = Result<T, reencode::Error<Error>>;

impl<'r> Rewrite<'r> {
    pub(crate) fn new(reach: &'r Reach) -> Self {
        Self { reach, next: reach.imports }
    }
}

impl Reencode for Rewrite<'_> {
    type Error = Error;

    fn function_index(&mut self, function: u32) -> Done<u32> {
        let gone = || reencode::Error::UserError(Error::Rewrite(format!("function {function} is gone, and is called")));
        self.reach.place(function).ok_or_else(gone)
    }

    fn parse_import_section(&mut self, imports: &mut ImportSection, section: ImportSectionReader<'_>) -> Done {
        for (import, function) in section.into_imports().zip(0..) {
            if self.reach.place(function).is_some() {
                self.parse_import(imports, import?)?;
            }
        }
        Ok(())
    }

    fn parse_function_section(&mut self, functions: &mut FunctionSection, section: FunctionSectionReader<'_>) -> Done {
        for (of, function) in section.into_iter().zip(self.reach.imports..) {
            if self.reach.place(function).is_some() {
                functions.function(self.type_index(of?)?);
            }
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Done {
        let function = self.next;
        self.next = function.saturating_add(1);
        if self.reach.place(function).is_none() {
            return Ok(());
        }
        utils::parse_function_body(self, code, body)
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Done {
        if !KEPT.contains(&export.name) {
            return Ok(());
        }
        utils::parse_export(self, exports, export)
    }

    /// An element for each run of functions that stay: what lies between is empty.
    fn parse_element(&mut self, elements: &mut ElementSection, element: Element<'_>) -> Done {
        let unforeseen = |what| reencode::Error::UserError(Error::Unforeseen(what));
        let (ElementKind::Active { table_index, offset_expr }, ElementItems::Functions(functions)) =
            (element.kind, element.items)
        else {
            return Err(unforeseen("an element that is not active"));
        };
        let Some(Ok(Operator::I32Const { value: start })) = offset_expr.get_operators_reader().into_iter().next()
        else {
            return Err(unforeseen("an element at a place that is no constant"));
        };
        let mut run = Vec::new();
        let mut write = |run: &mut Vec<u32>, end: i32| {
            if let (false, Ok(length)) = (run.is_empty(), i32::try_from(run.len())) {
                elements.active(
                    table_index,
                    &ConstExpr::i32_const(end - length),
                    Elements::Functions(run.as_slice().into()),
                );
                run.clear();
            }
        };
        let mut place = start;
        for function in functions {
            match self.reach.place(function?) {
                Some(function) => run.push(function),
                None => write(&mut run, place),
            }
            place += 1;
        }
        write(&mut run, place);
        Ok(())
    }

    /// None stays: names and lines are of functions that have moved.
    fn parse_custom_section(&mut self, _: &mut Module, _: CustomSectionReader<'_>) -> Done {
        Ok(())
    }
}
