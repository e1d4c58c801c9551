//! Figures of merit and the benchmark protocol.

mod aupro;
pub mod bench;
mod calibrate;
mod ground;
mod mask;
mod metric_maps;
mod metrics;
mod report;
mod verdicts;

pub use aupro::{DEFAULT_FPR_LIMIT, Map, aupro};
pub use calibrate::{Calibrated, CalibrationSet, Scored, check_rate};
pub use ground::{MetricSize, Seen};
pub use mask::{Mask, Masks, framed_mask, load_mask};
pub use metric_maps::{MetricMap, MetricMaps};
pub use metrics::{BestF1, RocPoint, auroc, average_precision, best_f1, roc_curve};
pub use report::{Item, Report, evaluate};
pub use verdicts::Verdicts;
