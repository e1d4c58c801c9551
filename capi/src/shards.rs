//! Fits whose training images lie on several machines: the caller carries arrays from call to call.
//!
//! Vectors and embeddings are those of patches, image by image and row by row of the grid.

use crate::context::{Context, softpatch_context};
use crate::fit_options::softpatch_fit_options;
use crate::handles;
use crate::memory::{check, slice, slice_mut, text, write};
use crate::model::{Loaded, softpatch_detector};
use crate::status::{Failure, guard, softpatch_status};
use crate::texts::{Noted, clear, give, softpatch_text};
use crate::training::Training;
use crate::watch::{
    SOFTPATCH_STAGE_CALIBRATE, SOFTPATCH_STAGE_CORESET, SOFTPATCH_STAGE_DENOISE, SOFTPATCH_STAGE_DISTANCES,
    SOFTPATCH_STAGE_FEATURES, Watcher, softpatch_progress_fn, watched,
};
use serde::{Deserialize, Serialize};
use softpatch::data::{FileSource, ImageSource};
use softpatch::detector::Detector;
use softpatch::detector::shards::{LeftOut, ShardPlan, ShardRows};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;

/// A plan, and the images that it is for.
#[derive(Serialize)]
struct Planned {
    plan: ShardPlan,
    paths: Vec<String>,
}

/// What became of the patches that are no rows of the bank.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    images: Vec<String>,
    threshold: Option<f32>,
    kept: u64,
    lof_k: Option<u32>,
}

/// A context with a plan, whose work keeps within the context's budget.
struct Opened {
    context: std::sync::Arc<Context>,
    plan: ShardPlan,
    watcher: Watcher,
}

impl Opened {
    /// # Safety
    /// `plan` is null or a text that ends with a zero byte.
    unsafe fn new(
        context: softpatch_context,
        plan: *const c_char,
        callback: softpatch_progress_fn,
        user_data: *mut c_void,
    ) -> Result<Self, Failure> {
        let context = handles::get::<Context>(context)?;
        // SAFETY: passed on.
        let mut plan = ShardPlan::from_json(unsafe { text(plan, "plan") }?)?;
        plan.options.memory = context.memory;
        Ok(Self { context, plan, watcher: Watcher { callback, user_data } })
    }
}

/// Plans a fit of the images of a folder whose work is done in shards, as `softpatch_fit_folder` with the same
/// options would do it. `json` is an object: `plan`, which goes to the other `softpatch_shards_*` as it is (with
/// `images`, how many there are, `grid` [rows, columns], `dim`, values of an embedding, and `projected`, values of
/// a vector), `paths`, the images in order, and `notes`.
///
/// `SOFTPATCH_INVALID_ARGUMENT` for options that need all features in one place: the discriminator auto, groups
/// other than position, compat official.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_plan(
    context: softpatch_context,
    folder: *const c_char,
    options: *const softpatch_fit_options,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
    json: *mut softpatch_text,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { clear(json) }?;
        let context = handles::get::<Context>(context)?;
        let watcher = Watcher { callback: progress, user_data };
        // SAFETY: as above.
        let Training { options, source, mut notes } =
            unsafe { Training::open(folder, options, context.memory, &watcher) }?;
        let start = (SOFTPATCH_STAGE_FEATURES, 0, source.len() as u64);
        let (plan, said) = watched(&watcher, start, |progress| {
            ShardPlan::new(&context.device, &context.backbone, &source, &options, progress)
        })?;
        notes.extend(said);
        let paths = (0..source.len()).map(|i| source.name(i)).collect();
        // SAFETY: as above.
        unsafe { give(&Noted { document: Planned { plan, paths }, notes }, json) }
    })
}

/// Brings the `count` image files `paths` of a shard through the backbone: `vectors` becomes
/// `[count][grid rows * columns][projected]`, `embeddings` `[count][grid rows * columns][dim]`; the lengths say how
/// many values they have room for, which has to be as many. Patches that are not looked at are infinite in both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_features(
    context: softpatch_context,
    plan: *const c_char,
    paths: *const *const c_char,
    count: usize,
    vectors: *mut f32,
    vectors_len: usize,
    embeddings: *mut f32,
    embeddings_len: usize,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        let Opened { context, plan, watcher } = unsafe { Opened::new(context, plan, progress, user_data) }?;
        let paths = unsafe { slice(paths, count, "paths") }?.iter().enumerate();
        let paths = paths
            .map(|(i, path)| unsafe { text(*path, &format!("paths[{i}]")) }.map(PathBuf::from))
            .collect::<Result<Vec<_>, _>>()?;
        let vectors = unsafe { slice_mut(vectors, vectors_len, "vectors") }?;
        let embeddings = unsafe { slice_mut(embeddings, embeddings_len, "embeddings") }?;
        let source = FileSource::new(paths, plan.options.decode());
        watched(&watcher, (SOFTPATCH_STAGE_FEATURES, 0, count as u64), |progress| {
            plan.features(&context.device, &context.backbone, &source, (vectors, embeddings), progress)
        })?;
        Ok(())
    })
}

