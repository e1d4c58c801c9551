//! Settings of a fit from a TOML file and the command line; the command line wins.

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::sizes::parse_bytes;
use softpatch::detector::{Compat, Discriminator, Embedding, FitOptions, Precision};
use std::path::{Path, PathBuf};

/// Settings that a model is fitted with. What is not given comes from `--config`, else from the defaults.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FitArgs {
    /// How training patches are judged [default: lof].
    #[arg(long, value_name = "NAME", value_parser = discriminator,
          long_help = "How training patches are judged: lof (local outlier factor), nearest (distance to the nearest other \
                       patch), gaussian (Mahalanobis distance), or none (all are kept: PatchCore) [default: lof]")]
    pub discriminator: Option<Discriminator>,
    /// Share of the training patches that is dropped as noise, 0 or more and below 1 [default: 0.15].
    #[arg(long, value_name = "SHARE")]
    pub tau: Option<f64>,
    /// Neighbours of the local outlier factor, 1 to 32 [default: 6].
    #[arg(long, value_name = "K")]
    pub lof_k: Option<u32>,
    /// Rows of the memory bank as a share of all training patches, over 0 and at most 1 [default: 0.1].
    #[arg(long, value_name = "SHARE")]
    pub coreset_ratio: Option<f64>,
    /// Do not weigh distances by the outlier scores of the bank's rows.
    #[arg(long)]
    pub no_soft_weights: bool,
    /// Values of a projected patch, a multiple of 4 [default: 128].
    #[arg(long, value_name = "N")]
    pub projection: Option<u32>,
    /// Seed of the projection and of the choice of the bank [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The shorter side of every image is brought to this many pixels [default: 256].
    #[arg(long, value_name = "PIXELS")]
    pub resize: Option<u32>,
    /// Side of the centred square that is looked at, in pixels [default: 224].
    #[arg(long, value_name = "PIXELS")]
    pub crop: Option<u32>,
    /// Images that go through the backbone at a time [default: 8].
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Memory, device and host together, for all that grows with the number of training images, e.g. 800MB or 2GiB.
    /// Features that do not fit wait in temporary files (TMPDIR says where). Backbone, driver and the images being decoded
    /// come on top [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<u64>,
    /// Turn images as their EXIF orientation says.
    #[arg(long)]
    pub exif: bool,
    /// How layers become one vector: concat (3x3 means side by side), pooled (as PatchCore publishes its numbers), or auto:
    /// pooled for ResNets, concat for EfficientNet-Lite [default: auto].
    #[arg(long, value_name = "NAME", value_parser = embedding)]
    pub embedding: Option<Embedding>,
    /// Values of a pooled patch, a multiple of 4 [default: 1024].
    #[arg(long, value_name = "N")]
    pub embedding_dim: Option<u32>,
    /// Whose behaviour to follow where the paper and its program part: official is the published program (then 5
    /// neighbours unless --lof-k says otherwise) [default: none].
    #[arg(long, value_name = "NAME", value_parser = compat)]
    pub compat: Option<Compat>,
    /// How the backbone stores weights and activations, f32 or f16 (half the memory, faster; sums stay f32) [default: f32].
    #[arg(long, value_name = "NAME", value_parser = precision)]
    pub precision: Option<Precision>,
    /// TOML file with any of these settings under their names here, without the dashes in front (soft-weights = false
    /// for --no-soft-weights), and `device` and `no-self-test`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Settings that hold.
#[derive(Debug)]
pub struct Settings {
    pub fit: FitOptions,
    pub device: DeviceArgs,
}

impl FitArgs {
    /// Merges file and command line, and checks the result.
    pub fn settings(self, device: DeviceArgs) -> Outcome<Settings> {
        let mut all = match &self.config {
            Some(path) => read(path)?,
            None => Settings { fit: FitOptions::default(), device: DeviceArgs::default() },
        };
        let fit = &mut all.fit;
        if self.compat == Some(Compat::Official) && fit.lof_k == FitOptions::default().lof_k {
            fit.lof_k = FitOptions::official().lof_k;
        }
        fit.compat = self.compat.unwrap_or(fit.compat);
        fit.embedding = self.embedding.unwrap_or(fit.embedding);
        fit.precision = self.precision.unwrap_or(fit.precision);
        let set = |to: &mut u32, from: Option<u32>| *to = from.unwrap_or(*to);
        set(&mut fit.lof_k, self.lof_k);
        set(&mut fit.projection, self.projection);
        set(&mut fit.embedding_dim, self.embedding_dim);
        set(&mut fit.resize, self.resize);
        set(&mut fit.crop, self.crop);
        set(&mut fit.batch, self.batch);
        fit.discriminator = self.discriminator.unwrap_or(fit.discriminator);
        fit.tau = self.tau.unwrap_or(fit.tau);
        fit.coreset_ratio = self.coreset_ratio.unwrap_or(fit.coreset_ratio);
        fit.seed = self.seed.unwrap_or(fit.seed);
        fit.memory = self.memory.unwrap_or(fit.memory);
        fit.soft_weights &= !self.no_soft_weights;
        fit.exif |= self.exif;
        all.device.device = device.device.or(all.device.device);
        all.device.no_self_test |= device.no_self_test;
        all.fit.validate().map_err(|e| Failure::Usage(e.to_string()))?;
        Ok(all)
    }
}

