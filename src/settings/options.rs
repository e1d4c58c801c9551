//! Settings of a fit: each is defined once, in `settings!` below. Its field, default, range and method, the
//! arguments and the configuration of the program follow from there; C, C# and Python declare a field, which
//! tests hold to it.

use super::choice::{Choice, Compat, Discriminator, Embedding, FitAspect, Geometry, Group};
use super::setting::{self, SettingOf, Values, settings};
use super::size::Size;
use super::unsaid;
use crate::backbone::{Patches, Precision, RESNETS};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const fn whole(from: u32, to: u32) -> Values {
    Values::Whole { from, to, multiple_of: 1 }
}

const fn fourfold(from: u32, to: u32) -> Values {
    Values::Whole { from, to, multiple_of: 4 }
}

settings! {
    /// Settings of a fit, with the published defaults.
    ///
    /// Every field has a method of its name that sets it:
    /// ```
    /// use softpatch::{Discriminator, FitOptions};
    /// let options = FitOptions::default().lof_k(5).discriminator(Discriminator::Nearest);
    /// assert_eq!((options.lof_k, options.tau), (5, 0.15));
    /// options.validate()?;
    /// assert!(options.tau(1.0).validate().is_err());
    /// # Ok::<(), softpatch::Error>(())
    /// ```
    /// Later versions add fields. Code that uses these methods, or ends a literal with
    /// `..FitOptions::default()`, builds with them as it is.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct FitOptions;

    /// Outlier score of the training patches.
    discriminator: Discriminator = Discriminator::Lof,
    "discriminator" "NAME" in Values::OneOf(Discriminator::NAMES),
    "How training patches are judged: lof (local outlier factor), nearest (distance to the nearest other \
     patch), gaussian (Mahalanobis distance), none (all are kept: PatchCore), or auto (all are kept, and none vouches \
     for more than other images vouch for it; no tau)";

    /// Share of training patches that is dropped as noise, in [0, 1).
    tau: f64 = 0.15,
    "tau" "SHARE" in Values::Share { zero: true, one: false },
    "Share of the training patches that is dropped as noise";

    /// Neighbours of the local outlier factor; lowered to the number of images less one.
    lof_k: u32 = 6,
    "lof-k" "K" in whole(1, 32),
    "Neighbours of the local outlier factor";

    /// Patches of other images that a training patch is judged by; `gaussian` has its position alone.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    group: Group = Group::Position,
    "group" "NAME" in Values::OneOf(Group::NAMES),
    "Which patches of other images a training patch is compared with: those at its position, in a window \
     around it (parts that are a little shifted or turned), or global: all (parts that lie anyhow)";

    /// Side of the window in patches, odd, for [`Group::Window`]; of no account for the others.
    #[serde(skip_serializing_if = "unsaid::is_window")]
    window: u32 = unsaid::WINDOW,
    "window" "N" in whole(3, 15),
    "Side of the window in patches, an odd number, where group is window";

    /// Rows of the memory bank as a share of all training patches, in (0, 1].
    coreset_ratio: f64 = 0.1,
    "coreset-ratio" "SHARE" in Values::Share { zero: false, one: true },
    "Rows of the memory bank as a share of all training patches";

    /// Whether bank rows keep their outlier scores as weights.
    soft_weights: bool = true,
    "soft-weights" "BOOL" in Values::Switch,
    "Do not weigh distances by the outlier scores of the bank's rows";

    /// How the stages become one vector.
    embedding: Embedding = Embedding::Auto,
    "embedding" "NAME" in Values::OneOf(Embedding::NAMES),
    "How layers become one vector: concat (3x3 means side by side), pooled (as PatchCore publishes its \
     numbers), or auto: pooled for ResNets, concat for EfficientNet-Lite";

    /// Values of a pooled embedding: 64 to 1024, a multiple of 4. Of no account for `concat`.
    embedding_dim: u32 = 1024,
    "embedding-dim" "N" in fourfold(64, 1024),
    "Values of a pooled patch";

    /// Whether the published program's choices are followed.
    compat: Compat = Compat::None,
    "compat" "NAME" in Values::OneOf(Compat::NAMES),
    "Whose behaviour to follow where the paper and its program part: official is the published program (then \
     5 neighbours unless lof-k says otherwise)";

    /// Values of a projected patch; patches of no more values are not projected.
    projection: u32 = 128,
    "projection" "N" in fourfold(4, 1024),
    "Values of a projected patch";

    /// Share of good pictures that the thresholds let pass for anomalous: 0.0001 to 0.5, or 0 for thresholds
    /// by median and deviations of training pictures.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    target_fpr: f64 = 0.0,
    "target-fpr" "RATE" in Values::Rate,
    "False-alarm rate that thresholds are set for, the share of good pictures that are called anomalous (without \
     one they lie three deviations above the median)";

    /// Seed of the projection and of the coreset's start.
    seed: u64 = 0,
    "seed" "N" in Values::AnyWhole,
    "Seed of the projection and of the choice of the bank";

    /// What of a picture is looked at.
    #[serde(default = "Geometry::unsaid", skip_serializing_if = "unsaid::is_paper")]
    geometry: Geometry = Geometry::Whole,
    "geometry" "NAME" in Values::OneOf(Geometry::NAMES),
    "What of a picture is looked at: whole (all of it, in a frame of the training pictures' aspect), or paper (the \
     middle square of --crop pixels, as published results have it)";

    /// How large the frame is that whole pictures are brought to.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    size: Size = Size::Auto,
    "size" "SIZE" in Values::Size,
    "Size of the frame that whole pictures are brought to, in pixels: its shorter side, WIDTHxHEIGHT, or auto: as many \
     pixels as 256x256. Sides are rounded to what the backbone takes, multiples of 16 or 32";

    /// How pictures come to the frame whose aspect is not theirs.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    fit_aspect: FitAspect = FitAspect::Stretch,
    "fit-aspect" "NAME" in Values::OneOf(FitAspect::NAMES),
    "How pictures of another aspect come to the frame: stretch (each side for itself), pad (what is left of the frame \
     is neither learned nor scored), or crop (what passes the frame is not looked at)";

    /// With the geometry `paper`, the shorter side of an image is brought to this many pixels.
    resize: u32 = 256,
    "resize" "PIXELS" in whole(32, 4096),
    "With --geometry paper, the shorter side of every image is brought to this many pixels";

    /// With the geometry `paper`, side of the centred square that is looked at, in pixels.
    crop: u32 = 224,
    "crop" "PIXELS" in whole(32, 2048),
    "With --geometry paper, side of the centred square that is looked at, in pixels";

    /// Images that go through the backbone at a time.
    batch: u32 = 8,
    "batch" "N" in whole(1, 256),
    "Images that go through the backbone at a time";

    /// Whether images were turned as their EXIF orientation says. Sources decode, not the detector: this
    /// tells whoever scores with the model to treat images alike.
    exif: bool = false,
    "exif" "BOOL" in Values::Switch,
    "Turn images as their EXIF orientation says";

    /// Significant bits of samples in 16-bit containers, as cameras of 10, 12 and 14 bit leave them: 8 to 16,
    /// or 0 for what the files' own tags say, else what all training images together show. Sources decode,
    /// not the detector; a model has the number that its images were decoded with.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    bits: u32 = 0,
    "bits" "N" in whole(0, 16),
    "Significant bits of 16-bit images: 10, 12 or 14 as cameras have them; 0: as the files' tags say, else as all \
     training images together show";

    /// The sample value that becomes black, where `white` is set.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    black: f64 = 0.0,
    "black" "VALUE" in Values::Number,
    "Value that is black in images of 16 or 32 bit, where --white is given";

    /// The sample value that becomes white, for floating point and integers of 32 bit, which have no usual
    /// range; of 16 bit, too. Equal to `black`: not stated.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    white: f64 = 0.0,
    "white" "VALUE" in Values::Number,
    "Value that is white in images of 16 or 32 bit, e.g. 1 for floating point from 0 to 1";

    /// How the backbone stores weights and activations; a bank fitted in one precision is scored in the same.
    #[serde(skip_serializing_if = "unsaid::is_default")]
    precision: Precision = Precision::F32,
    "precision" "NAME" in Values::OneOf(Precision::NAMES),
    "How the backbone stores weights and activations, f32 or f16 (half the memory, faster; sums stay f32)";

    /// Bytes, on device and host together, for all that grows with number and size of the training images:
    /// features, lists and tables of the selection, the bank, pictures being decoded, half for the backbone's
    /// buffers. Features that do not fit wait in temporary files, frames that do not are computed in bands,
    /// large pictures come fewer at a time, and the model is the same. What does not grow comes on top: the
    /// backbone's weights, 64 MiB of working buffers, and the driver's own memory.
    memory: u64 = 1 << 30,
    "memory" "SIZE" in Values::Bytes,
    "Memory, device and host together, for all that grows with number and size of the training images, e.g. \
     800MB or 2GiB. Features that do not fit wait in temporary files (TMPDIR says where), large frames are \
     computed in bands. Weights, driver and 64 MiB of working buffers come on top";
}

