//! Writes the JavaScript that loads a module of wasm-bindgen in a browser: `portcullis-playground-bindgen MODULE FOLDER`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (module, folder) = arguments.next().zip(arguments.next()).context("give a module and a folder")?;
    Bindgen::new()
        .input_path(&module)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)
        .with_context(|| format!("cannot write the JavaScript for {}", module.display()))
}
