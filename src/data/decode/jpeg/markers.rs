//! Marker segments of a JPEG: what kind it is, and whether all is there.

use super::frame::{Component, Frame, Scan};
use super::huffman::Table;
use super::scan::{self, History, Tables};
use super::tables::standard_tables;
use crate::data::decode::raster::{Read, cut, damaged, unsupported};

/// What the segments say.
pub(super) struct Markers {
    pub frame: Frame,
    /// Transform of an Adobe segment.
    pub adobe: Option<u8>,
    pub jfif: bool,
    /// Components of every scan.
    pub scans: Vec<usize>,
    /// Content of the EXIF segment.
    pub exif: Option<Vec<u8>>,
    /// Where the first scan's segment begins, if no Huffman table came before it.
    pub lacks_tables: Option<usize>,
    /// Where the end-of-image marker is, or else the data ends.
    pub end: usize,
    pub has_end: bool,
    /// Pictures that a multi-picture segment lists.
    pub pictures: u32,
}

/// Reads the segments, up to the first scan, or with `all` to the end of the image, counting what scans hold.
pub(super) fn read(bytes: &[u8], all: bool) -> Read<Markers> {
    let mut tables = Tables { dc: [None, None, None, None], ac: [None, None, None, None], restart: 0 };
    let mut marks = Markers {
        frame: Frame { process: 0xff, precision: 0, width: 0, height: 0, components: Vec::new() },
        adobe: None,
        jfif: false,
        scans: Vec::new(),
        exif: None,
        lacks_tables: None,
        end: bytes.len(),
        has_end: false,
        pictures: 1,
    };
    let mut history = History::new(&marks.frame);
    // Bits of every coefficient that are still to come, by component.
    let mut missing: Vec<[u8; 64]> = Vec::new();
    let mut has_tables = false;
    let mut at = 2;
    while let Some((marker, start)) = next_marker(bytes, at) {
        if marker == 0xd9 {
            (marks.end, marks.has_end) = (start, true);
            break;
        }
        let content = segment(bytes, start).ok_or_else(cut)?;
        at = start + 4 + content.len();
        match marker {
            0xc4 => {
                has_tables = true;
                huffman_tables(content, &mut tables)?;
            }
            0xc0..=0xcf if marker != 0xc8 && marker != 0xcc => {
                if marks.frame.process != 0xff {
                    return Err(unsupported("a hierarchical JPEG"));
                }
                marks.frame = frame(marker - 0xc0, content)?;
                history = History::new(&marks.frame);
                missing = vec![[0xff; 64]; marks.frame.components.len()];
            }
            0xf7 => return Err(unsupported("a JPEG-LS file")),
            0xcc => return Err(unsupported("a JPEG with arithmetic coding")),
            0xde => return Err(unsupported("a hierarchical JPEG")),
            0xdd => {
                let [a, b, ..] = *content else { return Err(damaged("a restart interval is too short")) };
                tables.restart = usize::from(u16::from_be_bytes([a, b]));
            }
            0xe0 if content.starts_with(b"JFIF\0") => marks.jfif = true,
            0xe1 if content.starts_with(b"Exif\0\0") && marks.exif.is_none() => {
                marks.exif = Some(content[6..].to_vec());
            }
            0xe2 if content.starts_with(b"MPF\0") => marks.pictures = pictures(&content[4..]).unwrap_or(1),
            0xee if content.starts_with(b"Adobe") && content.len() >= 12 => marks.adobe = Some(content[11]),
            0xda => {
                if marks.frame.process == 0xff {
                    return Err(damaged("a scan comes before the frame's header"));
                }
                if !has_tables {
                    marks.lacks_tables = marks.lacks_tables.or(Some(start));
                    huffman_tables(&standard_tables()[4..], &mut tables)?;
                }
                let scan = scan_header(content, &marks.frame)?;
                marks.scans.push(scan.parts.len());
                if !all {
                    return Ok(marks);
                }
                for &(c, ..) in &scan.parts {
                    let low = content[content.len() - 1] & 15;
                    let (from, to) = (scan.from as usize, scan.to as usize);
                    missing[c][from..=to].fill(low);
                }
                at = scan::walk(bytes, at, &marks.frame, &scan, &tables, &mut history)?;
            }
            _ => {}
        }
    }
    if marks.frame.process == 0xff || marks.scans.is_empty() {
        return Err(cut());
    }
    let whole = |bits: &[u8; 64]| match marks.frame.process {
        2 => bits.iter().all(|&b| b == 0),
        _ => bits[0] != 0xff,
    };
    if missing.iter().all(whole) { Ok(marks) } else { Err(cut()) }
}

