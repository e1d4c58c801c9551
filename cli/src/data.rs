//! `softpatch data`.

use crate::common::failure::{Failure, Outcome};
use crate::common::output::{plain_lines, plain_path, print, print_json};
use crate::common::set::{FolderArgs, TakeArgs};
use rayon::prelude::*;
use serde::Serialize;
use softpatch::data::{Category, Dataset, DecodeOptions, Layout, LeftOut, Picture, inspect_file};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Show what a folder of images is taken for: layout, images by role, masks, and what is left out.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of images only headers are read; labels are decoded where they decide whether an image is \
             good. With --json, one object: layout (name), evidence, categories, and left_out, a list of \
             path, reason (outside, not_taken, unreadable, duplicate, train_defect, named_defect, validation, \
             other_sensor, lone_mask, mask, thumbnail, system_folder, hidden, not_an_image) and, of a \
             duplicate, same_as. Each of categories has name, root, train (number of images to fit on), good \
             (good test images), defects (by kind: images, masks), fit and eval (null, or why there is \
             nothing to fit on or to test on; bench takes both), looked_for (where the first missing mask \
             was looked for), pictures (smallest and largest [width, height], kinds and notes with their \
             numbers of images, bad: what is wrong with each unusable file), and notes. Exit status 1 where, \
             with --strict, something is left out that should not be."
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
    pictures: Pictures,
    notes: Vec<&'a String>,
}

/// What the headers of a category's images say.
#[derive(Debug, Default, Serialize)]
struct Pictures {
    smallest: [u32; 2],
    largest: [u32; 2],
    kinds: BTreeMap<String, usize>,
    notes: BTreeMap<String, usize>,
    bad: Vec<String>,
}

impl Pictures {
    fn of(category: &Category) -> Self {
        let paths: Vec<&PathBuf> =
            category.train.iter().chain(category.test.items.iter().map(|item| &item.path)).collect();
        let options = DecodeOptions::default();
        let read: Vec<softpatch::Result<Picture>> =
            paths.par_iter().map(|path| inspect_file(path, &options)).collect();
        let mut all = Self { smallest: [u32::MAX; 2], ..Self::default() };
        for picture in read {
            match picture {
                Ok(picture) => all.add(&picture),
                Err(error) => all.bad.push(error.to_string()),
            }
        }
        if all.kinds.is_empty() {
            all.smallest = [0; 2];
        }
        all
    }

    fn add(&mut self, picture: &Picture) {
        let size = [picture.width, picture.height];
        for (i, side) in size.into_iter().enumerate() {
            self.smallest[i] = self.smallest[i].min(side);
            self.largest[i] = self.largest[i].max(side);
        }
        let colour = if picture.channels < 3 { "grey or palette" } else { "colour" };
        let kind = format!("{}, {colour}, {} bit", picture.kind, picture.tagged_bits.unwrap_or(picture.bits));
        *self.kinds.entry(kind).or_default() += 1;
        picture.notes.iter().for_each(|note| *self.notes.entry(note.to_string()).or_default() += 1);
    }

    /// `900x900; JPEG, colour, 8 bit (20), PNG, colour, 8 bit (3)`.
    fn text(&self) -> String {
        let [[w, h], [most_w, most_h]] = [self.smallest, self.largest];
        let size = if self.smallest == self.largest {
            format!("{w}x{h}")
        } else {
            format!("{w} to {most_w} wide, {h} to {most_h} high")
        };
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, n)| format!("{kind} ({n})")).collect();
        format!("{size}; {}", kinds.join("; "))
    }
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
            eval: category.require_both().err().map(|e| e.to_string()),
            looked_for: &category.test.looked_for,
            pictures: Pictures::of(category),
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
        print(&plain_lines(&text(args, set.layout, &set.evidence, &parts, &set)))?;
    }
    if args.folder.strict && set.left_out.unexpected().next().is_some() {
        return Err(Failure::Reported);
    }
    Ok(())
}

fn text(args: &Args, layout: Layout, evidence: &str, parts: &[Part<'_>], set: &Dataset) -> String {
    let mut text =
        format!("{}\n  layout      {} ({layout}): {evidence}\n", plain_path(&args.dir), layout.title());
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
        let both = part.fit.is_none() && part.eval.is_none();
        line("  bench", if both { "both" } else { "nothing: it takes what fit and eval take" });
        if !part.looked_for.is_empty() {
            line("  masks", &format!("looked for {}", part.looked_for.join(", ")));
        }
        if !part.pictures.kinds.is_empty() {
            line("  images", &part.pictures.text());
        }
        part.pictures.notes.iter().for_each(|(note, n)| line("  note", &format!("{n} images: {note}")));
        part.pictures.bad.iter().for_each(|bad| line("  bad", bad));
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
