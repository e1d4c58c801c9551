//! Settings of a fit.

use crate::memory::{optional_text, read_sized, write_sized};
use crate::status::{Failure, guard, softpatch_status};
use softpatch::data::Roi;
use softpatch::detector::{
    Choice, Compat, Discriminator, Embedding, FitAspect, FitOptions, Geometry, Group, Precision, Size,
};
use std::ffi::c_char;
use std::mem::offset_of;

/// Size of the frame that whole pictures are brought to, in pixels, 64 to 4096: both 0: as many pixels as 256
/// x 256, in the aspect of the training pictures; `height` 0: `width` is the shorter side.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct softpatch_size {
    /// Columns, or the shorter side.
    pub width: u32,
    /// Rows, or 0.
    pub height: u32,
}

/// Settings of a fit. Fill it with `softpatch_fit_options_init` first, then change what you like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_fit_options {
    /// Size of this struct, set by `softpatch_fit_options_init`.
    pub struct_size: usize,
    /// Share of training patches that is dropped as noise, in [0, 1).
    pub tau: f64,
    /// Rows of the memory bank as a share of all training patches, in (0, 1].
    pub coreset_ratio: f64,
    /// Seed of the projection and of the coreset's start.
    pub seed: u64,
    /// Outlier score of the training patches: one of `SOFTPATCH_DISCRIMINATOR_*`.
    pub discriminator: u32,
    /// Neighbours of the local outlier factor, 1 to 32.
    pub lof_k: u32,
    /// Whether bank rows keep their outlier scores as weights: 0 or 1.
    pub soft_weights: u32,
    /// Values of a projected patch, a multiple of 4 from 4 to 1024.
    pub projection: u32,
    /// With `SOFTPATCH_GEOMETRY_PAPER`, the shorter side of an image is brought to this many pixels.
    pub resize: u32,
    /// With `SOFTPATCH_GEOMETRY_PAPER`, side of the centred square that is looked at, in pixels.
    pub crop: u32,
    /// Images that go through the backbone at a time, 1 to 256.
    pub batch: u32,
    /// How the stages of the backbone become one vector: one of `SOFTPATCH_EMBEDDING_*`.
    pub embedding: u32,
    /// Values of a pooled embedding, a multiple of 4 from 64 to 1024.
    pub embedding_dim: u32,
    /// Whose choices are followed where description and published program part: one of `SOFTPATCH_COMPAT_*`.
    pub compat: u32,
    /// Whether images in files are turned as their EXIF orientation says, 0 or 1. Images in memory are taken
    /// as they are; the model records the setting for whoever scores files with it.
    pub exif: u32,
    /// How the backbone stores weights and activations: one of `SOFTPATCH_PRECISION_*`.
    pub precision: u32,
    /// Significant bits of samples in 16-bit files, as cameras of 10, 12 and 14 bit leave them: 8 to 16, or 0
    /// for what the files' own tags say, else what all files of the folder show. Images in memory have it in
    /// their format; the model records the setting for whoever scores files with it.
    pub bits: u32,
    /// 1: all images of the folder are good, whatever its folders are called; masks never count; else 0. For
    /// `softpatch_fit_folder`, as are `layout` and `take`.
    pub all: u32,
    /// The sample value that becomes black in files of 16 or 32 bit, where `white` is above it.
    pub black: f64,
    /// The sample value that becomes white, for floating point and integers of 32 bit, which have no usual
    /// range; of 16 bit, too. Equal to `black`: not stated.
    pub white: f64,
    /// Name of the folder's layout, e.g. "visa"; null: it is recognised by what is there.
    pub layout: *const c_char,
    /// Folders whose images are good, by name or by path below the folder, one a line; null: their names say
    /// so.
    pub take: *const c_char,
    /// What of a picture is looked at: one of `SOFTPATCH_GEOMETRY_*`.
    pub geometry: u32,
    /// How pictures of another aspect come to the frame: one of `SOFTPATCH_FIT_ASPECT_*`.
    pub fit_aspect: u32,
    /// Size of the frame.
    pub size: softpatch_size,
    /// Patches of other images that a training patch is compared with: one of `SOFTPATCH_GROUP_*`; for the
    /// discriminator `GAUSSIAN` position alone.
    pub group: u32,
    /// Side of the window in patches, an odd number from 3 to 15, where `group` is window.
    pub window: u32,
    /// Mask file of any size that is laid over every image: only what is white is learned and scored; the
    /// model keeps it. Null: all of every image.
    pub roi: *const c_char,
    /// Share of good images that the thresholds let pass for anomalous, 0.0001 to 0.5; 0: none is asked for,
    /// and thresholds lie three deviations above the median of training images.
    pub target_fpr: f64,
    /// File that lists training images to leave out: a path or name a line, # for comments, or a CSV with the
    /// column path; null: none. For `softpatch_fit_folder` and `softpatch_audit`.
    pub exclude: *const c_char,
}

