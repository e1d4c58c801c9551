//! Figures and example pictures of a scored test set.

use super::cell::{Cell, CellImage, CellSettings};
use super::run::{Bench, Task};
use crate::data::{FileSource, ImageSource, TestItem, decode_file};
use crate::detector::{Framing, Progress};
use crate::eval::{Item, Mask, MetricMaps, MetricSize, Seen, evaluate};
use crate::methods::Scored;
use crate::report::{overlay, write_png};
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

impl Bench<'_> {
    /// Figures and examples of a scored test set.
    pub(super) fn measure(
        &self,
        task: &Task,
        settings: &CellSettings,
        scored: &Scored,
        mut notes: Vec<String>,
        (masks, framing, grid): (&HashMap<PathBuf, Mask>, Framing, [u32; 2]),
        (file, progress): (&Path, &dyn Progress),
    ) -> Result<Cell> {
        let test = &task.split.test;
        let sizes =
            FileSource::new(test.iter().map(|i| i.path.clone()).collect(), self.options.decode.clone());
        let mut metric = MetricMaps::new(self.device, grid, framing, self.options.metric_size(), None)?;
        let map = |(i, (_, patches)): (usize, &(f32, Vec<f32>))| match progress.cancelled() {
            true => Err(Error::Cancelled),
            false => metric.run(patches, sizes.size(i)?),
        };
        let maps = scored.iter().enumerate().map(map).collect::<Result<Vec<_>>>()?;
        let items: Vec<Item<'_>> = (test.iter().zip(scored).zip(&maps))
            .map(|((item, (score, _)), map)| {
                let mask = item.mask.as_ref().and_then(|m| masks.get(m));
                Item {
                    score: *score,
                    is_defect: item.is_defect(),
                    map: Some(map.with(mask)),
                    seen: mask.map_or(Seen::Wholly, |m| m.seen),
                }
            })
            .collect();
        let report = evaluate(&items)?;
        if task.split.repeats_noise() {
            notes.push("too few defects: some are put in again after a small random affine move".to_owned());
        }
        let examples =
            if task.seed == 0 { self.examples(test, scored, (framing, grid), file)? } else { Vec::new() };
        let images = (test.iter().zip(scored))
            .map(|(item, (score, _))| CellImage {
                path: item.path.clone(),
                defect: item.defect.clone(),
                score: *score,
            })
            .collect();
        Ok(Cell {
            settings: settings.clone(),
            train: task.split.train.len(),
            noise_images: task.split.train.iter().filter(|e| e.is_noise).count(),
            report,
            notes,
            images,
            examples,
            seconds: 0.0,
        })
    }

    /// Overlays of the first defect of the first two kinds, the map drawn from its median to its highest
    /// value.
    fn examples(
        &self,
        test: &[TestItem],
        scored: &Scored,
        (framing, grid): (Framing, [u32; 2]),
        file: &Path,
    ) -> Result<Vec<String>> {
        let mut kinds = HashSet::new();
        let first = |(_, i): &(usize, &TestItem)| i.defect.as_ref().is_some_and(|d| kinds.insert(d.clone()));
        let chosen: Vec<(usize, &TestItem)> = test.iter().enumerate().filter(first).take(2).collect();
        let mut maps = MetricMaps::new(self.device, grid, framing, MetricSize::Source, None)?;
        let mut names = Vec::new();
        for (n, (i, item)) in chosen.into_iter().enumerate() {
            let view = decode_file(&item.path, &self.options.decode)?;
            let map = maps.run(&scored[i].1, [view.width, view.height])?.map;
            let mut sorted = map.clone();
            sorted.sort_by(f32::total_cmp);
            let range = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
            let picture = overlay(&view, &map, range, None)?;
            let name = format!("{}-{n}.png", file.file_stem().unwrap_or_default().to_string_lossy());
            write_png(&file.with_file_name(&name), &picture)?;
            names.push(name);
        }
        Ok(names)
    }
}