/// A setting of a fit.
pub type Setting = SettingOf<FitOptions>;

impl FitOptions {
    /// The settings of the published program's runs: [`Compat::Official`], [`Geometry::Paper`], and the 5
    /// neighbours that they use because the flag of the paper's 6 goes under a wrong name there.
    pub fn official() -> Self {
        Self { compat: Compat::Official, lof_k: 5, geometry: Geometry::Paper, ..Self::default() }
    }

    /// The embedding that these settings mean for a backbone of architecture `arch`: never
    /// [`Embedding::Auto`].
    pub fn embedding_for(&self, arch: &str) -> Embedding {
        match self.embedding {
            Embedding::Auto if RESNETS.contains(&arch) => Embedding::Pooled,
            Embedding::Auto => Embedding::Concat,
            chosen => chosen,
        }
    }

    /// The same for the extractor.
    pub(crate) fn patches(&self, arch: &str) -> Patches {
        match self.embedding_for(arch) {
            Embedding::Pooled => Patches::Pooled { dim: self.embedding_dim },
            _ => Patches::Concat,
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] that names the setting and the range.
    pub fn validate(&self) -> Result<()> {
        SETTINGS.iter().try_for_each(|setting| setting.check(self))?;
        self.check_geometry()?;
        if self.resize < self.crop {
            let (resize, crop) = (self.resize, self.crop);
            return Err(Error::InvalidOption(format!(
                "resize is {resize}, it must be at least crop, which is {crop}"
            )));
        }
        if self.window.is_multiple_of(2) {
            return Err(Error::InvalidOption(format!("window is {}, it must be odd", self.window)));
        }
        if self.discriminator == Discriminator::Gaussian && self.group != Group::Position {
            return Err(Error::InvalidOption(format!(
                "the discriminator gaussian compares patches of one position, group is {}; use group position, or \
                 the discriminator lof or nearest",
                self.group
            )));
        }
        if self.white < self.black {
            let (black, white) = (self.black, self.white);
            return Err(Error::InvalidOption(format!(
                "white is {white}, it must be above black, which is {black}"
            )));
        }
        if self.white > self.black && self.bits > 0 {
            return Err(Error::InvalidOption(
                "bits says what white says already; give one of them".to_owned(),
            ));
        }
        if (1..8).contains(&self.bits) {
            return Err(Error::InvalidOption(format!("bits is {}, it must be 0 or 8 to 16", self.bits)));
        }
        Ok(())
    }

    /// Sets what `name` names to what a text says; see [`SettingOf::set`].
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where there is no such setting, or the text is no such value.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        find(name)?.set(self, text)
    }