/// The sizes that the struct has had. Whoever adds fields at its end adds here the offset of the first of
/// them.
const SIZES: [usize; 3] = [
    offset_of!(softpatch_fit_options, bits),
    offset_of!(softpatch_fit_options, exclude),
    size_of::<softpatch_fit_options>(),
];

/// A setting as a field of the struct.
pub(crate) trait Field: Sized {
    type InC;

    fn to_c(self) -> Self::InC;

    fn from_c(value: Self::InC, what: &str) -> Result<Self, Failure>;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Field for $type {
            type InC = Self;

            fn to_c(self) -> Self {
                self
            }

            fn from_c(value: Self, _: &str) -> Result<Self, Failure> {
                Ok(value)
            }
        }
    )*};
}

numbers! { f64 u32 u64 }

impl Field for bool {
    type InC = u32;

    fn to_c(self) -> u32 {
        self.into()
    }

    fn from_c(value: u32, what: &str) -> Result<Self, Failure> {
        one_of(&[false, true], value, what)
    }
}

macro_rules! choices {
    ($($type:ty)*) => {$(
        impl Field for $type {
            type InC = u32;

            fn to_c(self) -> u32 {
                Self::ALL.iter().position(|one| *one == self).unwrap_or(0) as u32
            }

            fn from_c(value: u32, what: &str) -> Result<Self, Failure> {
                one_of(Self::ALL, value, what)
            }
        }
    )*};
}

choices! { Discriminator Group Embedding Compat Precision Geometry FitAspect }

impl Field for Size {
    type InC = softpatch_size;

    fn to_c(self) -> softpatch_size {
        let [width, height] = match self {
            Self::Shorter(side) => [side, 0],
            Self::Exact { width, height } => [width, height],
            _ => [0; 2],
        };
        softpatch_size { width, height }
    }

    fn from_c(c: softpatch_size, _: &str) -> Result<Self, Failure> {
        match (c.width, c.height) {
            (0, 0) => Ok(Self::Auto),
            (side, 0) => Ok(side.to_string().parse()?),
            (width, height) => Ok(format!("{width}x{height}").parse()?),
        }
    }
}

fn one_of<T: Copy>(all: &[T], value: u32, what: &str) -> Result<T, Failure> {
    all.get(value as usize).copied().ok_or_else(|| {
        let to = if all.len() == 2 { "or" } else { "to" };
        Failure::argument(format!("{what} is {value}, it must be 0 {to} {}", all.len() - 1))
    })
}

/// From the names of the fields, each of which is also one of [`FitOptions`]: the defaults, and both ways
/// between the structs.
macro_rules! fields {
    ($($field:ident)*) => {
        fn defaults() -> softpatch_fit_options {
            let defaults = FitOptions::default();
            softpatch_fit_options {
                struct_size: size_of::<softpatch_fit_options>(),
                $($field: defaults.$field.to_c(),)*
                all: 0,
                layout: std::ptr::null(),
                take: std::ptr::null(),
                roi: std::ptr::null(),
                exclude: std::ptr::null(),
            }
        }

        fn from_c(c: &softpatch_fit_options, memory: u64) -> Result<FitOptions, Failure> {
            Ok(FitOptions { $($field: Field::from_c(c.$field, stringify!($field))?,)* memory })
        }
    };
}

fields! {
    tau coreset_ratio seed discriminator lof_k soft_weights projection resize crop batch embedding
    embedding_dim compat exif precision bits black white geometry fit_aspect size group window
    target_fpr
}

