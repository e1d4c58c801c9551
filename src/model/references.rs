//! Pictures that a model keeps with their scores, to tell whether it scores the same elsewhere.

use serde::{Deserialize, Serialize};

/// Pictures that are kept at most.
pub const KEPT: usize = 8;

/// Bytes that references take in a file at most, pixels included.
pub const MOST_BYTES: usize = 1_000_000;

/// Pictures that a file may have, whoever wrote it.
const MOST: usize = 16;

/// Longest side of a kept picture.
const LONGEST: u32 = 4096;

/// Patch scores that are kept of a picture at most.
const PATCHES: usize = 1024;

/// Where scores were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOn {
    /// Version of the program.
    pub version: String,
    /// Name of the adapter.
    pub adapter: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Name and version of the driver; empty where the backend does not tell.
    pub driver: String,
}

/// A picture and what it scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Name of the image that it was made of.
    pub name: String,
    /// Width and height in pixels, as it is kept.
    pub size: [u32; 2],
    /// Image score of the picture as it is kept.
    pub score: f32,
    /// Whether that passed the threshold; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomalous: Option<bool>,
    /// Column and row of the patch with the largest score, in pixels of the picture.
    pub peak: [u32; 2],
    /// Patch scores: all of them, or [`sampled`].
    #[serde(skip)]
    pub patches: Vec<f32>,
    /// The picture as a PNG of 8-bit RGB.
    #[serde(skip)]
    pub png: Vec<u8>,
}

/// What a model keeps to be verified by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct References {
    /// Where the scores were made.
    pub made_on: MadeOn,
    /// [`Model::fingerprint`](super::Model::fingerprint) of the model that they are of.
    pub fingerprint: String,
    /// Edits that this model had had.
    #[serde(default)]
    pub edits: u32,
    /// Its image threshold.
    pub threshold: Option<f32>,
    /// Its pixel threshold.
    pub pixel_threshold: Option<f32>,
    /// The pictures, by score.
    pub pictures: Vec<Reference>,
}

/// Numbers of the patches whose scores are kept, of `patches` in all: evenly spread.
pub fn sampled(patches: usize) -> impl Iterator<Item = usize> {
    let count = patches.min(PATCHES);
    (0..count).map(move |i| i * patches / count)
}

impl References {
    /// Bytes of the pictures.
    pub fn bytes(&self) -> u64 {
        self.pictures.iter().map(|picture| picture.png.len() as u64).sum()
    }

    /// What is wrong with references that come from a file of a model with `patches` patches an image.
    pub(super) fn fault(&self, patches: usize) -> Option<String> {
        let wrong = |what: &str| Some(format!("its reference pictures {what}"));
        if self.pictures.is_empty() || self.pictures.len() > MOST {
            return wrong(&format!("are {}, not 1 to {MOST}", self.pictures.len()));
        }
        if self.bytes() > MOST_BYTES as u64 {
            return wrong(&format!("have {} bytes, more than {MOST_BYTES}", self.bytes()));
        }
        self.pictures.iter().find_map(|picture| {
            let Reference { size, png, .. } = picture;
            let header = png_size(png);
            if header != Some(*size) {
                return wrong(&format!("say {size:?} where the pixels are {header:?}"));
            }
            if !size.iter().all(|side| (1..=LONGEST).contains(side)) {
                return wrong(&format!("are of {}x{}, not 1 to {LONGEST} a side", size[0], size[1]));
            }
            let numbers = picture.patches.iter().chain([&picture.score]).all(|v| v.is_finite());
            if !numbers || picture.patches.len() != patches.min(PATCHES) {
                return wrong("have scores that are not of this model");
            }
            None
        })
    }
}

/// Width and height by the header of a PNG.
fn png_size(bytes: &[u8]) -> Option<[u32; 2]> {
    let start = bytes.get(..24)?;
    let side = |at: usize| Some(u32::from_be_bytes(start.get(at..at + 4)?.try_into().ok()?));
    (start.starts_with(b"\x89PNG\r\n\x1a\n") && &start[12..16] == b"IHDR")
        .then(|| Some([side(16)?, side(20)?]))
        .flatten()
}