    /// The value of what `name` names, as a text; see [`SettingOf::get`].
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where there is no such setting.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok(find(name)?.get(self))
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        Error::InvalidOption(format!("there is no setting `{name}`; there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_older_files_parse() {
        let old = r#"{"discriminator":"lof","tau":0.15,"lof-k":6,"coreset-ratio":0.1,"soft-weights":true,
            "projection":128,"seed":0,"resize":256,"crop":224,"batch":8,"memory":1073741824}"#;
        assert_eq!(serde_json::from_str::<FitOptions>(old).unwrap(), FitOptions::paper(256, 224));
        let text = serde_json::to_string(&FitOptions::official()).unwrap();
        assert!(text.contains(r#""embedding":"auto","embedding-dim":1024,"compat":"official""#), "{text}");
        assert_eq!(serde_json::from_str::<FitOptions>(&text).unwrap(), FitOptions::official());
        assert!(!text.contains("precision"), "a model in f32 is for older programs, too: {text}");
        let half = FitOptions { precision: Precision::F16, ..FitOptions::default() };
        let text = serde_json::to_string(&half).unwrap();
        assert!(text.contains(r#""precision":"f16""#), "{text}");
        assert_eq!(serde_json::from_str::<FitOptions>(&text).unwrap(), half);
    }

    #[test]
    fn embeddings_follow_the_architecture() {
        let auto = FitOptions::default();
        assert_eq!(auto.embedding_for("wide_resnet50_2"), Embedding::Pooled);
        assert_eq!(auto.embedding_for("efficientnet-lite0"), Embedding::Concat);
        let concat = FitOptions { embedding: Embedding::Concat, ..auto.clone() };
        assert_eq!(concat.patches("resnet18"), Patches::Concat);
        let pooled = FitOptions { embedding: Embedding::Pooled, embedding_dim: 384, ..auto.clone() };
        assert_eq!(pooled.patches("efficientnet-lite1"), Patches::Pooled { dim: 384 });
        for embedding_dim in [0, 60, 130, 1028] {
            assert!(FitOptions { embedding_dim, ..auto.clone() }.validate().is_err(), "{embedding_dim}");
        }
    }

    /// Model files and the table call a setting the same.
    #[test]
    fn names_are_those_of_model_files() {
        let all = FitOptions::default().precision(Precision::F16).bits(12).black(1.0).white(2.0);
        let all = all.size(Size::Shorter(99)).fit_aspect(FitAspect::Pad);
        let all = all.group(Group::Window).window(7).target_fpr(0.05);
        let all = serde_json::to_value(all).unwrap();
        let mut names: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
        names.sort_unstable();
        assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn settings_are_read_and_written_as_texts() {
        let mut options = FitOptions::default();
        for (name, text) in [("tau", "0.2"), ("lof-k", "4"), ("discriminator", "nearest"), ("exif", "true")] {
            options.set(name, text).unwrap();
            assert_eq!(options.get(name).unwrap(), text);
        }
        let expected =
            FitOptions::default().tau(0.2).lof_k(4).discriminator(Discriminator::Nearest).exif(true);
        assert_eq!(options, expected);
        // What is written is read as the same.
        for setting in SETTINGS {
            setting.set(&mut options, &setting.default()).unwrap();
        }
        assert_eq!(options, FitOptions::default());
        for (name, text, says) in [
            ("taw", "1", "there is no setting `taw`; there are discriminator, tau,"),
            ("tau", "much", "tau is much, it must be at least 0 and below 1"),
            ("lof-k", "-1", "lof-k is -1, it must be 1 to 32"),
            ("projection", "", "projection is , it must be a multiple of 4 from 4 to 1024"),
            ("discriminator", "knn", "discriminator is knn, it must be lof, nearest, gaussian, none or auto"),
            ("compat", "x", "compat is x, it must be none or official"),
            ("size", "12", "size is 12, it must be auto, a shorter side or WIDTHxHEIGHT"),
            ("memory", "2 GiB", "memory is 2 GiB, it must be a number of bytes"),
        ] {
            let error = options.set(name, text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        let base = FitOptions::default;
        for (options, says) in [
            (base().tau(1.0), "tau is 1, it must be at least 0 and below 1"),
            (base().tau(f64::NAN), "tau is NaN"),
            (base().tau(-0.1), "tau is -0.1"),
            (base().coreset_ratio(0.0), "coreset-ratio is 0, it must be over 0 and at most 1"),
            (base().coreset_ratio(f64::INFINITY), "coreset-ratio is inf"),
            (base().lof_k(33), "lof-k is 33, it must be 1 to 32"),
            (base().window(6), "window is 6, it must be odd"),
            (base().window(17), "window is 17, it must be 3 to 15"),
            (
                base().discriminator(Discriminator::Gaussian).group(Group::Global),
                "group is global; use group position, or",
            ),
            (base().projection(6), "projection is 6, it must be a multiple of 4 from 4 to 1024"),
            (base().embedding_dim(60), "embedding-dim is 60, it must be a multiple of 4 from 64 to 1024"),
            (base().target_fpr(0.6), "target-fpr is 0.6, it must be 0.0001 to 0.5, or 0"),
            (base().target_fpr(0.00001), "target-fpr is 0.00001, it"),
            (base().batch(0), "batch is 0, it must be 1 to 256"),
            (base().crop(31), "crop is 31, it must be 32 to 2048"),
            (base().crop(64), "resize is 256 and crop 64, which is for the geometry paper"),
            (
                FitOptions::paper(64, 64).size(Size::Shorter(99)),
                "size is 99, which is for the geometry whole",
            ),
            (FitOptions::paper(64, 64).fit_aspect(FitAspect::Pad), "fit-aspect is pad, which is for"),
            (base().resize(4097), "resize is 4097, it must be 32 to 4096"),
            (FitOptions::paper(256, 300), "resize is 256, it must be at least crop, which is 300"),
        ] {
            assert!(options.validate().unwrap_err().to_string().contains(says), "{says}");
        }
        let fine =
            [base().tau(0.0), base().coreset_ratio(1.0), base().projection(1024), FitOptions::official()];
        fine.iter().for_each(|options| options.validate().unwrap());
    }
}
