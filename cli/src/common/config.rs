//! Settings of a fit from a TOML file and the command line; the command line wins.

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::settings::{Every, Given};
use crate::common::sizes::parse_bytes;
use softpatch::detector::{Discriminator, Embedding, FitOptions, Group, SETTINGS};
use std::path::{Path, PathBuf};

/// Settings that a model is fitted with. What is not given comes from `--config`, else from the defaults.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FitArgs {
    #[command(flatten)]
    pub given: Given<Every>,
    /// TOML file with any of these settings under their names here, without the dashes in front (soft-weights
    /// = false for --no-soft-weights), and `device` and `no-self-test`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Settings that hold.
#[derive(Debug, Default)]
pub struct Settings {
    pub fit: FitOptions,
    pub device: DeviceArgs,
    /// What was given and has no meaning beside the rest.
    pub notes: Vec<String>,
}

impl FitArgs {
    /// Merges file and command line, and checks the result.
    pub fn settings(self, device: DeviceArgs) -> Outcome<Settings> {
        let (mut all, named) = match &self.config {
            Some(path) => read(path)?,
            None => (Settings::default(), Vec::new()),
        };
        self.given.apply(&mut all.fit)?;
        all.device.device = device.device.or(all.device.device);
        all.device.no_self_test |= device.no_self_test;
        all.device.device_timeout = device.device_timeout;
        all.fit.validate().map_err(|e| Failure::Usage(e.to_string()))?;
        let named = SETTINGS
            .iter()
            .map(|setting| setting.name)
            .filter(|name| self.given.has(name) || named.iter().any(|key| key == name));
        all.notes = named.filter_map(|name| idle(name, &all.fit)).collect();
        Ok(all)
    }
}

/// Why a setting that was given changes nothing beside the others; `None`: it may.
fn idle(name: &str, fit: &FitOptions) -> Option<String> {
    let judged = fit.discriminator;
    let why = match (name, judged) {
        ("tau", Discriminator::None | Discriminator::Auto) => {
            format!("the discriminator {judged} drops no training patches")
        }
        ("soft-weights", Discriminator::None | Discriminator::Auto) => {
            format!("with the discriminator {judged} all rows weigh the same")
        }
        ("window", _) if fit.group != Group::Window => format!("the group is {}", fit.group),
        ("group", Discriminator::None)
        | ("lof-k", Discriminator::None | Discriminator::Gaussian | Discriminator::Nearest) => {
            format!("the discriminator is {judged}")
        }
        ("embedding-dim", _) if fit.embedding == Embedding::Concat => "the embedding is concat".to_owned(),
        _ => return None,
    };
    Some(format!("{name} has no meaning here and changes nothing: {why}"))
}

/// Reads and checks a configuration file; the second value are the settings that it names.
fn read(path: &Path) -> Outcome<(Settings, Vec<String>)> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| softpatch::Error::io(path, "reading the configuration", e))?;
    let named = text.parse::<toml::Table>().map_or(Vec::new(), |table| table.keys().cloned().collect());
    parse(&text)
        .map(|settings| (settings, named))
        .map_err(|reason| Failure::Usage(format!("{}: {}", path.display(), reason.trim_end())))
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
    // A model that says nothing of its geometry is of the middle; a configuration that says nothing means the
    // usual one, unless it has sizes of the middle.
    let of_middle = table.contains_key("resize") || table.contains_key("crop");
    table.entry("geometry").or_insert(if of_middle { "paper" } else { "whole" }.into());
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
    Ok(Settings { fit, device: DeviceArgs { device, no_self_test, device_timeout: None }, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};
    use softpatch::detector::Geometry;

    #[test]
    fn a_file_sets_what_it_names() {
        let all = parse(
            "tau = 0.2\nlof-k = 4\ndiscriminator = \"nearest\"\nmemory = \"2GiB\"\nexif = true\ndevice = \
             1\nno-self-test = true\n",
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
        let geometry = |text: &str| parse(text).unwrap().fit.geometry;
        assert_eq!(geometry("size = 512"), Geometry::Whole);
        assert_eq!(geometry("crop = 128"), Geometry::Paper);
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
        let given = |args: &[&str]| {
            let matches = FitArgs::augment_args(clap::Command::new("fit")).get_matches_from(args);
            let mut args = FitArgs::from_arg_matches(&matches).unwrap();
            args.config = Some(path.clone());
            args.settings(DeviceArgs::default())
        };
        let all = given(&["fit", "--tau", "0.3", "--no-soft-weights"]).unwrap();
        assert_eq!((all.fit.tau, all.fit.seed, all.fit.soft_weights), (0.3, 5, false));
        assert_eq!(all.device.device.as_deref(), Some("llvm"));
        // The published program's choice of neighbours, unless somebody chose.
        let lof_k =
            |args: &[&str]| given(&[&["fit", "--compat", "official"], args].concat()).unwrap().fit.lof_k;
        assert_eq!((lof_k(&[]), lof_k(&["--lof-k", "7"])), (5, 7));
        // What is given and changes nothing is said; what nobody gave is not.
        let notes = |args: &[&str]| given(&[&["fit"], args].concat()).unwrap().notes;
        assert_eq!(notes(&["--lof-k", "7"]), [""; 0]);
        for judged in ["auto", "none"] {
            let notes = notes(&["--discriminator", judged, "--window", "7", "--no-soft-weights"]);
            let of = |name: &str| {
                notes.iter().any(|note| note.starts_with(&format!("{name} has no meaning here")))
            };
            // Tau is the file's.
            assert!(of("tau") && of("window") && of("soft-weights") && notes.len() == 3, "{notes:?}");
        }
        std::fs::write(&path, "lof-k = 8\n").unwrap();
        assert_eq!(notes(&["--discriminator", "auto"]), [""; 0]);
        assert_eq!(given(&["fit", "--compat", "official"]).unwrap().fit, FitOptions::official().lof_k(8));
        std::fs::write(&path, "seed = 5\n").unwrap();
        for (given, name) in [
            (["--discriminator", "gaussian", "--lof-k", "7"], "lof-k"),
            (["--discriminator", "none", "--group", "global"], "group"),
            (["--embedding", "concat", "--embedding-dim", "64"], "embedding-dim"),
        ] {
            let said = notes(&given);
            assert!(said.len() == 1 && said[0].starts_with(&format!("{name} has no")), "{given:?}: {said:?}");
        }
    }
}
