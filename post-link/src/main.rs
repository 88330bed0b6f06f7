//! `portcullis-post-link MODULE TO`: rewrites a module, and says what it took out.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [module, to] = arguments.as_slice() else {
        eprintln!("usage: portcullis-post-link MODULE TO");
        return ExitCode::from(2);
    };
    match rewrite(Path::new(module), Path::new(to)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-post-link: {}: {error}", Path::new(module).display());
            ExitCode::from(2)
        }
    }
}

fn rewrite(module: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(to, portcullis_post_link::post_link(&std::fs::read(module)?)?)?;
    Ok(())
}