/// Fills `options`, of `size` bytes (`sizeof *options`), with the published defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_fit_options_init(
    options: *mut softpatch_fit_options,
    size: usize,
) -> softpatch_status {
    // SAFETY: the caller's pointer, by the crate's contract.
    guard(|| unsafe { write_sized(options, size, &SIZES, defaults(), "options") })
}

/// # Safety
/// `options` is null or good for one struct.
pub(crate) unsafe fn fit_options(
    options: *const softpatch_fit_options,
    memory: u64,
) -> Result<FitOptions, Failure> {
    // SAFETY: passed on.
    unsafe { read(options) }.and_then(|c| checked(&c, memory))
}

/// The region of interest in the options, if there is one.
///
/// # Safety
/// As [`fit_options`], and the text in it is null or ends with a zero byte.
pub(crate) unsafe fn roi(options: *const softpatch_fit_options) -> Result<Option<Roi>, Failure> {
    // SAFETY: passed on, here and below.
    let c = unsafe { read(options) }?;
    Ok(unsafe { optional_text(c.roi, "roi") }?.map(Roi::load).transpose()?)
}

/// # Safety
/// As [`fit_options`].
pub(crate) unsafe fn read(options: *const softpatch_fit_options) -> Result<softpatch_fit_options, Failure> {
    if options.is_null() {
        return Ok(defaults());
    }
    // SAFETY: passed on.
    let mut c = unsafe { read_sized(options, &SIZES, defaults(), "options") }?;
    if c.struct_size == SIZES[0] {
        // A program that was built when there was no other geometry means that one.
        c.geometry = Geometry::Paper.to_c();
    }
    Ok(c)
}

