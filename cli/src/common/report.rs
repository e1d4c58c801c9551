//! Pages of scored images.

use softpatch::data::OwnedImage;
use softpatch::detector::{ModelInfo, SETTINGS};
use softpatch::report::{Drawing, ScorePage, Thumb};
use std::path::Path;

/// Map values that are drawn coldest and hottest, where the model has a threshold for them: fixed for a
/// model, so that pictures can be compared.
pub fn fixed_range(info: &ModelInfo) -> Option<(f32, f32)> {
    info.map_threshold().filter(|threshold| *threshold > 0.0).map(|t| (0.3 * t, 2.5 * t))
}

/// Map values that are drawn coldest and hottest.
pub fn map_range(info: &ModelInfo, map: &[f32]) -> (f32, f32) {
    fixed_range(info).unwrap_or_else(|| (0.0, map.iter().copied().fold(f32::MIN_POSITIVE, f32::max)))
}

/// A picture of one of `images` on a page; `size` of the map is width and height, and `truth` has as many
/// values.
pub fn thumb(
    picture: &OwnedImage,
    (map, size): (&[f32], [u32; 2]),
    truth: Option<&[bool]>,
    info: &ModelInfo,
    images: usize,
) -> softpatch::Result<Thumb> {
    let drawing = Drawing { map, size, range: map_range(info, map), threshold: info.map_threshold(), truth };
    Thumb::new(picture, &drawing, ScorePage::side(images))
}

/// A page without images, of those that the model in the file `model` scored.
pub fn page(title: String, model: &Path, info: &ModelInfo) -> ScorePage {
    let [rows, columns] = info.frame;
    let value = |threshold: Option<f32>| threshold.map_or_else(|| "none".to_owned(), |t| format!("{t:.4}"));
    let mut settings = vec![
        ("model".to_owned(), model.display().to_string()),
        ("made by".to_owned(), format!("softpatch {}", info.made_by.trim_start_matches("softpatch "))),
        ("backbone".to_owned(), format!("{} [{}]", info.backbone.arch, info.backbone.layers.join(", "))),
        ("training images".to_owned(), info.images.len().to_string()),
        ("frame".to_owned(), format!("{columns}x{rows} pixels, {}x{} patches", info.grid[1], info.grid[0])),
        ("bank".to_owned(), format!("{} rows of {} values", info.rows, info.dim)),
        ("threshold".to_owned(), value(info.threshold)),
        ("pixel threshold".to_owned(), value(info.pixel_threshold)),
    ];
    settings.extend(SETTINGS.iter().map(|s| (format!("--{}", s.name), s.get(&info.options))));
    let why = info.no_threshold.as_deref().map_or(String::new(), |why| format!(": {why}"));
    let none = format!("The model has no threshold{why}. Click into the histogram to try one.");
    ScorePage {
        title,
        notes: if info.threshold.is_none() { vec![none] } else { Vec::new() },
        settings,
        threshold: info.threshold,
        range: fixed_range(info),
        map_threshold: info.map_threshold(),
        ..ScorePage::default()
    }
}
