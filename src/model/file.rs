//! The model on disk: safetensors with settings, provenance and a checksum over everything.

use super::{Model, ModelInfo, References};
use crate::bank::{Axes, Index, MemoryBank, Removed};
use crate::settings::{Geometry, MOST};
use crate::steps::input::cover::Cover;
use crate::{Error, Result, files};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Version of the layout; a reader refuses a later one.
pub const VERSION: u32 = 1;
const FORMAT: &str = "softpatch-model";

/// A tensor on its way to the file.
struct Column<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl View for Column<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes.into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Checksum over the metadata and every tensor's name, shape and bytes, in the order of their names.
fn checksum<'a>(info: &str, tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(info.as_bytes());
    for (name, shape, bytes) in tensors {
        part(name.as_bytes());
        part(format!("{shape:?}").as_bytes());
        part(bytes);
    }
    format!("{:x}", hash.finalize())
}

/// References as they lie in the file.
struct Parts {
    /// JSON of all but what follows.
    head: Vec<u8>,
    /// PNGs, one after the other.
    pictures: Vec<u8>,
    /// Bytes of each.
    lengths: Vec<u32>,
    /// `[pictures][patches]`.
    patches: Vec<f32>,
}

impl Parts {
    fn of(kept: &References) -> Result<Self, String> {
        let pictures = &kept.pictures;
        Ok(Self {
            head: serde_json::to_vec(kept).map_err(|e| e.to_string())?,
            pictures: pictures.iter().flat_map(|p| &p.png).copied().collect(),
            lengths: pictures.iter().map(|p| p.png.len() as u32).collect(),
            patches: pictures.iter().flat_map(|p| &p.patches).copied().collect(),
        })
    }

    /// Together again, of a model with `patches` patches an image; else what is wrong.
    fn references(&self, patches: usize) -> Result<References, String> {
        let mut kept: References = serde_json::from_slice(&self.head)
            .map_err(|e| format!("its reference pictures' scores do not parse: {e}"))?;
        let count = kept.pictures.len();
        let bytes: u64 = self.lengths.iter().map(|length| u64::from(*length)).sum();
        let each = self.patches.len() / count.max(1);
        if self.lengths.len() != count
            || bytes != self.pictures.len() as u64
            || self.patches.len() != each * count
        {
            return Err("its reference pictures do not fit together".to_owned());
        }
        let mut rest = self.pictures.as_slice();
        for (i, (picture, length)) in kept.pictures.iter_mut().zip(&self.lengths).enumerate() {
            let (png, others) = rest.split_at(*length as usize);
            (picture.png, rest) = (png.to_vec(), others);
            picture.patches = self.patches[i * each..][..each].to_vec();
        }
        kept.fault(patches).map_or(Ok(kept), Err)
    }
}