pub(crate) fn checked(c: &softpatch_fit_options, memory: u64) -> Result<FitOptions, Failure> {
    let options = from_c(c, memory)?;
    options.validate()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::*;
    use crate::training::{Folder, folder_options};
    use softpatch::data::{Layout, OpenOptions};
    use softpatch::detector::{SETTINGS, Values};

    /// The numbers of the header are those by which names are looked up.
    #[test]
    fn names_have_their_numbers() {
        let number = |setting: &str, name: &str| match (setting, name) {
            ("discriminator", "lof") => SOFTPATCH_DISCRIMINATOR_LOF,
            ("discriminator", "nearest") => SOFTPATCH_DISCRIMINATOR_NEAREST,
            ("discriminator", "gaussian") => SOFTPATCH_DISCRIMINATOR_GAUSSIAN,
            ("discriminator", "none") => SOFTPATCH_DISCRIMINATOR_NONE,
            ("discriminator", "auto") => SOFTPATCH_DISCRIMINATOR_AUTO,
            ("group", "position") => SOFTPATCH_GROUP_POSITION,
            ("group", "window") => SOFTPATCH_GROUP_WINDOW,
            ("group", "global") => SOFTPATCH_GROUP_GLOBAL,
            ("embedding", "auto") => SOFTPATCH_EMBEDDING_AUTO,
            ("embedding", "concat") => SOFTPATCH_EMBEDDING_CONCAT,
            ("embedding", "pooled") => SOFTPATCH_EMBEDDING_POOLED,
            ("compat", "none") => SOFTPATCH_COMPAT_NONE,
            ("compat", "official") => SOFTPATCH_COMPAT_OFFICIAL,
            ("precision", "f32") => SOFTPATCH_PRECISION_F32,
            ("precision", "f16") => SOFTPATCH_PRECISION_F16,
            ("geometry", "whole") => SOFTPATCH_GEOMETRY_WHOLE,
            ("geometry", "paper") => SOFTPATCH_GEOMETRY_PAPER,
            ("fit-aspect", "stretch") => SOFTPATCH_FIT_ASPECT_STRETCH,
            ("fit-aspect", "pad") => SOFTPATCH_FIT_ASPECT_PAD,
            ("fit-aspect", "crop") => SOFTPATCH_FIT_ASPECT_CROP,
            other => panic!("{other:?} has no number in C"),
        };
        for setting in SETTINGS {
            let Values::OneOf(names) = setting.values else { continue };
            for (at, name) in names.iter().enumerate() {
                assert_eq!(number(setting.name, name), at as u32, "{} {name}", setting.name);
            }
        }
    }

    #[test]
    fn settings_come_through() {
        let changed = FitOptions::official()
            .discriminator(Discriminator::None)
            .precision(Precision::F16)
            .exif(true)
            .bits(12)
            .fit_aspect(FitAspect::Pad)
            .size(Size::Exact { width: 640, height: 480 })
            .group(Group::Window)
            .window(7)
            .target_fpr(0.01);
        for options in [FitOptions::default(), changed] {
            let c = softpatch_fit_options {
                lof_k: options.lof_k,
                discriminator: options.discriminator.to_c(),
                compat: options.compat.to_c(),
                precision: options.precision.to_c(),
                exif: options.exif.to_c(),
                bits: options.bits,
                geometry: options.geometry.to_c(),
                fit_aspect: options.fit_aspect.to_c(),
                size: options.size.to_c(),
                group: options.group.to_c(),
                window: options.window,
                target_fpr: options.target_fpr,
                ..defaults()
            };
            assert_eq!(from_c(&c, options.memory).ok(), Some(options));
        }
        let wrong = softpatch_fit_options { discriminator: 5, ..defaults() };
        let failure = from_c(&wrong, 0).err().unwrap();
        assert_eq!(failure.text, "discriminator is 5, it must be 0 to 4");
        let wrong = softpatch_fit_options { exif: 2, ..defaults() };
        assert_eq!(from_c(&wrong, 0).err().unwrap().text, "exif is 2, it must be 0 or 1");
    }

    #[test]
    fn a_folder_is_opened_as_told() {
        // SAFETY: the texts are C's, here and below.
        let open = |c: &softpatch_fit_options| unsafe { folder_options(c, 0) }.map(|both| both.1);
        let usual = || Some(Folder { open: OpenOptions::default(), exclude: None });
        assert_eq!(open(&defaults()).ok(), usual());
        let (layout, take) = (c"visa".as_ptr(), c"OK\nhalf, done/n.i.O.\n".as_ptr());
        let told = softpatch_fit_options { layout, take, all: 1, exclude: c"bad.txt".as_ptr(), ..defaults() };
        let take = vec!["OK".to_owned(), "half, done/n.i.O.".to_owned()];
        let how = OpenOptions { layout: Some(Layout::Visa), take, all: true };
        assert_eq!(open(&told).ok(), Some(Folder { open: how, exclude: Some("bad.txt") }));
        for wrong in [
            softpatch_fit_options { layout: c"vista".as_ptr(), ..defaults() },
            softpatch_fit_options { take: c"\xff".as_ptr(), ..defaults() },
            softpatch_fit_options { exclude: c"\xff".as_ptr(), ..defaults() },
            softpatch_fit_options { all: 2, ..defaults() },
            softpatch_fit_options { bits: 7, ..defaults() },
            softpatch_fit_options { size: softpatch_size { width: 12, height: 0 }, ..defaults() },
            softpatch_fit_options { size: softpatch_size { width: 0, height: 99 }, ..defaults() },
            softpatch_fit_options { black: 2.0, white: 1.0, ..defaults() },
            softpatch_fit_options { window: 4, ..defaults() },
            softpatch_fit_options { target_fpr: 0.6, ..defaults() },
            softpatch_fit_options {
                group: SOFTPATCH_GROUP_GLOBAL,
                discriminator: SOFTPATCH_DISCRIMINATOR_GAUSSIAN,
                ..defaults()
            },
        ] {
            assert_eq!(
                open(&wrong).err().map(|e| e.code),
                Some(crate::SOFTPATCH_INVALID_ARGUMENT),
                "{wrong:?}"
            );
        }
        // A program that was built with an earlier header has a shorter struct, and the defaults.
        let old = softpatch_fit_options { struct_size: SIZES[0], ..told };
        assert_eq!(open(&old).ok(), usual());
        let old = softpatch_fit_options { struct_size: SIZES[1], ..told };
        assert_eq!(open(&old).ok().unwrap().exclude, None);
    }
}
