//! The layouts by name.

use crate::{Error, Result};

/// How the images of a data set lie in its folders. Written by its short name, `mvtec` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// MVTec AD, MPDD, and all sets with `train/`, `test/`, and folders for good images and kinds of defects.
    Mvtec,
    /// MVTec LOCO AD.
    Loco,
    /// MVTec 3D-AD, its colour images.
    Mvtec3d,
    /// BeanTech AD.
    Btad,
    /// Visual Anomaly, with its list of the one-class split or without.
    Visa,
    /// KolektorSDD: folders of one item each.
    Kolektor,
    /// KolektorSDD2.
    Kolektor2,
    /// Magnetic tile defects as published.
    Magnetic,
    /// A folder of good images beside folders of defects.
    Plain,
    /// Images without labels: for fitting and scoring.
    Images,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 10] = [
        Self::Mvtec,
        Self::Loco,
        Self::Mvtec3d,
        Self::Btad,
        Self::Visa,
        Self::Kolektor,
        Self::Kolektor2,
        Self::Magnetic,
        Self::Plain,
        Self::Images,
    ];

    /// The names that are understood, each layout's own first, `mpdd` at the end.
    pub const NAMES: [&str; 11] = [
        "mvtec",
        "loco",
        "mvtec3d",
        "btad",
        "visa",
        "kolektor",
        "kolektor2",
        "magnetic",
        "plain",
        "images",
        "mpdd",
    ];

    /// Its short name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The name of the data set that it comes from, or what it is.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mvtec => "MVTec AD",
            Self::Loco => "MVTec LOCO AD",
            Self::Mvtec3d => "MVTec 3D-AD (colour)",
            Self::Btad => "BTAD",
            Self::Visa => "VisA",
            Self::Kolektor => "KolektorSDD",
            Self::Kolektor2 => "KolektorSDD2",
            Self::Magnetic => "magnetic tile",
            Self::Plain => "plain folder",
            Self::Images => "images without labels",
        }
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|layout| layout.name() == name) {
            Some(layout) => Ok(layout),
            None if name == "mpdd" => Ok(Self::Mvtec),
            None => Err(Error::InvalidOption(format!(
                "there is no layout {name}; there are {}",
                Self::NAMES.join(", ")
            ))),
        }
    }
}

/// How a folder is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The layout; `None` tells it by what is there.
    pub layout: Option<Layout>,
    /// Folders whose images are good, by name or by path below the root, where their names do not say so.
    /// Only these are fitted on.
    pub take: Vec<String>,
    /// Fit on all images for training, whatever the folders' names are; masks never count.
    pub all: bool,
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn every_name_is_read() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>().unwrap(), layout);
        }
        assert_eq!("mpdd".parse::<Layout>().unwrap(), Layout::Mvtec);
        assert!("MVTec AD".parse::<Layout>().unwrap_err().to_string().contains("mvtec, loco"));
    }
}
