//! Directories and tags of TIFF and BigTIFF.

use crate::data::decode::raster::{Read, cut, damaged};
use std::collections::{BTreeMap, HashSet};

/// A file with its byte order and sort.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub bytes: &'a [u8],
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    big_tiff: bool,
}

/// Tags of a page.
pub(super) struct Directory<'a> {
    file: File<'a>,
    entries: BTreeMap<u16, Entry<'a>>,
}

struct Entry<'a> {
    sort: u16,
    /// None where it lies behind the end of the file.
    content: Option<&'a [u8]>,
}

/// More pages than anybody writes: a chain of directories past it is taken for damage.
const MOST_PAGES: usize = 1 << 16;

impl<'a> File<'a> {
    pub fn new(bytes: &'a [u8]) -> Read<Self> {
        let big_endian = bytes.starts_with(b"MM");
        let file = Self { bytes, big_endian, big_tiff: false };
        let big_tiff = file.number(2, 2)? == 43;
        if big_tiff && file.number(4, 2)? != 8 {
            return Err(damaged("a BigTIFF whose offsets have not 8 bytes"));
        }
        Ok(Self { big_tiff, ..file })
    }

    /// The unsigned integer of `size` bytes at `at`.
    fn number(&self, at: usize, size: usize) -> Read<u64> {
        let bytes = self.part(at as u64, size as u64)?;
        Ok(self.join(bytes))
    }

    fn join(&self, bytes: &[u8]) -> u64 {
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    }

    /// `size` bytes from `at` on.
    pub fn part(&self, at: u64, size: u64) -> Read<&'a [u8]> {
        let end = at.checked_add(size).and_then(|end| usize::try_from(end).ok()).ok_or_else(cut)?;
        self.bytes.get(at as usize..end).ok_or_else(cut)
    }

    /// The page to read, and how many full-size pages there are. Thumbnails and masks do not count, unless
    /// there is nothing else.
    ///
    /// Directories that lie over each other are damage: a file of a megabyte would have room for millions of
    /// entries.
    pub fn first_page(&self) -> Read<(Directory<'a>, u32)> {
        let mut at = if self.big_tiff { self.number(8, 8)? } else { self.number(4, 4)? };
        let (mut first, mut page, mut pages) = (None, None, 0);
        let (mut seen, mut left) = (HashSet::new(), self.bytes.len() as u64);
        while at != 0 && seen.len() < MOST_PAGES && seen.insert(at) {
            let (directory, next) = match self.directory(at, &mut left) {
                Ok(found) => found,
                // What comes behind a page that is read does not matter.
                Err(_) if page.is_some() => break,
                Err(fault) => return Err(fault),
            };
            at = next.unwrap_or(0);
            if directory.number(254).unwrap_or(None).unwrap_or(0) & 5 == 0 {
                pages += 1;
                page.get_or_insert(directory);
            } else {
                first.get_or_insert(directory);
            }
        }
        match page.or(first) {
            Some(page) => Ok((page, pages.max(1))),
            None => Err(damaged("the TIFF has no page")),
        }
    }

    /// The directory at `at`, and where the next is; 0 for none. Its bytes are taken from those that are `left`.
    fn directory(&self, at: u64, left: &mut u64) -> Read<(Directory<'a>, Read<u64>)> {
        let at = usize::try_from(at).map_err(|_| cut())?;
        // Size of: the count of entries, an entry, a count of values, a value or offset.
        let (head, entry, word) = if self.big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, head)?;
        let list = self.part((at + head) as u64, count.saturating_mul(entry))?;
        *left = left
            .checked_sub(list.len() as u64)
            .ok_or_else(|| damaged("the TIFF's directories lie over each other"))?;
        let mut entries = BTreeMap::new();
        for entry in list.chunks_exact(entry as usize) {
            let (tag, sort) = (self.join(&entry[..2]) as u16, self.join(&entry[2..4]) as u16);
            let count = self.join(&entry[4..4 + word]);
            let own = &entry[4 + word..];
            let size = count.saturating_mul(size_of(sort));
            let content = if size <= word as u64 {
                Some(&own[..size as usize])
            } else {
                // An error where it is needed only.
                self.part(self.join(own), size).ok()
            };
            entries.entry(tag).or_insert(Entry { sort, content });
        }
        Ok((Directory { file: *self, entries }, self.number(at + head + list.len(), word)))
    }
}

impl<'a> Directory<'a> {
    /// Whether the tag is there.
    pub fn has(&self, tag: u16) -> bool {
        self.entries.contains_key(&tag)
    }

    /// Values of a tag of integers, or of whole floating-point numbers.
    pub fn numbers(&self, tag: u16) -> Read<Option<Vec<u64>>> {
        Ok(self.values(tag)?.map(Iterator::collect))
    }

    /// The first value of a tag.
    pub fn number(&self, tag: u16) -> Read<Option<u64>> {
        Ok(self.values(tag)?.and_then(|mut values| values.next()))
    }

    fn values(&self, tag: u16) -> Read<Option<impl Iterator<Item = u64>>> {
        let Some(Entry { sort, content }) = self.entries.get(&tag) else { return Ok(None) };
        let (content, size) = (content.ok_or_else(cut)?, size_of(*sort) as usize);
        let values = content.chunks_exact(size).map(|bytes| {
            let bits = self.file.join(bytes);
            match sort {
                11 => f32::from_bits(bits as u32) as u64,
                12 => f64::from_bits(bits) as u64,
                _ => bits,
            }
        });
        match sort {
            1..=4 | 6 | 8 | 9 | 11..=13 | 16..=18 => Ok(Some(values)),
            _ => Err(damaged(format!("the tag {tag} is no number"))),
        }
    }

    /// Content of a tag as bytes.
    pub fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entries.get(&tag).and_then(|entry| entry.content)
    }
}

/// Bytes of a value of each sort.
fn size_of(sort: u16) -> u64 {
    match sort {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 1,
    }
}