/// Reads and checks a configuration file.
fn read(path: &Path) -> Outcome<Settings> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| softpatch::Error::io(path, "reading the configuration", e))?;
    parse(&text).map_err(|reason| Failure::Usage(format!("{}: {}", path.display(), reason.trim_end())))
}

fn parse(text: &str) -> Result<Settings, String> {
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| format!("not valid TOML: {e}"))?;
    let device = match table.remove("device") {
        None => None,
        Some(toml::Value::String(name)) => Some(name),
        Some(toml::Value::Integer(index)) => Some(index.to_string()),
        Some(other) => {
            return Err(format!("device is {other}, it must be an adapter's number or a part of its name"));
        }
    };
    let no_self_test = match table.remove("no-self-test") {
        None => false,
        Some(toml::Value::Boolean(off)) => off,
        Some(other) => return Err(format!("no-self-test is {other}, it must be true or false")),
    };
    if let Some(toml::Value::String(size)) = table.get("memory") {
        let bytes = parse_bytes(size).map_err(|e| format!("memory: {e}"))?;
        let bytes = i64::try_from(bytes).map_err(|_| format!("memory: {size} is too much"))?;
        table.insert("memory".into(), toml::Value::Integer(bytes));
    }
    // Key by key, so that the message names the key.
    for (key, value) in &table {
        let one = toml::Table::from_iter([(key.clone(), value.clone())]);
        if let Err(e) = one.try_into::<FitOptions>() {
            let message = e.message().to_owned();
            return Err(if message.starts_with("unknown field") {
                format!(
                    "unknown key `{key}`; {}, device, no-self-test",
                    message.split_once(", ").map_or("", |m| m.1)
                )
            } else {
                format!("{key} is {value}: {message}")
            });
        }
    }
    let fit = table.try_into::<FitOptions>().map_err(|e| e.to_string())?;
    Ok(Settings { fit, device: DeviceArgs { device, no_self_test } })
}

pub fn embedding(name: &str) -> Result<Embedding, String> {
    match name {
        "auto" => Ok(Embedding::Auto),
        "concat" => Ok(Embedding::Concat),
        "pooled" => Ok(Embedding::Pooled),
        _ => Err("it is auto, concat or pooled".into()),
    }
}

pub fn compat(name: &str) -> Result<Compat, String> {
    match name {
        "none" => Ok(Compat::None),
        "official" => Ok(Compat::Official),
        _ => Err("it is none or official".into()),
    }
}

fn discriminator(name: &str) -> Result<Discriminator, String> {
    match name {
        "lof" => Ok(Discriminator::Lof),
        "nearest" => Ok(Discriminator::Nearest),
        "gaussian" => Ok(Discriminator::Gaussian),
        "none" => Ok(Discriminator::None),
        _ => Err("there are lof, nearest, gaussian and none".into()),
    }
}

pub fn precision(name: &str) -> Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        _ => Err("it is f32 or f16".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_it_names() {
        let all = parse(
            "tau = 0.2\nlof-k = 4\ndiscriminator = \"nearest\"\nmemory = \"2GiB\"\nexif = true\ndevice = 1\nno-self-test = true\n",
        )
        .unwrap();
        assert_eq!(
            all.fit,
            FitOptions {
                tau: 0.2,
                lof_k: 4,
                discriminator: Discriminator::Nearest,
                memory: 2 << 30,
                exif: true,
                ..FitOptions::default()
            }
        );
        assert_eq!(all.device.device.as_deref(), Some("1"));
        assert!(all.device.no_self_test);
    }

    #[test]
    fn a_wrong_file_names_the_key() {
        for (text, key) in [
            ("taw = 0.2", "unknown key `taw`"),
            ("tau = \"much\"", "tau is \"much\""),
            ("exif = 1", "exif is 1"),
            ("memory = \"lots\"", "memory: `lots`"),
            ("discriminator = \"knn\"", "discriminator is"),
            ("tau = ", "not valid TOML"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(key), "{text}: {message}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fit.toml");
        std::fs::write(&path, "tau = 0.2\nseed = 5\ndevice = \"llvm\"\n").unwrap();
        let args =
            FitArgs { tau: Some(0.3), no_soft_weights: true, config: Some(path), ..FitArgs::default() };
        let all = args.settings(DeviceArgs::default()).unwrap();
        assert_eq!((all.fit.tau, all.fit.seed, all.fit.soft_weights), (0.3, 5, false));
        assert_eq!(all.device.device.as_deref(), Some("llvm"));
    }
}
