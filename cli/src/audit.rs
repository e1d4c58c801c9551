//! `softpatch audit`.

use crate::common::failure::{Failure, Outcome};
use crate::common::interrupt::interrupted;
use crate::common::output::{check_output_file, csv_line, plain, print, print_json};
use crate::common::progress::{Bars, bar};
use crate::common::set::end;
use crate::common::sizes::count;
use crate::common::training::TrainingArgs;
use softpatch::Error;
use softpatch::data::ImageSource;
use softpatch::detector::{Audit, AuditImage, FitOptions, Group};
use softpatch::files::write_whole;
use softpatch::report::AuditPage;
use std::fmt::Write;
use std::path::PathBuf;

/// Rank the training images by how contaminated they look, before a model is trusted.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMATS)]
pub struct Args {
    /// Lines of the table.
    #[arg(long, value_name = "N", default_value = "20")]
    top: usize,
    /// One JSON document instead of a table.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV of all images with a header instead of a table.
    #[arg(long)]
    csv: bool,
    /// Write a page to look at the images and choose those that `fit --exclude` leaves out: one HTML file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the paths of the images that look contaminated to this file, for `fit --exclude`.
    #[arg(long, value_name = "FILE")]
    suspects: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
}

const FORMATS: &str = "\
Images are judged as `softpatch fit` with the same options judges their patches, and no model is made. Suspicion is 0
for the middle image, and grows with how far the worst patches are from those of other images. How many images look
contaminated is an estimate: rare normal images count, too, and a flaw that many images share at one
place does not. Look at them before they are left out: `--report FILE`.

--json prints one object: grid, frame ([rows, columns]), noise_threshold, lof_k, contaminated (limit of the suspicion,
count, at_least, at_most), and images, most suspicious first, each with index, name, size ([width, height]), suspicion,
suspect, dropped (share of the patches that a fit would drop), peak ([x, y] in pixels of the image), and regions of
patches more suspicious than the limit, largest first: bbox ([x, y, width, height]), patches, peak, contour.
--csv prints the columns path,rank,suspicion,suspect,dropped,peak_x,peak_y. A name that a
spreadsheet would take for a formula has an apostrophe before it. Lines of it, with the header, are a list for
`fit --exclude`, too.";

pub fn run(args: Args, quiet: bool) -> Outcome {
    let bars = Bars::new(quiet);
    let dir = args.training.dir.clone();
    let training = args.training.open(&bars, quiet, || {
        let same = |a: &PathBuf, b: &PathBuf| std::path::absolute(a).ok() == std::path::absolute(b).ok();
        if args.report.as_ref().zip(args.suspects.as_ref()).is_some_and(|(a, b)| same(a, b)) {
            return Err(Failure::Usage("--report and --suspects name one file; give each its own".into()));
        }
        args.report.iter().chain(&args.suspects).try_for_each(|file| check_output_file(file))
    })?;
    let (device, backbone, options) = (&training.device, &training.backbone, &training.options);
    let ((audit, source), skipped) = training
        .judge(&bars, |source| Ok((Audit::of(device, backbone, &source, options, &bars)?, source)))?;
    bars.finish();
    // Before files that may not be written.
    if args.json {
        print_json(&audit)?;
    } else if args.csv {
        print(&csv(&audit))?;
    } else {
        print(&table(&audit, &dir.display().to_string(), args.top))?;
    }
    if let Some(file) = &args.suspects {
        write_whole(file, suspects(&audit, &dir).as_bytes())?;
    }
    if let Some(file) = &args.report {
        let mut page = AuditPage::new(&dir.display().to_string());
        page.settings = settings(&audit, options);
        page.note = verdict(&audit);
        let drawn = bar(quiet, "page", audit.images.len() as u64);
        for image in &audit.images {
            if interrupted() {
                drawn.finish_and_clear();
                return Err(Error::Cancelled.into());
            }
            page.push(&picture(image, &audit), &*source.load(image.index)?)?;
            drawn.inc(1);
        }
        drawn.finish_and_clear();
        page.write(file)?;
    }
    end(skipped, "the others were judged")
}

/// What the page shows of an image.
fn picture<'a>(image: &'a AuditImage, audit: &Audit) -> softpatch::report::AuditItem<'a> {
    softpatch::report::AuditItem {
        name: &image.name,
        suspicion: image.suspicion,
        suspect: image.suspect,
        dropped: image.dropped,
        patches: &image.patches,
        grid: audit.grid,
        // Where there is no limit: twice as suspicious as the middle one.
        limit: audit.contaminated.limit.unwrap_or(std::f32::consts::LN_2),
    }
}

