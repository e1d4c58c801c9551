//! `softpatch roofline`.

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::log;
use crate::common::output::{check_output_file, csv_line, print, print_json};
use serde_json::json;
use softpatch::low_level::backbone::{efficientnet_lite, resnet};
use softpatch::low_level::cases::{Entry, Scale, method, network, products};
use softpatch::low_level::gpu::{Archetype, Caps};
use softpatch::low_level::roofline::{Roof, Row, measure, probe};
use std::fmt::Write;
use std::path::PathBuf;

/// Measure what the adapter can do, and how near each kernel comes to it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The largest shapes on a slow adapter, too (on GPUs of more than 1 TFLOP/s they are always measured).
    #[arg(long)]
    large: bool,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// Write the table as a CSV file, too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A group of cases, with the images a batch where its sum is a network's.
struct Group {
    title: String,
    images: Option<u32>,
    cases: Vec<Entry>,
}

fn groups(scale: Scale) -> Outcome<Vec<Group>> {
    let mut all = Vec::new();
    for (f16, name) in [(false, "f32"), (true, "f16")] {
        let cases = products(scale, f16);
        all.push(Group { title: format!("products, {name}"), images: None, cases });
        let mut networks = vec![efficientnet_lite(0).with_taps(&["block4", "block10"])?];
        if scale.large {
            let wide = resnet("wide_resnet50_2").map(|n| n.with_taps(&["layer2", "layer3"])).transpose()?;
            networks.extend(wide);
        }
        for of in networks {
            let cases = network(&of, scale, f16)?;
            all.push(Group { title: format!("{}, {name}", of.name), images: Some(scale.batch), cases });
        }
    }
    all.push(Group { title: "method, f32".into(), images: None, cases: method(scale) });
    Ok(all)
}

pub fn run(args: &Args, quiet: bool) -> Outcome {
    if let Some(path) = &args.csv {
        check_output_file(path)?;
    }
    let device = &args.device.open()?;
    let caps = device.caps();
    let gpu = caps.archetype == Archetype::Tiled;
    let say = |text: &str| if args.json { Ok(()) } else { print(text) };
    say(&format!("{} ({}, {}), kernels {}\n", caps.adapter, caps.backend, caps.driver, caps.archetype))?;
    if !caps.timestamps {
        say("no timestamp queries: times are the host's and hold a submission each\n")?;
    }
    let roof = probe(device)?;
    say(&describe(&roof))?;
    // The largest shapes are half a second of work at a third of this rate: on slower GPUs too near a
    // watchdog's patience.
    let large = args.large || (gpu && roof.f32 > 1e12);
    if gpu && !large {
        say("the largest shapes are left out on an adapter of this speed; --large has them\n")?;
    }
    let scale = Scale { batch: if gpu { 32 } else { 1 }, large };
    say(&format!(
        "\n{:<12} {:<40} {:>9} {:>9} {:>8} {:>6} {:>6}  {}\n",
        "kernel", "shape", "ms", "GFLOP/s", "GB/s", "peak", "roof", "variant"
    ))?;
    let (mut rows, mut wrong): (Vec<(String, Row)>, usize) = (Vec::new(), 0);
    for group in groups(scale)? {
        say(&format!("{}\n", group.title))?;
        let mut sum = 0.0;
        for entry in &group.cases {
            let row = match measure(device, &roof, entry) {
                Ok(row) => row,
                Err(e @ softpatch::Error::Limit(_)) => {
                    if !quiet {
                        log::note(&format!("a shape is left out: {e}"));
                    }
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            wrong += usize::from(!row.passed());
            sum += f64::from(row.count) * row.seconds;
            say(&line(&row))?;
            rows.push((group.title.clone(), row));
        }
        if let Some(images) = group.images {
            let each = 1e3 * sum / f64::from(images);
            say(&format!("all layers of the network: {each:.3} ms an image at a batch of {images}\n"))?;
        }
    }
    if let Some(path) = &args.csv {
        softpatch::files::write_whole(path, csv(caps, &rows).as_bytes())?;
    }
    if args.json {
        let list: Vec<_> = rows.iter().map(|(group, row)| json!({ "group": group, "row": row })).collect();
        print_json(&json!({
            "adapter": caps.adapter,
            "driver": caps.driver,
            "backend": caps.backend,
            "kernels": caps.archetype.to_string(),
            "tuning": softpatch::low_level::steps::tuning::values(device.tuning()),
            "batch": scale.batch,
            "roof": roof,
            "rows": list,
        }))?;
    }
    if wrong > 0 {
        log::error(&format!("{wrong} of {} answers are wrong; run `softpatch doctor`", rows.len()));
        return Err(Failure::Reported);
    }
    Ok(())
}

fn describe(roof: &Roof) -> String {
    let mut text = format!("f32 {:.1} GFLOP/s", roof.f32 / 1e9);
    for (name, rate) in [("f16", roof.f16), ("cooperative matrices", roof.coop)] {
        if let Some(rate) = rate {
            let _ = write!(text, ", {name} {:.1}", rate / 1e9);
        }
    }
    let _ = writeln!(text, ", copies {:.1} GB/s", roof.bandwidth / 1e9);
    text
}

fn line(row: &Row) -> String {
    let mut shape = row.shape.clone();
    if row.count > 1 {
        let _ = write!(shape, " ({} times)", row.count);
    }
    let variants = row.variant.split(", ").count();
    let variant = if variants > 4 { format!("{variants} shaders") } else { row.variant.clone() };
    let mark = if row.passed() { "" } else { "  WRONG" };
    format!(
        "{:<12} {shape:<40} {:>9.3} {:>9.1} {:>8.1} {:>4.0} % {:>4.0} %  {variant}{mark}\n",
        row.kernel,
        1e3 * row.seconds,
        row.gflops,
        row.gbs,
        100.0 * row.peak_share,
        100.0 * row.roof_share,
    )
}

fn csv(caps: &Caps, rows: &[(String, Row)]) -> String {
    let mut text = csv_line(
        "adapter,driver,group,kernel,shape,variant,count,seconds,clock,runs,gflops,gbs,peak_share,roof_share,\
         error,tolerance,right"
            .split(','),
    );
    for (group, r) in rows {
        let names =
            [&caps.adapter, &caps.driver, group, r.kernel, &r.shape, &r.variant].map(|t: &str| t.to_owned());
        let figures = [
            r.count.to_string(),
            format!("{:e}", r.seconds),
            r.clock.to_string(),
            r.runs.to_string(),
            r.gflops.to_string(),
            r.gbs.to_string(),
            r.peak_share.to_string(),
            r.roof_share.to_string(),
            format!("{:e}", r.error),
            format!("{:e}", r.tolerance),
            r.passed().to_string(),
        ];
        text += &csv_line(names.into_iter().chain(figures));
    }
    text
}
