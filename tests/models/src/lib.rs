//! What the gate is held against, in suites and in fuzz targets: code that shares nothing with it.

pub mod backends;
pub mod reference;
pub mod structs;
