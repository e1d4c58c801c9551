//! What all shards of a fit agree on.

use crate::backbone::{Backbone, BackboneInfo, Extractor, Feed};
use crate::cases::{Then, Use, self_test};
use crate::data::{ImageSource, OwnedImage};
use crate::detector::cover::{cover_of, shown_of};
use crate::detector::fit::{check_bank, check_source};
use crate::detector::frame::frame_of;
use crate::detector::ingest::{Together, embed};
use crate::detector::persist::persist;
use crate::detector::projection::{Projection, sample_rows};
use crate::detector::{Progress, Quiet};
use crate::gpu::Device;
use crate::settings::{Compat, Discriminator, FitAspect, FitOptions, Group, MOST, picks};
use crate::steps::input::cover::Cover;
use crate::{Error, Result, process};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Values of an embedding at most, far beyond those of any backbone.
const DIM_MOST: u32 = 1 << 16;

/// What all shards of a fit agree on; made once, and carried to them as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardPlan {
    /// Settings; `memory` and `batch` bound each call, and may differ between machines.
    pub options: FitOptions,
    /// The backbone that all of them need.
    pub backbone: BackboneInfo,
    /// Training images of all shards.
    pub images: u32,
    /// Rows and columns of the frame that pictures are brought to, in pixels.
    pub frame: [u32; 2],
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Values of an embedding.
    pub dim: u32,
    /// Values of a projected vector.
    pub projected: u32,
    /// `[projected][dim]`; empty where embeddings are not projected.
    #[serde(with = "values")]
    pub(super) map: Vec<f32>,
    /// What of the frame is looked at.
    #[serde(with = "region", default, skip_serializing_if = "Option::is_none")]
    pub(super) roi: Option<Cover>,
}

/// Floats as base64 of their little-endian bytes.
mod values {
    use super::{Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        if !bytes.len().is_multiple_of(4) {
            return Err(D::Error::custom("a number of 32 bits ends early"));
        }
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

/// A region as its frame and base64 of a byte for each pixel.
mod region {
    use super::{Cover, Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    struct Region {
        frame: [u32; 2],
        inside: String,
    }

    pub fn serialize<S: Serializer>(cover: &Option<Cover>, serializer: S) -> Result<S::Ok, S::Error> {
        let region = cover.as_ref().map(|cover| {
            let bytes: Vec<u8> = cover.inside.iter().map(|inside| u8::from(*inside)).collect();
            Region { frame: cover.frame, inside: STANDARD.encode(bytes) }
        });
        region.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cover>, D::Error> {
        let Some(region) = Option::<Region>::deserialize(deserializer)? else { return Ok(None) };
        let bytes = STANDARD.decode(region.inside).map_err(D::Error::custom)?;
        Ok(Some(Cover { frame: region.frame, inside: bytes.into_iter().map(|byte| byte != 0).collect() }))
    }
}

/// The first image of a source.
struct First<'a>(&'a dyn ImageSource);

impl ImageSource for First<'_> {
    fn len(&self) -> usize {
        1
    }
    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.0.load(index)
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.0.size(index)
    }
}

impl ShardPlan {
    /// Plans a fit on all images of `source`, of which the sizes are read, and the first one is looked at: the
    /// projection is turned by it.
    ///
    /// # Errors
    /// As [`Detector::fit`](crate::Detector::fit); [`Error::InvalidOption`] for settings that need all features in
    /// one place: the discriminator auto, the groups window and global, and compat official.
    pub fn new(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        process::check()?;
        let options =
            &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
        check_source(source, options)?;
        check_sharded(options, source.roi().is_some())?;
        let images = u32::try_from(source.len())
            .map_err(|_| Error::Limit(format!("{} images are more than 2^32", source.len())))?;
        let frame = frame_of(&backbone.network, options, source, progress)?;
        let roi = source.roi().map(|roi| cover_of(roi, options.framing(frame))).transpose()?;
        persist(device, options, progress, |device, options| {
            let mut extractor = extractor(device, backbone, options, frame)?;
            let (grid, dim) = (extractor.grid(), extractor.dim());
            check_bank(device, u64::from(images) * u64::from(grid[0] * grid[1]), dim, options)?;
            // Refuses a region that leaves nothing.
            let within = roi.as_ref().map(|roi| roi.positions(grid));
            shown_of(&First(source), options.framing(frame), grid, within)?;
            let map = match Projection::random(dim as usize, options) {
                None => Vec::new(),
                Some(projection) => {
                    let mut feed = Feed::new(device, extractor.network(), options.framing(frame))?;
                    let mut values = Vec::new();
                    let together = Together::any(1);
                    embed(&mut extractor, &mut feed, &First(source), together, &Quiet, |run| {
                        values.extend(device.read::<f32>(&run.x.slice(0, run.count * dim as usize))?);
                        Ok(())
                    })?;
                    let rows = sample_rows(grid[0] as usize * grid[1] as usize);
                    let of = |row: &u32| values[*row as usize * dim as usize..][..dim as usize].to_vec();
                    let sample: Vec<f32> = rows.iter().flat_map(of).collect();
                    let sample = device.upload(&sample, "sample of an image")?;
                    device.read(&projection.upload(device, &sample, rows.len())?)?
                }
            };
            let projected = if map.is_empty() { dim } else { options.projection };
            let (roi, backbone) = (roi.clone(), backbone.info());
            // Each machine has a budget of its own.
            let options = options.clone();
            Ok(Self { options, backbone, images, frame, grid, dim, projected, map, roi })
        })
    }

