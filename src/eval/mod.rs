//! Figures of merit and the benchmark protocol.

mod aupro;
pub mod bench;
mod mask;
mod metrics;
mod report;

pub use aupro::{DEFAULT_FPR_LIMIT, Map, aupro};
pub use mask::{Mask, Masks, crop_mask, load_mask};
pub use metrics::{BestF1, RocPoint, auroc, average_precision, best_f1, roc_curve};
pub use report::{Item, Report, evaluate};
