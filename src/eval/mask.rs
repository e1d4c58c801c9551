//! Ground-truth masks in the pixels in which they are compared with anomaly maps.

use super::ground::{MetricSize, Seen};
use crate::data::mask_file::{Marks, read_marks, stored_size, swaps_sides, turned};
use crate::data::{DecodeOptions, TestItem, decode_file, list_images};
use crate::steps::input::geometry::{Framing, Placement, Way};
use crate::steps::input::pixels::{check_len, cut, resize_gray};
use crate::{Error, Result};
use image::metadata::Orientation;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A mask in the pixels in which it is compared with a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Rows and columns.
    pub size: [u32; 2],
    /// As many values, row by row, true for defect pixels.
    pub pixels: Vec<bool>,
    /// How much of what it marks the model looks at.
    pub seen: Seen,
    /// What a reader of the figures should know: the threshold of a grey-scale mask.
    pub notes: Vec<String>,
}

/// Reads the mask of an image and brings it to `size`, as [`framed_mask`] does; `framing` is how a model
/// looks at the image.
///
/// Any value but 0 marks a defect: 255, a class number, a colour of a palette; where alpha varies, only what
/// is not transparent counts. A grey-scale mask has a threshold, half of its range, which
/// [`Mask::notes`] says. A folder stands for the union of all masks in it, as MVTec LOCO has them.
///
/// The mask has the size of the image, or any other of the same aspect. Where `options` turn the image as
/// EXIF says, a mask that was drawn on the pixels as stored is turned with it.
///
/// # Errors
/// [`Error::Image`] where mask or image cannot be read, and where their aspects differ; those of
/// [`framed_mask`]; [`Error::Dataset`] where `mask` is a folder without images.
pub fn load_mask(
    mask: impl AsRef<Path>,
    image: impl AsRef<Path>,
    options: &DecodeOptions,
    framing: Framing,
    size: MetricSize,
) -> Result<Mask> {
    let (path, image) = (mask.as_ref(), image.as_ref());
    let stored = stored_size(image, options)?;
    if !path.is_dir() {
        return drawn(path, image, stored, options)?.compared(framing, size);
    }
    let mut whole: Vec<Drawn> = Vec::new();
    let parts = list_images(path)?.images;
    if parts.is_empty() {
        let reason = format!("looked for the masks of {}, and there is none", image.display());
        return Err(Error::Dataset { path: path.to_owned(), reason });
    }
    for part in parts {
        let part = drawn(&part, image, stored, options)?;
        // Before they are resized: where two regions touch, no gap comes in between.
        match whole.iter_mut().find(|other| other.size == part.size && !other.soft && !part.soft) {
            Some(other) => other.grey.iter_mut().zip(&part.grey).for_each(|(a, b)| *a = (*a).max(*b)),
            None => whole.push(part),
        }
    }
    let mut union: Option<Mask> = None;
    for part in whole {
        let part = part.compared(framing, size)?;
        union = Some(match union {
            None => part,
            Some(mut union) => {
                union.notes.extend(part.notes);
                union.pixels.iter_mut().zip(part.pixels).for_each(|(pixel, marked)| *pixel |= marked);
                union.seen = if union.seen == part.seen { part.seen } else { Seen::Partly };
                union
            }
        });
    }
    union.ok_or_else(|| Error::Internal("masks without a mask".into()))
}

/// The masks of a test set.
#[derive(Debug, Default)]
pub struct Masks {
    /// By the path of the mask.
    pub masks: HashMap<PathBuf, Mask>,
    /// What is wrong with each mask that [`load_mask`] refuses.
    pub bad: Vec<Error>,
    /// What a reader of the figures should know: the threshold of grey-scale masks, masks that seem inverted.
    pub notes: Vec<String>,
}

impl Masks {
    /// Reads the masks of all items, in parallel. That of an image whose own size cannot be read is not among
    /// them, nor is it bad: whoever loads the image says what is wrong.
    pub fn load(items: &[TestItem], options: &DecodeOptions, framing: Framing, size: MetricSize) -> Self {
        let paths: BTreeMap<&PathBuf, &PathBuf> =
            items.iter().filter_map(|i| Some((i.mask.as_ref()?, &i.path))).collect();
        let paths: Vec<(&PathBuf, &PathBuf)> = paths.into_iter().collect();
        let load = |(mask, image): &(&PathBuf, &PathBuf)| load_mask(mask, image, options, framing, size);
        let read: Vec<_> = paths.par_iter().map(load).collect();
        let (mut masks, mut grey, mut inverted) = (Self::default(), Vec::new(), Vec::new());
        for ((path, image), mask) in paths.into_iter().zip(read) {
            match mask {
                Ok(mut mask) => {
                    grey.append(&mut mask.notes);
                    inverted.extend(is_around(&mask).then_some(path));
                    masks.masks.insert(path.clone(), mask);
                }
                Err(Error::Image { path, .. } | Error::Io { path, .. }) if path == *image => {}
                Err(error) => masks.bad.push(error),
            }
        }
        if let Some(first) = grey.first() {
            let more = grey.len() - 1;
            let more = if more > 0 { format!("; so are {more} other masks") } else { String::new() };
            masks.notes.push(format!("{first}{more}"));
        }
        if let Some(first) = inverted.first() {
            let more = inverted.len() - 1;
            let more = if more > 0 { format!("; so do {more} other masks") } else { String::new() };
            masks.notes.push(format!(
                "{} marks most of its image and all corners, as an inverted mask does{more}: what is not 0 is a \
                 defect",
                first.display()
            ));
        }
        masks
    }

