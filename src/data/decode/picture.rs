//! What a file's header says, and what a user should know of how it is read.

use std::fmt;

/// What the header of an image file says.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Picture {
    /// Kind of file: "JPEG", "TIFF".
    pub kind: &'static str,
    /// Pixels in a row, before any turning.
    pub width: u32,
    /// Rows, before any turning.
    pub height: u32,
    /// Samples that the file stores for a pixel: 1 for grey and palettes, 3 for RGB, 4 for CMYK, one more
    /// with alpha.
    pub channels: u32,
    /// Bits of a stored sample, 1 to 64.
    pub bits: u32,
    /// Whether samples are floating point.
    pub float: bool,
    /// Whether samples are integers below zero too.
    pub signed: bool,
    /// Significant bits of samples of more than 8 bit, the lower ones, as the file's own tags have it: fewer
    /// than the 16 of the container.
    pub tagged_bits: Option<u32>,
    /// What the pixels alone do not say.
    pub notes: Vec<Note>,
    /// EXIF orientation, 1 to 8; 0 where there is none.
    pub(crate) orientation: u8,
}

impl Picture {
    /// Whether samples are integers of 9 to 16 bit.
    pub fn is_deep(&self) -> bool {
        !self.float && !self.signed && self.bits > 8 && self.bits <= 16
    }

    /// "floating-point samples of 32 bit".
    pub(super) fn what(&self) -> String {
        let sort = match (self.float, self.signed) {
            (true, _) => "floating-point samples",
            (_, true) => "signed integers",
            _ => "integers",
        };
        format!("{sort} of {} bit", self.bits)
    }
}

/// Something about how a file is read that a user should know. Once for each [`Note::topic`] is enough over a
/// run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Note {
    /// The first of this many pages was read.
    FirstPage(u32),
    /// The first frame of a film was read.
    FirstFrame,
    /// Alpha differs between pixels, and was dropped.
    AlphaIgnored,
    /// Channels beyond colour and alpha were dropped.
    ExtraChannels,
    /// Colours for printing were turned to RGB without a profile.
    Cmyk,
    /// The end-of-image marker is missing, all pixels are there.
    NoEndMarker,
    /// The highest bit that a pixel of more than 8 bit has, where neither tags nor settings say what is
    /// white.
    Depth(u32),
    /// The place of the pixels that the header names lies in the palette; they were read behind it.
    PixelOffset,
    /// EXIF says that the picture is to be turned or mirrored, which was not asked for.
    NotTurned,
    /// How near samples of more than 8 bit come to white.
    Largest {
        /// The largest sample.
        sample: u32,
        /// What is read as white.
        white: u32,
    },
    /// Half of the samples or more lie below black or above white, and were cut.
    OutOfRange,
}

impl Note {
    /// What the note is about, in a few words, the same for all files of a sort.
    pub fn topic(&self) -> &'static str {
        match self {
            Self::FirstPage(_) => "pages",
            Self::FirstFrame => "frames",
            Self::AlphaIgnored => "alpha",
            Self::ExtraChannels => "channels",
            Self::Cmyk => "CMYK",
            Self::NoEndMarker => "end marker",
            Self::Depth(_) => "depth",
            Self::PixelOffset => "pixel offset",
            Self::NotTurned => "orientation",
            Self::Largest { .. } => "largest",
            Self::OutOfRange => "range",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstPage(pages) => write!(f, "the first of {pages} pages is read"),
            Self::FirstFrame => f.write_str("the first frame of an animation is read"),
            Self::AlphaIgnored => f.write_str("alpha is not constant and is ignored"),
            Self::ExtraChannels => f.write_str("channels beyond colour and alpha are ignored"),
            Self::Cmyk => f.write_str("CMYK is turned to RGB without a colour profile"),
            Self::NoEndMarker => f.write_str("the end marker is missing, all pixels are there"),
            Self::Depth(bits) => write!(
                f,
                "values take the lower {bits} of 16 bits and come out dark; the setting bits says what is white, \
                 which a fit finds and a model keeps"
            ),
            Self::PixelOffset => {
                f.write_str("the header places the pixels inside the palette; they are read behind it")
            }
            Self::NotTurned => f.write_str(
                "EXIF says that it is to be turned or mirrored; it is read as stored (setting exif)",
            ),
            Self::Largest { sample, white } => {
                write!(
                    f,
                    "no sample is above {sample} of {white}: too dark where a file has fewer bits than the model"
                )
            }
            Self::OutOfRange => {
                f.write_str("half of the samples or more lie outside black and white and are cut")
            }
        }
    }
}
