//! An explanation as a document for programs, with the training pictures that it is about.

use super::{Detector, ExplainedPlace, Explanation, Neighbour, PatchOver};
use crate::Result;
use crate::data::{OwnedImage, decode_file};
use crate::text::quoted;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Training pictures that an explanation is about, found among files.
#[derive(Debug)]
pub struct TrainingPictures<'a> {
    detector: &'a Detector,
    /// By their number in the model.
    found: BTreeMap<u32, (PathBuf, OwnedImage)>,
}

impl<'a> TrainingPictures<'a> {
    /// Looks for the pictures of all neighbours among `files`: those that share most of a name's end with
    /// it. No file is opened that only the model names.
    ///
    /// # Errors
    /// As [`decode_file`].
    pub fn find(detector: &'a Detector, explained: &Explanation, files: &[PathBuf]) -> Result<Self> {
        let decode = detector.info().options.decode();
        let mut found = BTreeMap::new();
        for neighbour in explained.places.iter().flat_map(|place| &place.neighbours) {
            if found.contains_key(&neighbour.image) {
                continue;
            }
            if let Some(path) = matching(&neighbour.name, files) {
                let picture = decode_file(path, &decode)?;
                found.insert(neighbour.image, (path.to_owned(), picture));
            }
        }
        Ok(Self { detector, found })
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// File and picture of a neighbour, and the box `[x, y, width, height]` of its patch in the picture's
    /// pixels.
    pub fn of(&self, neighbour: &Neighbour) -> Option<(&Path, &OwnedImage, [u32; 4])> {
        let (path, picture) = self.found.get(&neighbour.image)?;
        let bbox = self.detector.patch_box(neighbour.at, [picture.width, picture.height]).ok()?;
        Some((path, picture, bbox))
    }
}

/// The file that has most of the name's end; `None` where none has its last part, or several have as much.
fn matching<'a>(name: &str, files: &'a [PathBuf]) -> Option<&'a Path> {
    let shared = |file: &Path| {
        let ends = Path::new(name).components().rev().zip(file.components().rev());
        ends.take_while(|(a, b)| a == b).count()
    };
    let most = files.iter().map(|file| shared(file)).max().filter(|most| *most > 0)?;
    let mut best = files.iter().filter(|file| shared(file) == most);
    best.next().filter(|_| best.next().is_none()).map(PathBuf::as_path)
}

#[derive(Serialize)]
struct Document<'a> {
    model: Option<String>,
    image: Option<String>,
    size: [u32; 2],
    score: f32,
    threshold: Option<f32>,
    anomalous: Option<bool>,
    over: &'a [PatchOver],
    allow: Option<String>,
    places: Vec<PlaceRow<'a>>,
}

#[derive(Serialize)]
struct PlaceRow<'a> {
    at: [u32; 2],
    bbox: [u32; 4],
    score: f32,
    above_threshold: Option<bool>,
    patches: u32,
    neighbours: Vec<NeighbourRow<'a>>,
}

#[derive(Serialize)]
struct NeighbourRow<'a> {
    #[serde(flatten)]
    neighbour: &'a Neighbour,
    path: Option<String>,
    bbox: Option<[u32; 4]>,
}

impl Explanation {
    /// The command by which a picture in a file passes, as a shell takes it. `None` where it passes already,
    /// and where no text stands for a name.
    pub fn allow(&self, model: &Path, image: &Path) -> Option<String> {
        let names = quoted(model).zip(quoted(image)).filter(|_| !self.over.is_empty());
        names.map(|(model, image)| format!("softpatch model {model} allow {image}"))
    }

    /// What `softpatch explain --json` prints. Where the model or the picture is in no file, its name is
    /// null, and so is the command that allows it.
    pub fn document<'a>(
        &'a self,
        pictures: &TrainingPictures<'_>,
        model: Option<&Path>,
        image: Option<&Path>,
    ) -> impl Serialize + 'a {
        Document {
            model: model.map(|path| path.display().to_string()),
            image: image.map(|path| path.display().to_string()),
            size: self.score.size,
            score: self.score.score,
            threshold: self.threshold,
            anomalous: self.score.anomalous,
            over: &self.over,
            allow: model.zip(image).and_then(|(model, image)| self.allow(model, image)),
            places: self.places.iter().map(|place| row(place, pictures)).collect(),
        }
    }
}

fn row<'a>(place: &'a ExplainedPlace, pictures: &TrainingPictures<'_>) -> PlaceRow<'a> {
    let neighbour = |neighbour: &'a Neighbour| {
        let found = pictures.of(neighbour);
        NeighbourRow {
            neighbour,
            path: found.map(|(path, ..)| path.display().to_string()),
            bbox: found.map(|(.., bbox)| bbox),
        }
    };
    PlaceRow {
        at: place.at,
        bbox: place.bbox,
        score: place.score,
        above_threshold: place.above_threshold,
        patches: place.patches,
        neighbours: place.neighbours.iter().map(neighbour).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_images_are_found_by_the_end_of_their_names() {
        let files = ["d/a/1.png", "d/b/1.png", "d/2.png"].map(PathBuf::from);
        let of = |name| matching(name, &files).map(|p| p.display().to_string());
        assert_eq!(of("/old/place/b/1.png").as_deref(), Some("d/b/1.png"));
        assert_eq!(of("2.png").as_deref(), Some("d/2.png"));
        assert_eq!((of("c/1.png"), of("3.png"), of("image 3")), (None, None, None));
    }
}