    /// Refuses bad masks, and with them names every one of `images` that does not decode.
    ///
    /// # Errors
    /// [`Error::BadImages`] where there is a bad mask.
    pub fn require(self, images: &[&Path], options: &DecodeOptions) -> Result<Self> {
        if self.bad.is_empty() {
            return Ok(self);
        }
        let total = images.len() + self.masks.len() + self.bad.len();
        let images: Vec<Error> =
            images.par_iter().filter_map(|image| decode_file(image, options).err()).collect();
        Err(Error::BadImages { total, bad: self.bad.into_iter().chain(images).enumerate().collect() })
    }
}

/// Whether a mask marks most of its image, the corners among it: defects lie in the middle of things.
fn is_around(Mask { size, pixels, .. }: &Mask) -> bool {
    let [rows, columns] = size.map(|side| side as usize);
    let end = rows * columns;
    let corners = [0, columns.saturating_sub(1), end.saturating_sub(columns), end.saturating_sub(1)];
    corners.iter().all(|&at| pixels.get(at) == Some(&true))
        && 2 * pixels.iter().filter(|marked| **marked).count() > pixels.len()
}

/// A mask as it was drawn.
struct Drawn {
    /// 255 where a hard mask marks a defect.
    grey: Vec<u8>,
    size: [u32; 2],
    /// Width and height of the image as it is shown.
    image: [u32; 2],
    soft: bool,
    notes: Vec<String>,
}

impl Drawn {
    fn compared(self, framing: Framing, size: MetricSize) -> Result<Mask> {
        let [w, h] = self.size;
        let looked = framing.place(w, h)?;
        let to = size.of(self.image, framing);
        let placement = match size {
            MetricSize::Frame => looked,
            _ => Framing { frame: to, way: Way::Stretch }.place(w, h)?,
        };
        let marked: Vec<bool> = self.grey.iter().map(|v| *v >= threshold(self.soft)).collect();
        let seen = Seen::of(&marked, self.size, &looked);
        Ok(Mask {
            size: to,
            pixels: placed(&self.grey, self.size, placement, self.soft),
            seen,
            notes: self.notes,
        })
    }
}

fn drawn(
    path: &Path,
    image: &Path,
    stored: (u32, u32, Orientation),
    options: &DecodeOptions,
) -> Result<Drawn> {
    let mut marks = read_marks(path, options)?;
    let (width, height, orientation) = stored;
    let is_turned = options.exif_orientation && orientation != Orientation::NoTransforms;
    let shown = if is_turned && swaps_sides(orientation) { (height, width) } else { (width, height) };
    if is_turned
        && fits(&marks, (width, height))
        && stored_size(path, options)?.2 == Orientation::NoTransforms
    {
        marks = turned(marks, orientation)?;
    }
    if !fits(&marks, shown) {
        return Err(Error::Image {
            path: path.to_owned(),
            reason: format!(
                "a mask of {}x{} is not that of an image of {}x{} ({})",
                marks.width,
                marks.height,
                shown.0,
                shown.1,
                image.display()
            ),
            remedy: "Scale the mask as the image was scaled, cut it as the image was cut, or, where the \
                     image is turned by its EXIF orientation, turn on the setting exif",
        });
    }
    let largest = marks.values.iter().copied().max().unwrap_or(0);
    let soft = is_soft(&marks.values, marks.width, marks.lossy);
    let mut notes = Vec::new();
    if soft {
        notes.push(format!(
            "{} is grey-scale: from {} on, half of its range, it marks a defect",
            path.display(),
            range(largest).div_ceil(2)
        ));
    }
    let grey = to_grey(&marks.values, largest, soft);
    Ok(Drawn { grey, size: [marks.width, marks.height], image: [shown.0, shown.1], soft, notes })
}

