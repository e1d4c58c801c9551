//! The file of regions: a line each.

use super::begun::Begun;
use super::journal::text_of;
use crate::common::output::csv_line;
use softpatch::detector::Region;
use softpatch::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The header.
const REGIONS: &str = "path,region,x,y,width,height,area,peak,peak_x,peak_y\n";

/// Values of a line.
const COLUMNS: usize = 10;

/// The header, and a line for each region of each image.
pub fn regions_csv<'a>(images: impl IntoIterator<Item = (&'a str, &'a [Region])>) -> String {
    let lines = images.into_iter().flat_map(|(path, regions)| region_lines(path, regions));
    std::iter::once(REGIONS.to_owned()).chain(lines).collect()
}

fn region_lines(path: &str, regions: &[Region]) -> impl Iterator<Item = String> {
    regions.iter().enumerate().map(move |(i, region)| {
        let [x, y, width, height] = region.bbox;
        let peak = region.peak.to_string();
        let [number, x, y, width, height, area, peak_x, peak_y] =
            [i as u32, x, y, width, height, region.area, region.peak_at[0], region.peak_at[1]]
                .map(|v| v.to_string());
        csv_line([path, &number, &x, &y, &width, &height, &area, &peak, &peak_x, &peak_y])
    })
}

/// Makes a file of regions where there is none, with its header. In one of an earlier watch, cuts off what is
/// of images that were `begun` and are not done.
pub fn go_on(file: &Path, begun: &Begun) -> Result<()> {
    let fail = |e| Error::io(file, "writing", e);
    let mut open = OpenOptions::new();
    let mut open = open.read(true).write(true).create(true).truncate(false).open(file).map_err(fail)?;
    let length = open.metadata().map_err(fail)?.len();
    let mut head = Vec::new();
    (&mut open).take(REGIONS.len() as u64).read_to_end(&mut head).map_err(fail)?;
    if !REGIONS.as_bytes().starts_with(&head) {
        return Err(no_regions(file));
    }
    if head.len() < REGIONS.len() {
        open.set_len(0).and_then(|()| open.seek(SeekFrom::Start(0))).map_err(fail)?;
        open.write_all(REGIONS.as_bytes()).and_then(|()| open.sync_data()).map_err(fail)?;
        softpatch::files::keep([file])?;
        return Ok(());
    }
    let from = begun.regions_from(&text_of(file)).filter(|from| (head.len() as u64..=length).contains(from));
    let whole = last_line_end(&mut open, length).map_err(fail)?;
    let Some(from) = from else {
        if whole < length {
            open.set_len(whole).map_err(fail)?;
        }
        return Ok(());
    };
    let mut tail = Vec::new();
    open.seek(SeekFrom::Start(from)).and_then(|_| open.read_to_end(&mut tail)).map_err(fail)?;
    let kept = of_others(&tail, from, begun);
    if kept.is_empty() {
        open.set_len(from).and_then(|()| open.sync_data()).map_err(fail)?;
    } else if kept != tail {
        // Lines of images that are done must not be gone for a moment, either.
        let mut all = vec![0; from as usize];
        open.seek(SeekFrom::Start(0)).and_then(|_| open.read_exact(&mut all)).map_err(fail)?;
        all.extend(&kept);
        softpatch::files::write_whole(file, &all)?;
        softpatch::files::keep([file])?;
    }
    Ok(())
}

/// The lines that are whole and of no image that was begun.
fn of_others(tail: &[u8], from: u64, begun: &Begun) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(tail);
    let mut records: Vec<(usize, bool)> = Vec::new();
    for record in reader.byte_records() {
        let Ok(record) = record else { break };
        let at = record.position().map_or(0, |position| position.byte() as usize);
        let path = record.get(0).map(String::from_utf8_lossy).unwrap_or_default();
        records.push((at, record.len() == COLUMNS && !begun.has_line(&path, from + at as u64)));
    }
    let ends = records.iter().skip(1).map(|(at, _)| *at).chain([tail.len()]);
    let kept = records.iter().zip(ends).filter(|((_, keep), _)| *keep);
    kept.flat_map(|((start, _), end)| &tail[*start..end]).copied().collect()
}

/// Where the last whole line ends.
fn last_line_end(file: &mut File, length: u64) -> std::io::Result<u64> {
    const PIECE: u64 = 1 << 16;
    let mut end = length;
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        piece.resize((end - start) as usize, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// From where on the file has the lines of images that are added now.
pub fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |meta| meta.len()).max(REGIONS.len() as u64)
}