/// Outlier scores of some grid positions of all images of the plan, from their vectors
/// `[images][positions][projected]`: `scores` becomes `[images][positions]`, the scores that a fit on one machine
/// finds; -1 where a patch is not looked at. `lof_k` is how many neighbours LOF used, 0 for other discriminators; it
/// may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_outlier_scores(
    context: softpatch_context,
    plan: *const c_char,
    vectors: *const f32,
    vectors_len: usize,
    scores: *mut f32,
    scores_len: usize,
    lof_k: *mut u32,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        let Opened { context, plan, watcher } = unsafe { Opened::new(context, plan, progress, user_data) }?;
        let vectors = unsafe { slice(vectors, vectors_len, "vectors") }?;
        let room = unsafe { slice_mut(scores, scores_len, "scores") }?;
        if !lof_k.is_null() {
            check(lof_k, "lof_k")?;
        }
        let patches = vectors.len() / plan.projected as usize;
        if patches != room.len() {
            let (room, what) = (room.len(), "scores has room for");
            return Err(Failure::argument(format!(
                "{what} {room}, the vectors are those of {patches} patches"
            )));
        }
        let start = (SOFTPATCH_STAGE_DENOISE, 0, (patches / plan.images as usize) as u64);
        let ((found, used), _) = watched(&watcher, start, |progress| {
            plan.outlier_scores(&context.device, &context.backbone, vectors, progress)
        })?;
        room.copy_from_slice(&found);
        match lof_k.is_null() {
            true => Ok(()),
            false => unsafe { write(lof_k, used.unwrap_or(0), "lof_k") },
        }
    })
}

/// Chooses `rows` of some vectors `[..][projected]` by greedy k-centre: `chosen` becomes their places, in the order
/// chosen; where there are no more than `rows`, all of them, ascending. `chosen_len` is the smaller number.
/// `distances`, which may be null, are those of the vectors `[..]` from a bank: then it goes on from there, and the
/// farthest is the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_choose(
    context: softpatch_context,
    plan: *const c_char,
    vectors: *const f32,
    vectors_len: usize,
    distances: *const f32,
    rows: u32,
    chosen: *mut u32,
    chosen_len: usize,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        let Opened { context, plan, watcher } = unsafe { Opened::new(context, plan, progress, user_data) }?;
        let vectors = unsafe { slice(vectors, vectors_len, "vectors") }?;
        let room = unsafe { slice_mut(chosen, chosen_len, "chosen") }?;
        let patches = vectors.len() / plan.projected as usize;
        let distances = match distances.is_null() {
            true => None,
            false => Some(unsafe { slice(distances, patches, "distances") }?),
        };
        let most = patches.min(rows as usize);
        if room.len() != most {
            let room = room.len();
            return Err(Failure::argument(format!(
                "chosen has room for {room} places, there will be {most}"
            )));
        }
        let (found, _) = watched(&watcher, (SOFTPATCH_STAGE_CORESET, 0, most as u64), |progress| {
            plan.choose(&context.device, &context.backbone, vectors, distances, rows, progress)
        })?;
        room.copy_from_slice(&found);
        Ok(())
    })
}

/// The distances of vectors `[..][projected]` from the nearest of `centres` `[..][projected]`: `distances` becomes
/// `[..]`, of which `distances_len` is how many it has room for, which has to be as many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_distances(
    context: softpatch_context,
    plan: *const c_char,
    vectors: *const f32,
    vectors_len: usize,
    centres: *const f32,
    centres_len: usize,
    distances: *mut f32,
    distances_len: usize,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        let Opened { context, plan, watcher } = unsafe { Opened::new(context, plan, progress, user_data) }?;
        let vectors = unsafe { slice(vectors, vectors_len, "vectors") }?;
        let centres = unsafe { slice(centres, centres_len, "centres") }?;
        let room = unsafe { slice_mut(distances, distances_len, "distances") }?;
        let patches = vectors.len() / plan.projected as usize;
        if room.len() != patches {
            let (room, what) = (room.len(), "distances has room for");
            return Err(Failure::argument(format!(
                "{what} {room}, the vectors are those of {patches} patches"
            )));
        }
        let (found, _) = watched(&watcher, (SOFTPATCH_STAGE_DISTANCES, 0, patches as u64), |progress| {
            plan.distances(&context.device, &context.backbone, vectors, centres, progress)
        })?;
        room.copy_from_slice(&found);
        Ok(())
    })
}

