//! Significant bits of a set of pictures.

use super::decode::{DecodeOptions, Depth, depth};
use super::levels::depth_of;
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Significant bits of a set of pictures, as [`find_bits`] sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenBits {
    /// 8, 10, 12, 14 or 16, or what tags say.
    pub bits: u32,
    /// The largest value of the pictures that were decoded for it; none where tags said enough.
    pub largest: Option<u32>,
    /// Whether tags of files decided, not their values.
    pub from_tags: bool,
    /// Pictures with integers of 9 to 16 bit, which are those that count.
    pub images: usize,
}

/// Finds how many bits are significant in the pictures of a set, for [`Levels::Bits`](super::Levels::Bits).
///
/// Cameras store 10, 12 or 14 bit in the lower bits of 16. One answer holds for all pictures of a set, never
/// for one of them: the most bits that tags name, and where there are none, the fewest of 8, 10, 12, 14 and
/// 16 that hold the largest value of all. None where no file has more than 8 bit. Only such files are decoded
/// whole, on rayon's threads. Files that cannot be read are passed over: using them says why.
///
/// `watch` gets the number of files that are done, from several threads, and ends the search by a break.
///
/// # Errors
/// [`Error::Cancelled`] after a break.
///
/// ```
/// # use softpatch::data::{find_bits, DecodeOptions};
/// # use std::ops::ControlFlow;
/// let seen = find_bits(&[], &DecodeOptions::default(), |_| ControlFlow::Continue(()))?;
/// assert_eq!(seen, None);
/// # Ok::<(), softpatch::Error>(())
/// ```
pub fn find_bits(
    paths: &[PathBuf],
    options: &DecodeOptions,
    watch: impl Fn(usize) -> ControlFlow<()> + Sync,
) -> Result<Option<SeenBits>> {
    let done = AtomicUsize::new(0);
    let look = |path: &PathBuf| {
        let found = depth(path, options).unwrap_or(None).map(seen);
        match watch(done.fetch_add(1, Ordering::Relaxed) + 1) {
            ControlFlow::Continue(()) => Ok(found),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    };
    paths.par_iter().map(look).try_reduce(|| None, |a, b| Ok(both(a, b)))
}

fn seen(depth: Depth) -> SeenBits {
    let needed = depth.largest.map_or(0, |v| 32 - v.leading_zeros());
    SeenBits {
        bits: depth.tagged.or_else(|| depth_of(needed)).unwrap_or(16),
        largest: depth.largest,
        from_tags: depth.tagged.is_some(),
        images: 1,
    }
}

fn both(a: Option<SeenBits>, b: Option<SeenBits>) -> Option<SeenBits> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    // The tags' word where both come to the same.
    let (bits, from_tags) = (a.bits, a.from_tags).max((b.bits, b.from_tags));
    Some(SeenBits { bits, from_tags, largest: a.largest.max(b.largest), images: a.images + b.images })
}