/// Adds the lines of images, and waits until the disk has them.
pub fn append(file: &Path, images: &[(&str, &[Region])]) -> Result<()> {
    let fail = |e| Error::io(file, "writing", e);
    let mut open = OpenOptions::new().create(true).read(true).append(true).open(file).map_err(fail)?;
    let mut head = Vec::new();
    (&mut open).take(REGIONS.len() as u64).read_to_end(&mut head).map_err(fail)?;
    let text: String = if head.is_empty() {
        // Somebody took it away, or emptied it.
        regions_csv(images.iter().copied())
    } else if head == REGIONS.as_bytes() {
        images.iter().flat_map(|(path, regions)| region_lines(path, regions)).collect()
    } else {
        return Err(no_regions(file));
    };
    open.write_all(text.as_bytes()).and_then(|()| open.sync_data()).map_err(fail)
}

fn no_regions(file: &Path) -> Error {
    Error::InvalidOption(format!(
        "{} is there and no file of regions: name another file for --regions, or move this one away",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(area: u32) -> Region {
        Region {
            bbox: [1, 2, 3, 4],
            area,
            peak: 0.5,
            peak_at: [2, 3],
            contour: vec![[1, 2], [4, 2], [4, 6], [1, 6]],
        }
    }

    #[test]
    fn regions_are_lines() {
        let (two, none) = ([region(12), region(1)], []);
        let want = format!("{REGIONS}\"a,b.png\",0,1,2,3,4,12,0.5,2,3\n\"a,b.png\",1,1,2,3,4,1,0.5,2,3\n");
        assert_eq!(regions_csv([("c.png", &none[..]), ("a,b.png", &two[..])]), want);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("regions.csv");
        go_on(&file, &Begun::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), REGIONS);
        append(&file, &[("c.png", &none), ("a,b.png", &two)]).unwrap();
        assert_eq!(
            (std::fs::read_to_string(&file).unwrap(), length(&file)),
            (want.clone(), want.len() as u64)
        );
        // Somebody takes it away, or empties it.
        for gone in [true, false] {
            if gone { std::fs::remove_file(&file) } else { std::fs::write(&file, "") }.unwrap();
            assert_eq!(length(&file), REGIONS.len() as u64);
            append(&file, &[("a,b.png", &two)]).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), want);
        }
        // A line that a stop cut short, and one that it kept from being more than begun.
        for torn in ["", "a.png,0,1", "a.png,0,1,2,3,4,12,0.5,2,3\nb.png,1"] {
            std::fs::write(&file, want.clone() + torn).unwrap();
            let whole = torn.rfind('\n').map_or(0, |at| at + 1);
            go_on(&file, &Begun::default()).unwrap();
            assert_eq!(length(&file), (want.len() + whole) as u64);
        }
        std::fs::write(&file, &REGIONS[..5]).unwrap();
        go_on(&file, &Begun::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), REGIONS);
        std::fs::write(&file, "something else\n").unwrap();
        for refused in [go_on(&file, &Begun::default()), append(&file, &[("a,b.png", &two)])] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("no file of regions"), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "something else\n");
    }

    #[test]
    fn lines_of_images_that_were_begun_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("regions.csv");
        let (one, two) = ([region(1)], [region(2), region(3)]);
        let before = regions_csv([("b.png", &one[..])]);
        let begun =
            Begun::of([("b.png".to_owned(), "in/b.png", &[][..], Some((&*file, before.len() as u64)))]);
        for (tail, left) in [("", 0), ("in/b.png,0,1,2,3,4,1,0.5,2,3\nin/b.p", 0), ("in/b.png,0", 0)] {
            std::fs::write(&file, before.clone() + tail).unwrap();
            go_on(&file, &begun).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), before.clone() + &tail[..left], "{tail}");
        }
        // Of two images of a batch, one was done.
        std::fs::write(&file, &before).unwrap();
        append(&file, &[("in/a.png", &two), ("in/b.png", &one)]).unwrap();
        go_on(&file, &begun).unwrap();
        let want = regions_csv([("b.png", &one[..]), ("in/a.png", &two[..])]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), want);
        // Another file, and one that somebody emptied, are none of its business.
        let other = folder.path().join("other.csv");
        std::fs::write(&other, &want).unwrap();
        go_on(&other, &begun).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), want);
    }
}