/// Whether a mask has the aspect of an image of `(width, height)`: one side, computed from the other, differs
/// by what rounding a size explains, a pixel of the smaller of the two pictures.
fn fits(mask: &Marks, (width, height): (u32, u32)) -> bool {
    let [mw, mh, w, h] = [mask.width, mask.height, width, height].map(f64::from);
    (mw * h / w - mh).abs() <= 1.0f64.max(mh / h) && (mh * w / h - mw).abs() <= 1.0f64.max(mw / w)
}

/// What a grey-scale mask marks wholly: white of 8 or of 16 bit where it comes near (resampling may miss it
/// by an eighth), else the largest value that it has.
fn range(largest: u16) -> u16 {
    match largest {
        224..=255 => 255,
        0xe000.. => u16::MAX,
        other => other,
    }
}

/// Values to 0..=255: what is marked is 255 in a hard mask.
fn to_grey(values: &[u16], largest: u16, soft: bool) -> Vec<u8> {
    let range = u32::from(range(largest));
    let grey = |&v: &u16| if soft { ((u32::from(v) * 255 + range / 2) / range).min(255) as u8 } else { 255 };
    values.iter().map(|v| if *v == 0 { 0 } else { grey(v) }).collect()
}

/// Whether a mask is grey-scale: it has values between 0 and the largest that are steps of a ramp. Class
/// numbers stand in areas of one value; the steps of a blurred or scaled border lead up to the largest value,
/// so that most of them have a larger one beside them. Values below 128 are class numbers in any case: no
/// program draws masks in dark grey alone. JPEG blurs every border, and leaves areas just off 0 and off the
/// largest value, which is seen in a converted file, too.
fn is_soft(values: &[u16], width: u32, lossy: bool) -> bool {
    /// More distinct values just off the extremes than classes would have.
    const NOISE: usize = 16;
    let largest = values.iter().copied().max().unwrap_or(0);
    let between = |v: u16| v > 0 && v < largest;
    if largest < 128 || !values.iter().any(|&v| between(v)) {
        return false;
    }
    if lossy {
        return true;
    }
    let (width, height) = (width as usize, values.len() / width.max(1) as usize);
    let (mut count, mut rising, mut extreme) = (0usize, 0usize, 0usize);
    let mut distinct = vec![false; usize::from(largest)];
    for (i, &v) in values.iter().enumerate().filter(|(_, v)| between(**v)) {
        let (x, y) = (i % width, i / width);
        let (columns, rows) =
            (x.saturating_sub(1)..=(x + 1).min(width - 1), y.saturating_sub(1)..=(y + 1).min(height - 1));
        let mut around = rows.flat_map(|y| columns.clone().map(move |x| values[y * width + x]));
        rising += usize::from(around.any(|other| other > v));
        extreme += usize::from(v.min(largest - v) <= largest / 8);
        distinct[usize::from(v)] = true;
        count += 1;
    }
    let distinct = distinct.into_iter().filter(|&there| there).count();
    2 * rising >= count || (distinct > NOISE && 10 * extreme >= 9 * count)
}

/// Brings a defect mask `[h][w]` to a frame as its image is brought there: true for defect pixels. Beside the
/// image there is no defect.
///
/// A hard mask (0 and one other value, or class numbers) is first brought to 0 and 255, and a pixel is a
/// defect where its resized value is still 255: all that it covers was marked, as in the published
/// evaluation, which truncates to whole numbers. A grey-scale mask, whose values are steps of a ramp, is a
/// defect where the resized value is at least half of 255.
///
/// # Errors
/// As [`Framing::place`]; [`crate::Error::InvalidImage`] where `gray` is not of `w * h` bytes.
pub fn framed_mask(gray: &[u8], w: u32, h: u32, framing: Framing) -> Result<Vec<bool>> {
    check_len(gray, w, h, 1)?;
    let values: Vec<u16> = gray.iter().map(|&v| u16::from(v)).collect();
    let soft = is_soft(&values, w, false);
    let largest = values.iter().copied().max().unwrap_or(0);
    Ok(placed(&to_grey(&values, largest, soft), [w, h], framing.place(w, h)?, soft))
}

/// From which value on a pixel is a defect.
fn threshold(soft: bool) -> u8 {
    if soft { 128 } else { 255 }
}

fn placed(grey: &[u8], [w, h]: [u32; 2], placement: Placement, soft: bool) -> Vec<bool> {
    let resized = resize_gray(grey, w, h, placement.width, placement.height);
    let mut marked: Vec<bool> =
        cut(&resized, 1, placement).into_iter().map(|v| v >= threshold(soft)).collect();
    if placement.is_padded() {
        let [columns, rows] = placement.shown();
        for (y, row) in (0..).zip(marked.chunks_exact_mut(placement.frame[1] as usize)) {
            for (x, pixel) in (0..).zip(row) {
                *pixel &= rows.contains(&y) && columns.contains(&x);
            }
        }
    }
    marked
}