/// The detector whose memory bank are `rows` patches: their `embeddings` `[rows][dim]`, outlier `scores` `[rows]`, and
/// `places` `[rows][2]`, number of the image and grid position; without a threshold, until `softpatch_shards_finish`.
/// `about` is a JSON object: `images` (names of all, in order), `threshold` (outlier score above which patches were
/// dropped, or null), `kept` (how many were not), `lof_k` (or null).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_model(
    context: softpatch_context,
    plan: *const c_char,
    about: *const c_char,
    embeddings: *const f32,
    scores: *const f32,
    places: *const u32,
    rows: usize,
    detector: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        unsafe { write(detector, 0, "detector") }?;
        let Opened { context, plan, .. } = unsafe { Opened::new(context, plan, None, std::ptr::null_mut()) }?;
        let about: About = serde_json::from_str(unsafe { text(about, "about") }?)
            .map_err(|e| Failure::argument(format!("about: {e}")))?;
        let too_many = || Failure::argument(format!("{rows} rows are more than memory has"));
        let values = rows.checked_mul(plan.dim as usize).ok_or_else(too_many)?;
        let embeddings = unsafe { slice(embeddings, values, "embeddings") }?.to_vec();
        let scores = unsafe { slice(scores, rows, "scores") }?.to_vec();
        let numbers = unsafe { slice(places, rows.checked_mul(2).ok_or_else(too_many)?, "places") }?;
        let places = numbers.chunks_exact(2).map(|place| [place[0], place[1]]).collect();
        let About { images, threshold, kept, lof_k } = about;
        let rows = ShardRows { images, embeddings, scores, places, threshold, kept, lof_k };
        let model = plan.model(&context.device, rows)?;
        let made = Loaded::new(Detector::new(&context.device, &context.backbone, model)?);
        unsafe { write(detector, handles::insert(made), "detector") }
    })
}

/// Scores the images of a shard, of which `first` is the number of the first, by their `embeddings`
/// `[len][grid rows * columns][dim]` against the memory bank of `detector` without the rows of each: `scores`
/// and `peaks` become `[len]`, the largest values of maps, NaN where none was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_leave_one_out(
    context: softpatch_context,
    plan: *const c_char,
    detector: softpatch_detector,
    embeddings: *const f32,
    embeddings_len: usize,
    first: u32,
    scores: *mut f32,
    peaks: *mut f32,
    len: usize,
    progress: softpatch_progress_fn,
    user_data: *mut c_void,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        let Opened { context, plan, watcher } = unsafe { Opened::new(context, plan, progress, user_data) }?;
        let loaded = handles::get::<Loaded>(detector)?;
        let embeddings = unsafe { slice(embeddings, embeddings_len, "embeddings") }?;
        let scores = unsafe { slice_mut(scores, len, "scores") }?;
        let peaks = unsafe { slice_mut(peaks, len, "peaks") }?;
        let images = embeddings.len() / (plan.positions() * plan.dim as usize);
        if images != len {
            return Err(Failure::argument(format!(
                "the embeddings are those of {images} images, len is {len}"
            )));
        }
        let model = loaded.detector.model();
        let (left, _) = watched(&watcher, (SOFTPATCH_STAGE_CALIBRATE, 0, len as u64), |progress| {
            plan.leave_one_out(&context.device, &context.backbone, model, embeddings, first, progress)
        })?;
        for ((score, peak), left) in scores.iter_mut().zip(peaks).zip(left) {
            (*score, *peak) = (left.score, left.peak);
        }
        Ok(())
    })
}

/// Makes of `detector` one with the thresholds that follow from the `scores` and `peaks` of all images of the plan, in
/// order. `detector` stays as it is, and is the caller's to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_shards_finish(
    context: softpatch_context,
    plan: *const c_char,
    detector: softpatch_detector,
    scores: *const f32,
    peaks: *const f32,
    len: usize,
    finished: *mut softpatch_detector,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract, here and below.
        unsafe { write(finished, 0, "finished") }?;
        let Opened { context, plan, watcher } =
            unsafe { Opened::new(context, plan, None, std::ptr::null_mut()) }?;
        let loaded = handles::get::<Loaded>(detector)?;
        let scores = unsafe { slice(scores, len, "scores") }?;
        let peaks = unsafe { slice(peaks, len, "peaks") }?;
        let left: Vec<LeftOut> =
            scores.iter().zip(peaks).map(|(&score, &peak)| LeftOut { score, peak }).collect();
        let mut model = loaded.detector.model().clone();
        let start = (SOFTPATCH_STAGE_CALIBRATE, len as u64, len as u64);
        let ((), notes) = watched(&watcher, start, |progress| plan.finish(&mut model, &left, progress))?;
        let made = Loaded::fitted(Detector::new(&context.device, &context.backbone, model)?, notes);
        unsafe { write(finished, handles::insert(made), "finished") }
    })
}