/// The next marker that has something to say from `at` on, and where it begins.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)?;
        match *bytes.get(at + 1)? {
            0xff => at += 1, // a fill byte
            // Stuffed bytes, markers without content, and such as begin what is embedded.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            marker => return Some((marker, at)),
        }
    }
}

/// Content of the segment whose marker begins at `start`.
fn segment(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let length = bytes.get(start + 2..start + 4)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    bytes.get(start + 4..start + 2 + length)
}

fn huffman_tables(mut content: &[u8], tables: &mut Tables) -> Read<()> {
    while let Some((&head, rest)) = content.split_first() {
        let short = || damaged("a Huffman table is too short");
        let counts: [u8; 16] = rest.get(..16).ok_or_else(short)?.try_into().map_err(|_| short())?;
        let symbols: usize = counts.iter().map(|&c| usize::from(c)).sum();
        let table = Table::new(counts, rest.get(16..16 + symbols).ok_or_else(short)?)?;
        let slots = if head >> 4 == 0 { &mut tables.dc } else { &mut tables.ac };
        *slots.get_mut(usize::from(head & 15)).ok_or_else(|| damaged("there is no such Huffman table"))? =
            Some(table);
        content = &rest[16 + symbols..];
    }
    Ok(())
}

fn frame(process: u8, content: &[u8]) -> Read<Frame> {
    let [precision, h1, h0, w1, w0, count, parts @ ..] = content else {
        return Err(damaged("the frame's header is too short"));
    };
    match process {
        0..=3 => {}
        9..=11 | 13..=15 => return Err(unsupported("a JPEG with arithmetic coding")),
        _ => return Err(unsupported("a hierarchical JPEG")),
    }
    if process != 3 && *precision != 8 {
        return Err(unsupported(format!("a JPEG of {precision} bit")));
    }
    let (parts, rest) = parts.as_chunks::<3>();
    if parts.len() != usize::from(*count) || !rest.is_empty() || parts.is_empty() {
        return Err(damaged("the frame's header does not fit its components"));
    }
    let components: Vec<_> = parts
        .iter()
        .map(|&[id, factors, _]| Component { id, h: usize::from(factors >> 4), v: usize::from(factors & 15) })
        .collect();
    if components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
        return Err(damaged("a sampling factor is none of 1 to 4"));
    }
    let height = usize::from(u16::from_be_bytes([*h1, *h0]));
    if height == 0 {
        return Err(unsupported("a JPEG that tells its height behind its pixels"));
    }
    let width = usize::from(u16::from_be_bytes([*w1, *w0]));
    Ok(Frame { process, precision: *precision, width, height, components })
}

fn scan_header(content: &[u8], frame: &Frame) -> Read<Scan> {
    let bad = || damaged("a scan's header does not fit the frame's");
    let (&count, rest) = content.split_first().ok_or_else(bad)?;
    let count = usize::from(count);
    if count == 0 || count > 4 || rest.len() != count * 2 + 3 {
        return Err(bad());
    }
    let mut parts: Vec<(usize, usize, usize)> = Vec::new();
    for pair in rest[..count * 2].chunks_exact(2) {
        let component = frame.components.iter().position(|c| c.id == pair[0]).ok_or_else(bad)?;
        let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
        if dc > 3 || ac > 3 || parts.iter().any(|&(c, ..)| c == component) {
            return Err(bad());
        }
        parts.push((component, dc, ac));
    }
    let [from, to, bits] = [rest[count * 2], rest[count * 2 + 1], rest[count * 2 + 2]];
    if !frame.progressive() {
        // What else stands here says nothing for a sequential file.
        return Ok(Scan { parts, from: 0, to: 63, high: 0 });
    }
    if from > to || to > 63 || from == 0 && to != 0 || from > 0 && count > 1 {
        return Err(bad());
    }
    Ok(Scan { parts, from: from.into(), to: to.into(), high: (bits >> 4).into() })
}

/// Number of pictures in the index of a multi-picture file: tag 0xb001 of a small TIFF directory.
fn pictures(tiff: &[u8]) -> Option<u32> {
    let big = tiff.starts_with(b"MM");
    let number = |at: usize, size: usize| {
        let bytes = tiff.get(at..at + size)?.iter();
        let join = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        Some(if big { bytes.fold(0, join) } else { bytes.rev().fold(0, join) })
    };
    let directory = number(4, 4)? as usize;
    (0..number(directory, 2)? as usize)
        .map(|i| directory.checked_add(2 + i * 12))
        .find_map(|entry| (number(entry?, 2)? == 0xb001).then(|| number(entry? + 8, 4))?)
}
