//! `softpatch data`.

use crate::common::failure::{Failure, Outcome};
use crate::common::output::{print, print_json};
use crate::common::set::{FolderArgs, TakeArgs};
use serde::Serialize;
use softpatch::data::{Category, Dataset, Layout, LeftOut};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Show what a folder of images is taken for: layout, images by role, masks, and what is left out.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is decoded, but for labels that decide whether an image is good. With --json, one \
         object: layout (name), evidence, categories, and left_out, a list of path, reason (outside, \
         not_taken, unreadable, duplicate, train_defect, validation, other_sensor, lone_mask, mask, thumbnail, \
         system_folder, hidden, not_an_image) and, of a duplicate, same_as. Each of categories has name, root, train (number of images \
         to fit on), good (good test images), defects (by kind: images, masks), fit and eval (null, or why \
         there is nothing to fit on or to test on; bench takes both), looked_for (where the first missing mask was looked \
         for), and notes. With --strict, exit status 1 where something is left out that should not be."
)]
pub struct Args {
    /// Folder of images, or of a data set.
    dir: PathBuf,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    take: TakeArgs,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    layout: &'static str,
    evidence: &'a str,
    categories: Vec<Part<'a>>,
    left_out: &'a LeftOut,
}

/// One category.
#[derive(Debug, Serialize)]
struct Part<'a> {
    name: &'a str,
    root: String,
    train: usize,
    good: usize,
    defects: BTreeMap<&'a str, Kind>,
    fit: Option<String>,
    eval: Option<String>,
    looked_for: &'a [String],
    notes: Vec<&'a String>,
}

/// One kind of defect.
#[derive(Debug, Default, Serialize)]
struct Kind {
    images: usize,
    masks: usize,
}

impl<'a> Part<'a> {
    fn of(category: &'a Category) -> Self {
        let mut defects: BTreeMap<&str, Kind> = BTreeMap::new();
        for item in &category.test.items {
            let Some(defect) = &item.defect else { continue };
            let kind = defects.entry(defect).or_default();
            kind.images += 1;
            kind.masks += usize::from(item.mask.is_some());
        }
        Self {
            name: &category.name,
            root: category.root.display().to_string(),
            train: category.train.len(),
            good: category.test.items.iter().filter(|item| !item.is_defect()).count(),
            defects,
            fit: category.require_train().err().map(|e| e.to_string()),
            eval: category.require_test().err().map(|e| e.to_string()),
            looked_for: &category.test.looked_for,
            notes: category.notes.iter().chain(&category.test.notes).collect(),
        }
    }
}

pub fn run(args: &Args) -> Outcome {
    let set = Dataset::open_with(&args.dir, &args.folder.options(&args.take))?;
    let parts: Vec<Part<'_>> = set.categories.iter().map(Part::of).collect();
    if args.json {
        let (layout, evidence) = (set.layout.name(), set.evidence.as_str());
        print_json(&Document { layout, evidence, categories: parts, left_out: &set.left_out })?;
    } else {
        print(&text(args, set.layout, &set.evidence, &parts, &set))?;
    }
    if args.folder.strict && set.left_out.unexpected().next().is_some() {
        return Err(Failure::Reported);
    }
    Ok(())
}

fn text(args: &Args, layout: Layout, evidence: &str, parts: &[Part<'_>], set: &Dataset) -> String {
    let mut text =
        format!("{}\n  layout      {} ({layout}): {evidence}\n", args.dir.display(), layout.title());
    for part in parts {
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "  {key:<12}{value}");
        };
        line("category", part.name);
        line(
            "  fit",
            &part.fit.as_ref().map_or(format!("{} images", part.train), |why| format!("nothing: {why}")),
        );
        match &part.eval {
            Some(why) => line("  eval", &format!("nothing: {why}")),
            None => line("  eval", &tested(part)),
        }
        let bench = if part.fit.is_none() && part.eval.is_none() { "both" } else { "nothing: it takes both" };
        line("  bench", bench);
        if !part.looked_for.is_empty() {
            line("  masks", &format!("looked for {}", part.looked_for.join(", ")));
        }
        part.notes.iter().for_each(|note| line("  note", note));
    }
    for line in set.left_out.to_string().lines() {
        let _ = writeln!(text, "  left out    {line}");
    }
    text
}

/// Numbers of test images: `20 good; defects: broken 20 (20 masks), contamination 21 (20 masks)`.
fn tested(part: &Part<'_>) -> String {
    let kinds = part.defects.iter().map(|(name, kind)| {
        let masks = match kind.masks {
            0 => "no mask".to_owned(),
            n if n == kind.images => "all masked".to_owned(),
            n => format!("{n} masked"),
        };
        format!("{name} {} ({masks})", kind.images)
    });
    let kinds: Vec<String> = kinds.collect();
    let defects =
        if kinds.is_empty() { "no defects".to_owned() } else { format!("defects: {}", kinds.join(", ")) };
    format!("{} good; {defects}", part.good)
}
