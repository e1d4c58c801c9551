//! Labelled images.

use super::decode::DecodeOptions;
use super::file_source::FileSource;
use super::left_out::LeftOut;
use std::path::PathBuf;

/// A test image with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestItem {
    /// The image.
    pub path: PathBuf,
    /// The kind of defect, after the folder's name; `None` for a good image.
    pub defect: Option<String>,
    /// The ground-truth mask, or the folder of several whose union it is; `None` where the image is good or
    /// has no mask.
    pub mask: Option<PathBuf>,
}

impl TestItem {
    /// Whether the image shows a defect.
    pub fn is_defect(&self) -> bool {
        self.defect.is_some()
    }
}

/// Labelled test images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestSet {
    /// The images, sorted by path.
    pub items: Vec<TestItem>,
    /// What a reader of the figures should know: which folders were taken for good, and the like.
    pub notes: Vec<String>,
    /// What the folder holds and the data set does not use.
    pub left_out: LeftOut,
    /// Where the masks of the first image without one were looked for, as patterns; empty where none lacks
    /// its mask.
    pub looked_for: Vec<String>,
}

impl TestSet {
    /// The defect images that have no mask.
    pub fn without_mask(&self) -> impl Iterator<Item = &TestItem> {
        self.items.iter().filter(|i| i.is_defect() && i.mask.is_none())
    }

    /// How many masks are missing, of how many, and where they were looked for; `None` where each defect
    /// image has its mask.
    pub fn missing_masks(&self) -> Option<String> {
        let first = self.without_mask().next()?;
        let (missing, defects) =
            (self.without_mask().count(), self.items.iter().filter(|i| i.is_defect()).count());
        let looked_for = match self.looked_for.as_slice() {
            [] => String::new(),
            patterns => format!("; looked for {}", patterns.join(", ")),
        };
        Some(format!(
            "{missing} of {defects} defect images have no mask, {} for one{looked_for}. The pixel figures \
             leave them out",
            first.path.display()
        ))
    }

    /// The images, decoded when asked for.
    pub fn source(&self, options: DecodeOptions) -> FileSource {
        FileSource::new(self.items.iter().map(|i| i.path.clone()).collect(), options)
    }
}
