//! What the subcommands share, a file a subject.

pub mod backbone;
pub mod config;
pub mod device;
pub mod edits;
pub mod failure;
pub mod folders;
pub mod images;
pub mod interrupt;
pub mod log;
pub mod output;
pub mod progress;
pub mod report;
pub mod set;
pub mod settings;
pub mod sizes;
pub mod threads;
pub mod time;
pub mod training;