/// The same file with the entries of its header in the order of their names, so that a model has one file
/// only; the library writes metadata in any order.
fn in_order(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
    let mut entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    if let Some(metadata) = entries.get_mut("__metadata__") {
        let sorted: BTreeMap<String, String> = serde_json::from_value(metadata.take()).ok()?;
        *metadata = serde_json::to_value(sorted).ok()?;
    }
    let mut header = serde_json::to_vec(&entries).ok()?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Some([&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat())
}

impl Model {
    /// The file's bytes: the same for the same model.
    ///
    /// # Errors
    /// [`Error::Model`] where the parts do not fit together.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let fail = |reason: String| Error::Model { path: "<memory>".into(), reason };
        let (rows, dim) = (self.info.rows as usize, self.info.dim as usize);
        let bank = &self.bank;
        let mut columns: Vec<(&str, Dtype, Vec<usize>, &[u8])> = vec![
            ("bank", Dtype::F32, vec![rows, dim], bytemuck::cast_slice(&bank.rows)),
            ("provenance", Dtype::U32, vec![rows, 3], bytemuck::cast_slice(&bank.provenance)),
            (
                "train_images",
                Dtype::U32,
                vec![self.train_images.len()],
                bytemuck::cast_slice(&self.train_images),
            ),
            (
                "train_scores",
                Dtype::F32,
                vec![self.train_scores.len()],
                bytemuck::cast_slice(&self.train_scores),
            ),
            ("weights", Dtype::F32, vec![rows], bytemuck::cast_slice(&bank.weights)),
        ];
        if !bank.floors.is_empty() {
            columns.push(("floors", Dtype::F32, vec![rows], bytemuck::cast_slice(&bank.floors)));
        }
        let roi: Option<Vec<u8>> = self.roi.as_ref().map(|c| c.inside.iter().map(|i| u8::from(*i)).collect());
        if let Some(roi) = &roi {
            let shape = self.info.frame.map(|side| side as usize).to_vec();
            columns.push(("roi", Dtype::U8, shape, roi));
        }
        if !self.good_scores.is_empty() {
            let count = vec![self.good_scores.len()];
            columns.push(("good_scores", Dtype::F32, count, bytemuck::cast_slice(&self.good_scores)));
        }
        if let Some(Index { axes, order }) = &bank.index {
            let count = axes.vectors.len() / dim.max(1);
            columns.push(("axes", Dtype::F32, vec![count, dim], bytemuck::cast_slice(&axes.vectors)));
            columns.push(("axes_mean", Dtype::F32, vec![dim], bytemuck::cast_slice(&axes.mean)));
            columns.push(("order", Dtype::U32, vec![rows], bytemuck::cast_slice(order)));
        }
        let removed = &self.removed;
        if !removed.is_empty() {
            let count = removed.len();
            columns.extend([
                ("removed", Dtype::F32, vec![count, dim], bytemuck::cast_slice(&removed.rows)),
                ("removed_at", Dtype::U32, vec![count, 2], bytemuck::cast_slice(&removed.at)),
                ("removed_provenance", Dtype::U32, vec![count, 3], bytemuck::cast_slice(&removed.provenance)),
                ("removed_weights", Dtype::F32, vec![count], bytemuck::cast_slice(&removed.weights)),
                (
                    "removed_floors",
                    Dtype::F32,
                    vec![removed.floors.len()],
                    bytemuck::cast_slice(&removed.floors),
                ),
            ]);
        }
        let kept = self.references.as_ref().map(Parts::of).transpose().map_err(fail)?;
        if let Some(Parts { head, pictures, lengths, patches }) = &kept {
            let count = lengths.len();
            let each = patches.len() / count.max(1);
            columns.extend([
                ("references", Dtype::U8, vec![head.len()], head.as_slice()),
                ("reference_lengths", Dtype::U32, vec![count], bytemuck::cast_slice(lengths)),
                ("reference_patches", Dtype::F32, vec![count, each], bytemuck::cast_slice(patches)),
                ("reference_pictures", Dtype::U8, vec![pictures.len()], pictures.as_slice()),
            ]);
        }
        let columns: BTreeMap<&str, Column<'_>> = columns
            .into_iter()
            .map(|(name, dtype, shape, bytes)| (name, Column { dtype, shape, bytes }))
            .collect();
        let info = serde_json::to_string(&self.info).map_err(|e| fail(e.to_string()))?;
        let sum = checksum(&info, columns.iter().map(|(n, c)| (*n, c.shape.as_slice(), c.bytes)));
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("version".to_owned(), VERSION.to_string()),
            ("info".to_owned(), info),
            ("sha256".to_owned(), sum),
        ]);
        let bytes = safetensors::serialize(columns, Some(metadata)).map_err(|e| fail(e.to_string()))?;
        in_order(&bytes).ok_or_else(|| fail("its header is none".to_owned()))
    }

    /// Writes the file, whole or not at all, and to the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        files::replace(path, &bytes, files::Sync::Disk).map_err(|e| Error::io(path, "writing the model", e))
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Model`] as [`Model::from_bytes`].
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "reading the model", e))?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads and checks a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] where the bytes are no model, are damaged or cut short, or are of a later version.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let fail = |reason: String| Error::Model { path: path.to_owned(), reason };
        let damaged = |what: &str| fail(format!("the model is damaged ({what}); copy it again or fit anew"));
        let not_ours = |e: String| {
            fail(format!("not a softpatch model, or cut short ({e}); make one with `softpatch fit`"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| not_ours(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let get = |key: &str| metadata.get(key).map(String::as_str);
        if get("format") != Some(FORMAT) {
            return Err(fail(
                "a safetensors file, but not a softpatch model; make one with `softpatch fit`".into(),
            ));
        }
        match get("version").and_then(|v| v.parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(later) if later > VERSION => {
                return Err(fail(format!(
                    "model version {later}, this program reads up to {VERSION}; update softpatch or fit anew"
                )));
            }
            _ => return Err(damaged("no valid version")),
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| not_ours(e.to_string()))?;
        let mut tensors: Vec<(&str, TensorView<'_>)> = file.iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        let info_text = get("info").ok_or_else(|| damaged("no settings"))?;
        let sum = checksum(info_text, tensors.iter().map(|(n, t)| (*n, t.shape(), t.data())));
        if get("sha256") != Some(sum.as_str()) {
            return Err(damaged("its checksum does not fit its content"));
        }
        let mut info: ModelInfo =
            serde_json::from_str(info_text).map_err(|e| damaged(&format!("settings do not parse: {e}")))?;
        if info.frame == [0; 2] {
            // Files of 0.1.0 and before know the middle square alone.
            info.frame = [info.options.crop; 2];
        }
        info.options.validate().map_err(|e| damaged(&e.to_string()))?;
        let frame_side = |side: &u32| (1..=MOST).contains(side);
        let middle = info.options.geometry != Geometry::Paper || info.frame == [info.options.crop; 2];
        if !info.frame.iter().all(frame_side) || !middle {
            return Err(damaged(&format!("a frame of {:?}", info.frame)));
        }
        // No grid is finer than its frame; numbers of patches are products of its sides.
        if !info.grid.iter().all(frame_side) {
            return Err(damaged(&format!("a grid of {:?}", info.grid)));
        }
        let (rows, dim) = (info.rows as usize, info.dim as usize);
        let column = |name: &str, dtype: Dtype, shape: Option<&[usize]>| {
            let view = file.tensor(name).map_err(|_| damaged(&format!("no tensor {name}")))?;
            if view.dtype() != dtype || shape.is_some_and(|s| s != view.shape()) {
                return Err(damaged(&format!("tensor {name} is {:?} {:?}", view.dtype(), view.shape())));
            }
            Ok(view.data().to_vec())
        };
        let floats = |bytes: Vec<u8>| bytemuck::pod_collect_to_vec::<u8, f32>(&bytes);
        fn words<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
            bytemuck::pod_collect_to_vec(bytes)
        }
        // Files of 0.1.0 and before have none.
        let index = match file.tensor("axes") {
            Err(_) => None,
            Ok(axes) => {
                let count = axes.shape().first().copied().unwrap_or_default();
                let vectors = floats(column("axes", Dtype::F32, Some(&[count, dim]))?);
                let mean = floats(column("axes_mean", Dtype::F32, Some(&[dim]))?);
                let order = words(&column("order", Dtype::U32, Some(&[rows]))?);
                Some(Index { axes: Axes { mean, vectors }, order })
            }
        };
        let roi = match (info.looked_at, file.tensor("roi")) {
            (None, Err(_)) => None,
            _ => {
                let shape = info.frame.map(|side| side as usize);
                let inside: Vec<bool> =
                    column("roi", Dtype::U8, Some(&shape))?.into_iter().map(|v| v != 0).collect();
                Some(Cover { frame: info.frame, inside })
            }
        };
        // Files of 0.1.0 and before have none.
        let good_scores = match file.tensor("good_scores") {
            Err(_) => Vec::new(),
            Ok(_) => floats(column("good_scores", Dtype::F32, None)?),
        };
        // Of models that were edited.
        let removed = match file.tensor("removed_weights") {
            Err(_) => Removed::default(),
            Ok(weights) => {
                let count = weights.shape().first().copied().unwrap_or_default();
                Removed {
                    rows: floats(column("removed", Dtype::F32, Some(&[count, dim]))?),
                    weights: floats(column("removed_weights", Dtype::F32, Some(&[count]))?),
                    floors: match file.tensor("floors") {
                        Err(_) => Vec::new(),
                        Ok(_) => floats(column("removed_floors", Dtype::F32, Some(&[count]))?),
                    },
                    provenance: words(&column("removed_provenance", Dtype::U32, Some(&[count, 3]))?),
                    at: words(&column("removed_at", Dtype::U32, Some(&[count, 2]))?),
                }
            }
        };
        let references = match file.tensor("references") {
            Err(_) => None,
            Ok(head) => {
                let parts = Parts {
                    head: head.data().to_vec(),
                    pictures: column("reference_pictures", Dtype::U8, None)?,
                    lengths: words(&column("reference_lengths", Dtype::U32, None)?),
                    patches: floats(column("reference_patches", Dtype::F32, None)?),
                };
                let patches = (info.grid[0] as usize).saturating_mul(info.grid[1] as usize);
                Some(parts.references(patches).map_err(|what| damaged(&what))?)
            }
        };
        let model = Self {
            roi,
            good_scores,
            bank: MemoryBank {
                rows: floats(column("bank", Dtype::F32, Some(&[rows, dim]))?),
                weights: floats(column("weights", Dtype::F32, Some(&[rows]))?),
                floors: match file.tensor("floors") {
                    Err(_) => Vec::new(),
                    Ok(_) => floats(column("floors", Dtype::F32, Some(&[rows]))?),
                },
                provenance: words(&column("provenance", Dtype::U32, Some(&[rows, 3]))?),
                index,
            },
            train_images: words(&column("train_images", Dtype::U32, None)?),
            train_scores: floats(column("train_scores", Dtype::F32, None)?),
            references,
            removed,
            info,
        };
        if !model.fits_together() {
            return Err(damaged("its parts do not fit together"));
        }
        Ok(model)
    }
}
