//! A fit whose training images lie on several machines: each part is a call of its own, what goes from one to
//! the next are arrays, and whoever owns the machines carries them.
//!
//! 1. [`ShardPlan::new`], once: what all shards agree on, such as the frame and the projection.
//! 2. [`ShardPlan::features`], on each shard: projected vectors and embeddings of its images.
//! 3. [`ShardPlan::outlier_scores`], by grid positions, of all images: those of one machine. Their quantile is
//!    the caller's to find, and with it the patches that are kept.
//! 4. [`ShardPlan::choose`], on each shard's kept patches, then among what the shards chose: composable k-centre.
//!    [`ShardPlan::distances`] says how far the others are from it, and the choice goes on among the farthest.
//! 5. [`ShardPlan::model`], once, of the rows that were chosen.
//! 6. [`ShardPlan::leave_one_out`], on each shard, and [`ShardPlan::finish`]: the thresholds.
//!
//! With one shard the model is that of [`Detector::fit`](super::Detector::fit), in every bit. With several, only
//! the choice of the rows differs: docs/method.md, section 14.

mod assemble;
mod plan;
mod steps;

pub use assemble::{LeftOut, ShardRows};
pub use plan::ShardPlan;

use crate::{Error, Result};

/// Checks that an array has as many values as its description says.
fn check_len(what: &str, len: usize, wanted: Option<usize>) -> Result<()> {
    if wanted == Some(len) {
        return Ok(());
    }
    Err(Error::InvalidOption(format!(
        "{what} has {len} values, it must have {}",
        wanted.map_or_else(|| "fewer than memory has addresses".to_owned(), |wanted| wanted.to_string())
    )))
}

/// The product of sizes.
fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size))
}
