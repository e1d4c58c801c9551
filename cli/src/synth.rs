//! `softpatch synth`.

use crate::common::failure::Outcome;
use crate::common::output::{plain_path, print};
use crate::common::progress::bar;
use softpatch::data::synth::{Material, SynthOptions, generate};
use std::path::PathBuf;
use std::str::FromStr;

/// Paint a data set to try things on: five materials, defects with exact masks, in the layout of MVTec AD.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write, empty or new or made by an earlier run, which is replaced.
    out: PathBuf,
    /// Materials, with commas between: fabric, metal, print, gear, circuit [default: all].
    #[arg(long, value_delimiter = ',', value_parser = material)]
    materials: Vec<Material>,
    /// Good training images a material.
    #[arg(long, value_name = "N", default_value_t = SynthOptions::default().train)]
    train: u32,
    /// Good test images a material.
    #[arg(long, value_name = "N", default_value_t = SynthOptions::default().test_good)]
    test_good: u32,
    /// Test images of every kind of defect.
    #[arg(long, value_name = "N", default_value_t = SynthOptions::default().test_per_defect)]
    test_per_defect: u32,
    /// Side of the images in pixels, 32 to 2048.
    #[arg(long, value_name = "PIXELS", default_value_t = SynthOptions::default().size)]
    size: u32,
    /// The same seed gives the same files.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Share of defect images to put among the training images, e.g. 0.1; they stay in the test set, too.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    contamination: f32,
}

fn material(name: &str) -> Result<Material, String> {
    Material::from_str(name).map_err(|e| e.to_string())
}

pub fn run(args: Args, quiet: bool) -> Outcome {
    let mut options = SynthOptions {
        train: args.train,
        test_good: args.test_good,
        test_per_defect: args.test_per_defect,
        size: args.size,
        seed: args.seed,
        contamination: args.contamination,
        ..SynthOptions::default()
    };
    if !args.materials.is_empty() {
        options.materials = args.materials;
    }
    let bar = bar(quiet, "painting", 0);
    let made = generate(&args.out, &options, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let made = made?;
    let mut text = format!(
        "{}: {} materials, {} training images ({} of them defective), {} good and {} defective test images\n",
        plain_path(&args.out),
        made.materials,
        made.train,
        made.contaminated,
        made.test_good,
        made.test_defect
    );
    for material in &options.materials {
        text.push_str(&format!("  {}\n", plain_path(&args.out.join(material.name()))));
    }
    print(&text)
}
