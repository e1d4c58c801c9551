//! What a folder holds and nobody uses, each path with its reason.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Why a path is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// An image in no place that the layout has.
    Outside,
    /// A folder that `take` does not name.
    NotTaken,
    /// A file whose content cannot be looked at, and whose name is not that of an image.
    Unreadable,
    /// A file or folder that was reached before through another link.
    Duplicate,
    /// A defect among the training images, by its label.
    TrainDefect,
    /// An image whose file is called after a defect, among others that are not.
    NamedDefect,
    /// An image of the validation split, which nothing here needs.
    Validation,
    /// Depth and the like beside `rgb/`.
    OtherSensor,
    /// A ground-truth mask of no image.
    LoneMask,
    /// A ground-truth mask that is not needed, since its image is good or is not tested.
    Mask,
    /// A small copy that a program made for its own display.
    Thumbnail,
    /// A folder of the operating system, a storage device or an archiver: `@eaDir`, `__MACOSX`, ...
    SystemFolder,
    /// A name that begins with a dot.
    Hidden,
    /// A file that is no image by name nor by content.
    NotAnImage,
}

impl Reason {
    /// Whether nothing but chance puts it there: not the layout's own rules, not the caller's choice, not a
    /// text beside the images.
    pub fn is_unexpected(self) -> bool {
        !matches!(
            self,
            Self::NotTaken
                | Self::TrainDefect
                | Self::Validation
                | Self::OtherSensor
                | Self::Mask
                | Self::NotAnImage
        )
    }

    /// `n` of them in words.
    fn count(self, n: usize) -> String {
        let (one, many) = match self {
            Self::Outside => ("image outside the layout", "images outside the layout"),
            Self::NotTaken => ("image that was not taken", "images that were not taken"),
            Self::Unreadable => ("unreadable file", "unreadable files"),
            Self::Duplicate => ("duplicate through a link", "duplicates through links"),
            Self::TrainDefect => ("defect among the training images", "defects among the training images"),
            Self::NamedDefect => ("image named after a defect", "images named after defects"),
            Self::Validation => ("validation image", "validation images"),
            Self::OtherSensor => ("file of another sensor", "files of other sensors"),
            Self::LoneMask => ("mask of no image", "masks of no image"),
            Self::Mask => ("mask that is not needed", "masks that are not needed"),
            Self::Thumbnail => ("thumbnail", "thumbnails"),
            Self::SystemFolder => ("system folder", "system folders"),
            Self::Hidden => ("hidden file or folder", "hidden files or folders"),
            Self::NotAnImage => ("file that is no image", "files that are no images"),
        };
        format!("{n} {}", if n == 1 { one } else { many })
    }
}

impl std::fmt::Display for Reason {
    /// Without the article: `thumbnail`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.count(1).trim_start_matches("1 "))
    }
}

/// A path that is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Left {
    /// The file, or the folder with all that is in it.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
    /// Of a duplicate: the path that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<PathBuf>,
}

/// Every path of a folder that is left out. As text: a line for each reason, with number and an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LeftOut {
    /// The paths, in the order in which they were found.
    pub paths: Vec<Left>,
}

impl LeftOut {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many paths are left out for each reason, images first.
    pub fn counts(&self) -> BTreeMap<Reason, usize> {
        let mut counts = BTreeMap::new();
        self.paths.iter().for_each(|left| *counts.entry(left.reason).or_default() += 1);
        counts
    }

    /// What is there by chance, see [`Reason::is_unexpected`].
    pub fn unexpected(&self) -> impl Iterator<Item = &Left> {
        self.paths.iter().filter(|left| left.reason.is_unexpected())
    }

    pub(super) fn add(&mut self, path: impl Into<PathBuf>, reason: Reason) {
        self.paths.push(Left { path: path.into(), reason, same_as: None });
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (reason, n)) in self.counts().into_iter().enumerate() {
            let example = self.paths.iter().find(|left| left.reason == reason);
            let example = example.map_or(String::new(), |left| left.path.display().to_string());
            let such = if n == 1 { "" } else { "such as " };
            write!(f, "{}{}: {such}{example}", if i > 0 { "\n" } else { "" }, reason.count(n))?;
        }
        Ok(())
    }
}