    /// The plan from JSON.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where it is none, or its parts do not fit together.
    pub fn from_json(text: &str) -> Result<Self> {
        let wrong = |reason: String| Error::InvalidOption(format!("the plan is none: {reason}"));
        let plan: Self = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        plan.options.validate()?;
        check_sharded(&plan.options, plan.roi.is_some())?;
        let [positions, pixels] = [plan.grid, plan.frame].map(|[a, b]| u64::from(a) * u64::from(b));
        let (dim, projected) = (u64::from(plan.dim), u64::from(plan.projected));
        let map =
            if plan.map.is_empty() { dim == projected } else { plan.map.len() as u64 == dim * projected };
        let roi = plan.roi.as_ref();
        let region = roi.is_none_or(|roi| roi.frame == plan.frame && roi.inside.len() as u64 == pixels);
        // No frame is larger, and patches are of some pixels: the self-test makes what a frame of this size needs.
        let sides =
            plan.frame.iter().all(|side| (1..=MOST).contains(side)) && (1..=pixels).contains(&positions);
        let values = (1..=DIM_MOST).contains(&plan.dim) && plan.projected > 0;
        if !map || !region || !sides || !values || plan.images == 0 {
            return Err(wrong("its sizes do not fit together".to_owned()));
        }
        Ok(plan)
    }

    /// The plan as JSON.
    ///
    /// # Errors
    /// [`Error::Internal`] where a setting is no number that JSON has.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::Internal(e.to_string()))
    }

    /// Patches of an image.
    pub fn positions(&self) -> usize {
        self.grid[0] as usize * self.grid[1] as usize
    }

    /// Rows that the memory bank is to have, where so many of all patches are looked at.
    pub fn rows(&self, looked_at: u64) -> usize {
        picks(&self.options, looked_at as usize)
    }

    /// Refuses a backbone that is not the plan's, and kernels that are wrong on this adapter.
    pub(super) fn ready(
        &self,
        device: &Device,
        backbone: &Backbone,
        options: &FitOptions,
        images: usize,
        progress: &dyn Progress,
    ) -> Result<()> {
        if backbone.info() != self.backbone {
            return Err(Error::InvalidOption(format!(
                "the plan is for the backbone {} with the weights {}; give the same weights to every machine",
                self.backbone.arch, self.backbone.weights_sha256
            )));
        }
        let what = Use::new(&backbone.network, options, self.frame, Then::Fit(options, images))?;
        self_test(device, &what, &|| progress.cancelled())
    }

    /// Which patches of the images of a source are looked at, image by image; `None`: all are.
    pub(super) fn looked_at(&self, source: &dyn ImageSource) -> Result<Option<Vec<bool>>> {
        let within = self.roi.as_ref().map(|roi| roi.positions(self.grid));
        shown_of(source, self.options.framing(self.frame), self.grid, within)
    }
}

pub(super) fn extractor(
    device: &Device,
    backbone: &Backbone,
    options: &FitOptions,
    frame: [u32; 2],
) -> Result<Extractor> {
    let extraction = options.extraction(&backbone.network.name, frame);
    Extractor::with(device, backbone.network.clone(), &backbone.weights, extraction)
}

/// Refuses settings that need all features in one place, or have no meaning where patches are left out.
fn check_sharded(options: &FitOptions, roi: bool) -> Result<()> {
    let covered = roi || options.fit_aspect == FitAspect::Pad;
    let (what, instead) = match options {
        FitOptions { discriminator: Discriminator::Auto, .. } => ("the discriminator auto", "take lof"),
        FitOptions { compat: Compat::Official, .. } => ("compat official", "leave it out"),
        FitOptions { group: Group::Window | Group::Global, .. } => {
            ("a group other than position", "leave it out")
        }
        FitOptions { discriminator: Discriminator::Gaussian, .. } if covered => {
            ("the discriminator gaussian with padding or a region of interest", "take lof or nearest")
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidOption(format!(
        "{what} needs all features in one place, a fit in shards has them in several; {instead}"
    )))
}
