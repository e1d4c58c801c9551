//! Walking through Huffman-coded data: bits and codes, without making coefficients of them.

use crate::data::decode::raster::{Read, cut, damaged};

/// Bits looked up at once: most codes are shorter.
const QUICK: u32 = 9;

/// A Huffman table.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`QUICK`] bits: length of the code (0: it is longer) and its symbol.
    quick: Vec<(u8, u8)>,
    /// By length: the first code, and where its symbol stands.
    first: [(u32, usize); 17],
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Table {
    /// Of the number of codes of 1 to 16 bits, and their symbols.
    pub fn new(counts: [u8; 16], symbols: &[u8]) -> Read<Self> {
        let mut table =
            Self { quick: vec![(0, 0); 1 << QUICK], first: [(0, 0); 17], counts, symbols: symbols.to_vec() };
        let (mut code, mut at) = (0u32, 0);
        for length in 1..=16u32 {
            table.first[length as usize] = (code, at);
            for _ in 0..counts[length as usize - 1] {
                if code >= 1 << length {
                    return Err(damaged("a Huffman table has more codes than there are"));
                }
                if length <= QUICK {
                    let from = (code << (QUICK - length)) as usize;
                    table.quick[from..from + (1 << (QUICK - length))].fill((length as u8, symbols[at]));
                }
                code += 1;
                at += 1;
            }
            code <<= 1;
        }
        Ok(table)
    }
}

/// Bits of entropy-coded data up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    held: u64,
    /// Bits in `held`, and how many of them are made up, behind the end of the data.
    count: u32,
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, made_up: 0 }
    }

    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff), _) | (None, _) => {
                    self.made_up += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `n` bits, at most 16.
    #[inline]
    pub fn take(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        if self.count < n {
            self.fill();
        }
        let value = (self.held >> (64 - n)) as u32;
        self.held <<= n;
        self.count -= n;
        value
    }

    /// The symbol of the next code.
    #[inline]
    pub fn symbol(&mut self, table: &Table) -> Read<u32> {
        if self.count < 16 {
            self.fill();
        }
        let (length, symbol) = table.quick[(self.held >> (64 - QUICK)) as usize];
        if length > 0 {
            self.held <<= length;
            self.count -= u32::from(length);
            return Ok(u32::from(symbol));
        }
        let next = (self.held >> 48) as u32;
        for length in QUICK + 1..=16 {
            let (first, at) = table.first[length as usize];
            let code = next >> (16 - length);
            if code >= first && code - first < u32::from(table.counts[length as usize - 1]) {
                self.held <<= length;
                self.count -= length;
                return Ok(u32::from(table.symbols[at + (code - first) as usize]));
            }
        }
        self.check()?;
        // Made-up bits may be in no code of the table.
        Err(if self.made_up > 0 { cut() } else { damaged("the JPEG data has a code that its table lacks") })
    }

    /// Whether all bits taken so far were in the data.
    #[inline]
    pub fn check(&self) -> Read<()> {
        if self.made_up > self.count { Err(cut()) } else { Ok(()) }
    }

    /// Drops what is left of the byte, and takes the restart marker of this number (0 to 7).
    pub fn restart(&mut self, number: u8) -> Read<()> {
        self.check()?;
        // Whole bytes that are held and not used would lie in front of the marker.
        if (self.count - self.made_up) / 8 > 0 {
            return Err(damaged("the JPEG data has more than its restart interval holds"));
        }
        while self.bytes.get(self.at + 1) == Some(&0xff) && self.bytes.get(self.at) == Some(&0xff) {
            self.at += 1; // fill bytes
        }
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(0xff), Some(&marker)) if marker == 0xd0 + number => {}
            (Some(0xff), Some(0xd0..=0xd7)) => return Err(damaged("a part of the JPEG data is missing")),
            _ => return Err(cut()),
        }
        *self = Self::new(self.bytes, self.at + 2);
        Ok(())
    }

    /// Where the data that was not used begins, at the latest where the next marker is.
    pub fn position(&self) -> usize {
        self.at
    }
}
