//! The benchmark: data set x methods x noise x seeds, one feature pass per image.
//!
//! Every finished cell is a file in `cells/`; a run that was interrupted goes on where it stopped, with the
//! features of the category at hand, which are in `features/` until its cells are done. The lists of images
//! are in `splits/`, the results in `results.csv`, `results.json`, `table.md` and `report.html`.

mod cell;
mod chart;
mod figures;
mod files;
mod kept;
mod measure;
mod notes;
mod options;
mod page;
mod run;
mod store;
mod tables;

pub use crate::methods::Method;
pub use cell::{Cell, CellImage, CellSettings, Condition, protocol_name, protocol_of};
pub use options::BenchOptions;
pub use run::{Bench, Open, Summary};
