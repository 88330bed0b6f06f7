//! The models and the reference with which suites and fuzz targets compare the gate. They share no code with it.

pub mod backends;
pub mod reference;
pub mod structs;