/// How the images were judged.
fn settings(audit: &Audit, options: &FitOptions) -> Vec<(String, String)> {
    let group = match options.group {
        Group::Window => format!("windows of {0}x{0}", options.window),
        group => group.to_string(),
    };
    let mut all = vec![
        ("images".to_owned(), audit.images.len().to_string()),
        ("frame".to_owned(), format!("{}x{} pixels", audit.frame[1], audit.frame[0])),
        ("patches".to_owned(), format!("{}x{} an image", audit.grid[0], audit.grid[1])),
        ("discriminator".to_owned(), options.discriminator.to_string()),
        ("group".to_owned(), group),
        ("tau".to_owned(), options.tau.to_string()),
        ("noise".to_owned(), format!("outlier score over {:.4}", audit.noise_threshold)),
    ];
    if let Some(k) = audit.lof_k {
        all.push(("lof-k".to_owned(), k.to_string()));
    }
    all
}

/// How many images look contaminated, in words.
fn verdict(audit: &Audit) -> String {
    let found = &audit.contaminated;
    let all = audit.images.len();
    let Some(limit) = found.limit else {
        return format!(
            "{all} images do not say how much normal ones differ: no estimate of how many are contaminated"
        );
    };
    let range = match (found.at_least, found.at_most) {
        (least, most) if least == most => String::new(),
        (least, most) => format!(", {least} to {most} by stricter and laxer limits"),
    };
    format!(
        "about {} of {all} look contaminated (suspicion over {limit:.3}){range}: an estimate; rare normal images \
         count, too, and a flaw that many images share at one place does not",
        found.count
    )
}

fn suspects(audit: &Audit, dir: &std::path::Path) -> String {
    let suspects: Vec<&AuditImage> = audit.images.iter().filter(|i| i.suspect).collect();
    let mut text = format!(
        "# {} of {} training images of {} that look contaminated, for softpatch fit --exclude\n",
        suspects.len(),
        audit.images.len(),
        plain(&dir.display().to_string())
    );
    for image in suspects {
        let _ = match image.name.contains(['\n', '\r']) {
            // A line holds no such name.
            true => writeln!(text, "# cannot be listed: {}", plain(&image.name)),
            false => writeln!(text, "{}", image.name),
        };
    }
    text
}

fn csv(audit: &Audit) -> String {
    let mut text = "path,rank,suspicion,suspect,dropped,peak_x,peak_y\n".to_owned();
    for (rank, image) in audit.images.iter().enumerate() {
        let [x, y] = image.peak.map(|v| v.to_string());
        let (suspicion, dropped) = (image.suspicion.to_string(), image.dropped.to_string());
        text += &csv_line([
            &image.name,
            &(rank + 1).to_string(),
            &suspicion,
            &image.suspect.to_string(),
            &dropped,
            &x,
            &y,
        ]);
    }
    text
}

fn table(audit: &Audit, dir: &str, top: usize) -> String {
    let shown = &audit.images[..top.min(audit.images.len())];
    let names: Vec<String> = shown.iter().map(|i| plain(&i.name)).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).clamp(4, 70);
    let mut text = format!("{}\n", plain(dir));
    if !shown.is_empty() {
        let _ = writeln!(text, "  rank  suspicion  noisy  {:<width$}  where", "path");
    }
    for (rank, (image, name)) in shown.iter().zip(&names).enumerate() {
        let place = match image.regions.len() {
            0 => format!("at {}, {}", image.peak[0], image.peak[1]),
            n => format!("at {}, {}; {}", image.peak[0], image.peak[1], count(n, "area")),
        };
        let mark = if image.suspect { "*" } else { " " };
        let noisy = 100.0 * image.dropped;
        let _ = writeln!(
            text,
            "{mark} {:>4}  {:>9.3}  {noisy:>4.0} %  {name:<width$}  {place}",
            rank + 1,
            image.suspicion
        );
    }
    let rest = audit.images.len() - shown.len();
    if rest > 0 {
        let _ = writeln!(text, "  and {rest} less suspicious; --top {} shows all", audit.images.len());
    }
    let _ = writeln!(text, "{}", verdict(audit));
    text
}
