//! `softpatch demo`.

use crate::common::backbone::embedded;
use crate::common::device::DeviceArgs;
use crate::common::failure::Outcome;
use crate::common::images::OnError;
use crate::common::output::{plain_path, print};
use crate::common::progress::{Bars, bar};
use crate::common::report::fixed_range;
use crate::eval::{Scored, figure, score_set};
use softpatch::Error;
use softpatch::data::synth::{Material, SynthOptions, generate};
use softpatch::data::{DecodeOptions, TestSet, TrainSet, decode_file};
use softpatch::detector::{Detector, Discriminator, FitOptions};
use softpatch::eval::MetricSize;
use softpatch::low_level::gpu::Device;
use softpatch::report::{SheetOptions, SheetRow, Verdict, contact_sheet, write_png};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

/// Show the whole method on painted parts: dirty training data, a fit, scores, and a picture of what was
/// found.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the data, the models, the picture and the page.
    #[arg(long, value_name = "DIR", default_value = "softpatch-demo")]
    out: PathBuf,
    /// What to inspect: fabric, metal, print, gear or circuit.
    #[arg(long, value_name = "NAME", default_value = "metal", value_parser = material)]
    material: Material,
    /// Seed of the painted parts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

fn material(name: &str) -> Result<Material, String> {
    Material::from_str(name).map_err(|e| e.to_string())
}

/// Share of defective training images.
const CONTAMINATION: f32 = 0.1;

pub fn run(args: &Args, quiet: bool) -> Outcome {
    let started = Instant::now();
    let device = args.device.open()?;
    let out = &args.out;
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "creating the folder", e))?;
    print(&format!("device: {}\n", device.caps().adapter))?;

    let data = out.join("data");
    let options = SynthOptions {
        materials: vec![args.material],
        train: 40,
        test_good: 20,
        test_per_defect: 5,
        seed: args.seed,
        contamination: CONTAMINATION,
        ..SynthOptions::default()
    };
    let painting = bar(quiet, "painting", 0);
    let made = generate(&data, &options, &|done, total| {
        painting.set_length(total as u64);
        painting.set_position(done as u64);
    });
    painting.finish_and_clear();
    let made = made?;
    let set = data.join(args.material.name());
    print(&format!(
        "1. painted {} training images of {}, {} of them defective though nothing says so, and {} test \
         images\n",
        made.train,
        args.material,
        made.contaminated,
        made.test_good + made.test_defect
    ))?;

    let fits = [Discriminator::None, Discriminator::Lof]
        .map(|discriminator| fit_and_score(&device, &set, out, discriminator, quiet));
    let [plain, lof] = fits;
    let ((_, plain), (detector, scored)) = (plain?, lof?);
    let (plain, figures) = (plain.figures()?.all, scored.figures()?.all);
    print(
        "2. fitted and scored twice: without looking for noise (none, PatchCore), and with (lof, \
         SoftPatch)\n",
    )?;
    let row =
        |name: &str, image, pixel| format!("     {name:<20}{:>12}{:>14}\n", figure(image), figure(pixel));
    print(&format!("     {:<20}{:>12}{:>14}\n", "", "image AUROC", "pixel AUROC"))?;
    print(&row("none (PatchCore)", plain.image_auroc, plain.pixel_auroc))?;
    print(&row("lof (SoftPatch)", figures.image_auroc, figures.pixel_auroc))?;

    // One sound image and one of each kind of defect.
    let order = order_of_show(&scored, args.material.defects().len() + 1);
    let rows = sheet_rows(&scored, &order)?;
    let info = detector.info();
    let picture = out.join("demo.png");
    let sheet = SheetOptions {
        title: format!(
            "softpatch on painted {}, {:.0} % of the training images defective",
            args.material,
            CONTAMINATION * 100.0
        ),
        cell: 160,
        range: fixed_range(info),
        threshold: info.map_threshold(),
    };
    write_png(&picture, &contact_sheet(&rows, &sheet)?)?;
    let file = out.join("report.html");
    let model = out.join("lof.safetensors");
    let mut page = scored.page(sheet.title, &model, &figures, info);
    page.figures.push(("image AUROC, none".to_owned(), figure(plain.image_auroc)));
    page.settings.push(("device".to_owned(), device.caps().adapter.clone()));
    page.write(&file)?;
    print(&format!(
        "3. drew what was found\n     picture  {}\n     page     {}\n     data     {}\n     \
         model    {}\n{:.0} s in all\n",
        plain_path(&picture),
        plain_path(&file),
        plain_path(&set),
        plain_path(&model),
        started.elapsed().as_secs_f64()
    ))
}

fn fit_and_score(
    device: &Device,
    set: &Path,
    out: &Path,
    discriminator: Discriminator,
    quiet: bool,
) -> Outcome<(Detector, Scored)> {
    let options = FitOptions { discriminator, ..FitOptions::default() };
    let train = TrainSet::open(set)?.source(DecodeOptions::default());
    let bars = Bars::new(quiet);
    // The page is of the method.
    let has_page = discriminator == Discriminator::Lof;
    let detector = Detector::fit(device, &embedded()?, &train, &options, &bars)?;
    detector.save(&out.join(format!("{discriminator}.safetensors")))?;
    let scored =
        score_set(&detector, TestSet::open(set)?, OnError::Stop, MetricSize::Source, has_page, &bars)?;
    bars.finish();
    Ok((detector, scored))
}

/// Test images in the order in which they are shown: a good one, then the first of every kind of defect, then
/// the second good one, and so on.
fn order_of_show(scored: &Scored, most: usize) -> Vec<usize> {
    let mut seen = std::collections::HashMap::new();
    let mut order: Vec<(usize, Option<&String>, usize)> = Vec::new();
    for (index, item) in scored.set.items.iter().enumerate() {
        let turn = seen.entry(item.defect.as_ref()).or_insert(0_usize);
        order.push((*turn, item.defect.as_ref(), index));
        *turn += 1;
    }
    order.sort();
    order.into_iter().map(|(_, _, index)| index).take(most).collect()
}

fn sheet_rows(scored: &Scored, order: &[usize]) -> Outcome<Vec<SheetRow>> {
    let mut rows = Vec::with_capacity(order.len());
    for &index in order {
        let (item, score) = (&scored.set.items[index], &scored.scores[index]);
        let image = decode_file(&item.path, &DecodeOptions::default())?;
        let pixels = image.width as usize * image.height as usize;
        let name = item.path.file_name().unwrap_or_default().to_string_lossy();
        rows.push(SheetRow {
            title: format!("{}/{name}", item.defect.as_deref().unwrap_or("good")),
            input: image,
            mask: Some(
                scored.masks[index].as_ref().map_or_else(|| vec![false; pixels], |m| m.pixels.clone()),
            ),
            map: scored.maps[index].map.clone(),
            score: score.score,
            verdict: score.anomalous.map(|a| if a { Verdict::Anomalous } else { Verdict::Normal }),
        });
    }
    Ok(rows)
}
