//! Side-by-side benchmarks of the gate and its alternatives.

pub mod authorization;
pub mod chart;
pub mod contender;
pub mod contenders;
pub mod counting;
pub mod cpu;
pub mod floor;
pub mod hostile;
pub mod load;
pub mod machine;
pub mod options;
pub mod race;
pub mod reload;
pub mod report;
pub mod stage;
pub mod statistics;
pub mod table;
