//! Small modules: what stays and what goes.

use std::collections::BTreeSet;

use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, Instruction, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection,
    ValType,
};
use wasmparser::{Parser, Payload};

use crate::{Error, KEPT, post_link};

const NOTHING: u32 = 0;
const A_NUMBER: u32 = 1;
/// The same type as [`A_NUMBER`], written twice.
const A_NUMBER_TOO: u32 = 2;

/// The functions: two imports, those that a host enters, then those of the test.
const IMPORTS: [&str; 2] = ["used", "unused"];
const ENTRY: u32 = 2;

/// A module with all exports of [`KEPT`], and one more, which are one function: `entry`. Functions are (type, body).
fn module(entry: &[Instruction<'_>], others: &[(u32, &[Instruction<'_>])], table: &[u32], kept: &[&str]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32], []);
    let mut imports = ImportSection::new();
    for name in IMPORTS {
        imports.import("env", name, EntityType::Function(NOTHING));
    }
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    for (of, body) in [(NOTHING, entry), (NOTHING, &[Instruction::Call(1)])].iter().chain(others) {
        functions.function(*of);
        let mut function = Function::new([]);
        body.iter().chain([&Instruction::End]).for_each(|instruction| {
            function.instruction(instruction);
        });
        code.function(&function);
    }
    let (element_type, places) = (RefType::FUNCREF, u64::try_from(table.len()).expect("few") + 1);
    let mut tables = TableSection::new();
    tables.table(TableType { element_type, table64: false, minimum: places, maximum: Some(places), shared: false });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    for name in kept {
        let memory = *name == "memory";
        exports.export(
            name,
            if memory { ExportKind::Memory } else { ExportKind::Func },
            if memory { 0 } else { ENTRY },
        );
    }
    exports.export("proxy_on_log", ExportKind::Func, ENTRY + 1);
    let mut elements = ElementSection::new();
    elements.active(None, &ConstExpr::i32_const(1), Elements::Functions(table.into()));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories);
    module.section(&exports).section(&elements).section(&code);
    module.finish()
}

/// What is in a module: its exports, its imports, how many bodies, and the filled places of its table.
#[derive(Debug, PartialEq, Eq, Default)]
struct Found {
    exports: BTreeSet<String>,
    imports: Vec<String>,
    bodies: usize,
    filled: Vec<i32>,
}

fn found(module: &[u8]) -> Found {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("it can be read") {
            Payload::ExportSection(section) => {
                found.exports = section.into_iter().map(|export| export.expect("an export").name.to_owned()).collect();
            }
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map(|import| import.expect("an import").name.to_owned());
                found.imports = imports.collect();
            }
            Payload::CodeSectionEntry(_) => found.bodies += 1,
            Payload::ElementSection(section) => {
                for element in section {
                    found.filled.extend(places(element.expect("an element")));
                }
            }
            _ => {}
        }
    }
    found
}

fn places(element: wasmparser::Element<'_>) -> std::ops::Range<i32> {
    let wasmparser::ElementKind::Active { offset_expr, .. } = element.kind else { panic!("an active element") };
    let first = offset_expr.get_operators_reader().into_iter().next();
    let Some(Ok(wasmparser::Operator::I32Const { value })) = first else { panic!("a constant place") };
    let wasmparser::ElementItems::Functions(functions) = element.items else { panic!("functions") };
    value..value + i32::try_from(functions.count()).expect("few")
}

#[test]
fn what_no_kept_export_reaches_goes_with_what_it_imports() {
    let module = module(&[Instruction::Call(0)], &[(NOTHING, &[])], &[], &KEPT);
    let found = found(&post_link(&module).expect("it can be rewritten"));
    let exports = KEPT.map(str::to_owned).into_iter().collect();
    assert_eq!(found, Found { exports, imports: vec!["used".into()], bodies: 1, filled: vec![] });
}

#[test]
fn a_function_of_the_table_stays_where_a_call_has_its_type() {
    let others: [(u32, &[Instruction<'_>]); 3] = [(NOTHING, &[Instruction::Call(0)]), (A_NUMBER, &[]), (NOTHING, &[])];
    let table = [ENTRY + 2, ENTRY + 3, ENTRY + 4];
    let call = |type_index| Instruction::CallIndirect { type_index, table_index: 0 };
    let with = |entry: &[Instruction<'_>]| {
        let found = found(&post_link(&module(entry, &others, &table, &KEPT)).expect("it can be rewritten"));
        (found.imports, found.bodies, found.filled)
    };
    assert_eq!(with(&[]), (vec![], 1, vec![]), "nothing calls through the table");
    let place = Instruction::I32Const(1);
    let used = vec!["used".to_owned()];
    assert_eq!(with(&[place.clone(), call(NOTHING)]), (used, 3, vec![1, 3]), "the others stay at their places");
    assert_eq!(
        with(&[Instruction::I32Const(7), place, call(A_NUMBER_TOO)]),
        (vec![], 2, vec![2]),
        "a type is what it says"
    );
}

#[test]
fn a_module_that_went_through_the_step_comes_out_as_it_is() {
    let table = [ENTRY + 2];
    let call = Instruction::CallIndirect { type_index: NOTHING, table_index: 0 };
    let module = module(&[Instruction::I32Const(1), call], &[(NOTHING, &[]), (NOTHING, &[])], &table, &KEPT);
    let once = post_link(&module).expect("it can be rewritten");
    assert_ne!(once, module);
    assert_eq!(post_link(&once).expect("it can be rewritten again"), once);
}

#[test]
fn a_module_without_a_callback_of_the_gate_is_refused() {
    for gone in KEPT {
        let others: Vec<_> = KEPT.into_iter().filter(|name| *name != gone).collect();
        let refused = post_link(&module(&[], &[], &[], &others));
        assert!(matches!(refused, Err(Error::NotExported(name)) if name == gone), "{gone}");
    }
}

#[test]
fn a_table_that_changes_is_refused() {
    let body = [Instruction::I32Const(0), Instruction::I32Const(0), Instruction::TableGet(0), Instruction::TableSet(0)];
    assert!(matches!(post_link(&module(&body, &[], &[], &KEPT)), Err(Error::Unforeseen(_))));
}

#[test]
fn what_is_no_module_is_refused() {
    for bytes in [&b""[..], b"portcullis", b"\0asm\x0d\0\x01\0"] {
        assert!(post_link(bytes).is_err(), "{bytes:?}");
    }
}
