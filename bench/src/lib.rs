//! Side-by-side benchmarks of the gate and what a user would pick instead.

pub mod authorization;
pub mod contender;
pub mod contenders;
pub mod cpu;
pub mod floor;
pub mod load;
pub mod options;
pub mod race;
pub mod stage;
pub mod statistics;
pub mod table;
