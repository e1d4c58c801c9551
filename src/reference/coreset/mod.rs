//! Selection of the memory bank.

pub mod greedy;
