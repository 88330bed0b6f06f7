//! The fuzz targets. Each module is one target: `run` takes the bytes, and panics on a finding.

pub mod address;
pub mod credential;
pub mod decision;
pub mod document;
pub mod host;
pub mod lines;
pub mod path;
pub mod policies;
