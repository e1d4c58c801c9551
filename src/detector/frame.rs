//! The frame that a model looks through: its size follows from the training pictures.

use super::Progress;
use crate::backbone::Network;
use crate::data::ImageSource;
use crate::settings::{FitAspect, FitOptions, Geometry, Size};
use crate::{Error, Result};
use rayon::prelude::*;

/// Rows and columns of the frame for the images of `source` (docs/method.md, section 1), which hears of
/// images of another shape through `progress`.
///
/// # Errors
/// [`Error::InvalidOption`] where images of this shape have no frame of this size, [`Error::BadImages`] with
/// those that the disk does not give, [`Error::Cancelled`].
pub(crate) fn frame_of(
    network: &Network,
    options: &FitOptions,
    source: &dyn ImageSource,
    progress: &dyn Progress,
) -> Result<[u32; 2]> {
    if options.geometry == Geometry::Paper {
        return Ok([options.crop; 2]);
    }
    let exact = matches!(options.size, Size::Exact { .. });
    let sizes = sizes(source, progress)?;
    let aspect =
        if exact { 1.0 } else { median(sizes.iter().flatten().map(|&size| aspect_of(size)).collect()) };
    let frame = options.size.frame(aspect, network.stride())?;
    let framing = options.framing(frame);
    let odd: Vec<usize> =
        (0..sizes.len()).filter(|&i| sizes[i].is_some_and(|size| !framing.is_alike(size))).collect();
    if let Some(&first) = odd.first() {
        let [width, height] = sizes[first].unwrap_or_default();
        let what = match options.fit_aspect {
            FitAspect::Stretch => {
                "stretched, so that shapes are squeezed; fit-aspect pad or crop does otherwise"
            }
            FitAspect::Pad => "padded; what is beside them is neither learned nor scored",
            FitAspect::Crop => "cut; what passes the frame is not looked at",
        };
        progress.notice(&format!(
            "{} of {} images differ from the aspect of the frame, {}x{}, by more than a tenth, such as {} ({width}x{height}): \
             they are {what}",
            odd.len(),
            sizes.len(),
            frame[1],
            frame[0],
            source.name(first)
        ));
    }
    Ok(frame)
}

/// Width and height of each image; `None` of one that is damaged: whoever loads it says what is wrong with
/// it.
///
/// # Errors
/// [`Error::BadImages`] with those that the disk does not give: without them the frame might be another one,
/// and nobody would know; [`Error::Cancelled`].
fn sizes(source: &dyn ImageSource, progress: &dyn Progress) -> Result<Vec<Option<[u32; 2]>>> {
    /// Images that are looked at before somebody asks whether to go on.
    const TOGETHER: usize = 256;
    let size = |i: usize| match source.size(i) {
        Err(Error::Io { .. }) => source.load(i).map(|image| [image.width, image.height]),
        other => other,
    };
    let (mut sizes, mut bad) = (Vec::with_capacity(source.len()), Vec::new());
    for start in (0..source.len()).step_by(TOGETHER) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let all = start..(start + TOGETHER).min(source.len());
        let some: Vec<Result<[u32; 2]>> = all.into_par_iter().map(size).collect();
        for (i, size) in some.into_iter().enumerate() {
            match size {
                Err(e @ Error::Io { .. }) => bad.push((start + i, e)),
                size => sizes.push(size.ok().filter(|s| s[0] > 0 && s[1] > 0)),
            }
        }
    }
    if bad.is_empty() { Ok(sizes) } else { Err(Error::BadImages { total: source.len(), bad }) }
}

/// Width by height.
fn aspect_of([width, height]: [u32; 2]) -> f64 {
    f64::from(width) / f64::from(height)
}

/// The middle one, the smaller of two; 1 where there is none.
fn median(mut aspects: Vec<f64>) -> f64 {
    aspects.sort_by(f64::total_cmp);
    aspects.get(aspects.len().saturating_sub(1) / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::efficientnet_lite;
    use crate::data::{MemorySource, OwnedImage};
    use crate::detector::Quiet;

    #[test]
    fn the_frame_has_the_shape_of_most_pictures() {
        let image = |width: u32, height: u32| OwnedImage {
            width,
            height,
            pixels: vec![0; width as usize * height as usize * 3],
        };
        let network = efficientnet_lite(0).with_taps(&["block4", "block10"]).unwrap();
        let images = [image(80, 40), image(90, 40), image(40, 40), image(84, 40), image(500, 40)];
        let of = |options: FitOptions| frame_of(&network, &options, &MemorySource(&images), &Quiet).unwrap();
        // Aspects 1, 2, 2.1, 2.25, 12.5: 2.1.
        assert_eq!(of(FitOptions::default()), [176, 368]);
        assert_eq!(of(FitOptions::default().size(Size::Shorter(64))), [64, 128]);
        assert_eq!(of(FitOptions::default().size(Size::Exact { width: 96, height: 200 })), [208, 96]);
        assert_eq!(of(FitOptions::paper(64, 50)), [50, 50]);
        let framing = FitOptions::default().framing([176, 368]);
        let alike = [[84, 40], [80, 40], [500, 40]].map(|size| framing.is_alike(size));
        assert_eq!(alike, [true, true, false]);
    }
}
