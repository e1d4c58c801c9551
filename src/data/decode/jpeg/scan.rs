//! Whether a scan of a JPEG holds all that it has to.
//!
//! Decoders fill what is missing with grey and say nothing, whatever marker stands at the end. So the codes
//! of a scan are walked through and counted, without making pixels of them.

use super::frame::{Frame, Scan};
use super::huffman::{Bits, Table};
use crate::data::decode::raster::{Read, damaged};

/// Which coefficients of a block are other than zero, by component and block; progressive scans that refine
/// depend on it.
pub(super) struct History(Vec<Vec<u64>>);

impl History {
    pub fn new(frame: &Frame) -> Self {
        let blocks = |c: usize| if frame.progressive() { frame.padded(c).0 * frame.padded(c).1 } else { 0 };
        Self((0..frame.components.len()).map(|c| vec![0; blocks(c)]).collect())
    }
}

/// Tables as the segments up to here define them.
pub(super) struct Tables {
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// Units between restart markers; 0 for none.
    pub restart: usize,
}

/// Walks through a scan whose data begins at `at`; where it ends.
pub(super) fn walk(
    bytes: &[u8],
    at: usize,
    frame: &Frame,
    scan: &Scan,
    tables: &Tables,
    history: &mut History,
) -> Read<usize> {
    let mut walk = Walk { bits: Bits::new(bytes, at), frame, scan, tables, run: 0 };
    let (columns, rows) = match scan.parts.as_slice() {
        [(c, ..)] => frame.blocks(*c),
        _ => frame.units(),
    };
    let mut since = 0;
    let mut restarts = 0u8;
    for unit in 0..columns * rows {
        if tables.restart > 0 && since == tables.restart {
            walk.bits.restart(restarts % 8)?;
            restarts = restarts.wrapping_add(1);
            since = 0;
            walk.run = 0;
        }
        since += 1;
        let (x, y) = (unit % columns, unit / columns);
        match scan.parts.as_slice() {
            [part] => walk.block(*part, x, y, history)?,
            parts => {
                for &part in parts {
                    let (h, v) = (frame.components[part.0].h, frame.components[part.0].v);
                    for i in 0..h * v {
                        walk.block(part, x * h + i % h, y * v + i / h, history)?;
                    }
                }
            }
        }
        walk.bits.check()?;
    }
    Ok(walk.bits.position())
}

struct Walk<'a> {
    bits: Bits<'a>,
    frame: &'a Frame,
    scan: &'a Scan,
    tables: &'a Tables,
    /// Blocks still to come without new coefficients (progressive).
    run: u32,
}

impl Walk<'_> {
    fn block(
        &mut self,
        (component, dc, ac): (usize, usize, usize),
        x: usize,
        y: usize,
        history: &mut History,
    ) -> Read<()> {
        let (dc, ac) = (self.tables.dc[dc].as_ref(), self.tables.ac[ac].as_ref());
        if !self.frame.progressive() {
            self.difference(dc.ok_or_else(no_table)?)?;
            return if self.frame.lossless() { Ok(()) } else { self.sequential(ac.ok_or_else(no_table)?) };
        }
        if self.scan.from == 0 {
            if self.scan.high > 0 {
                self.bits.take(1);
                return Ok(());
            }
            return self.difference(dc.ok_or_else(no_table)?);
        }
        let ac = ac.ok_or_else(no_table)?;
        let block = &mut history.0[component][y * self.frame.padded(component).0 + x];
        if self.scan.high == 0 { self.first(ac, block) } else { self.refine(ac, block) }
    }

    /// A difference of DC values, or of samples of a lossless file.
    fn difference(&mut self, table: &Table) -> Read<()> {
        match self.bits.symbol(table)? {
            // 32 768 has no bits that follow.
            16 if self.frame.lossless() => Ok(()),
            size @ 0..=15 => {
                self.bits.take(size);
                Ok(())
            }
            _ => Err(broken()),
        }
    }

    fn sequential(&mut self, table: &Table) -> Read<()> {
        let mut k = 1;
        while k < 64 {
            let (zeros, size) = self.run_and_size(table)?;
            if size == 0 && zeros < 15 {
                return Ok(());
            }
            k += zeros + 1;
            self.bits.take(size);
        }
        if k == 64 { Ok(()) } else { Err(broken()) }
    }

    fn first(&mut self, table: &Table, block: &mut u64) -> Read<()> {
        if self.run > 0 {
            self.run -= 1;
            return Ok(());
        }
        let mut k = self.scan.from;
        while k <= self.scan.to {
            let (zeros, size) = self.run_and_size(table)?;
            if size == 0 && zeros < 15 {
                self.run = (1 << zeros) + self.bits.take(zeros) - 1;
                return Ok(());
            }
            k += zeros;
            if k > self.scan.to {
                return Err(broken());
            }
            if size > 0 {
                self.bits.take(size);
                *block |= 1 << k;
            }
            k += 1;
        }
        Ok(())
    }

    fn refine(&mut self, table: &Table, block: &mut u64) -> Read<()> {
        let mut k = self.scan.from;
        if self.run == 0 {
            while k <= self.scan.to {
                let (mut zeros, size) = self.run_and_size(table)?;
                if size == 0 && zeros < 15 {
                    self.run = (1 << zeros) + self.bits.take(zeros);
                    break;
                }
                self.bits.take(size.min(1));
                // Over so many that are zero; those that are not take a bit each.
                while k <= self.scan.to {
                    if *block >> k & 1 == 1 {
                        self.bits.take(1);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
                if size > 0 {
                    if k > self.scan.to {
                        return Err(broken());
                    }
                    *block |= 1 << k;
                }
                k += 1;
            }
        }
        if self.run > 0 {
            while k <= self.scan.to {
                self.bits.take((*block >> k & 1) as u32);
                k += 1;
            }
            self.run -= 1;
        }
        Ok(())
    }

    fn run_and_size(&mut self, table: &Table) -> Read<(u32, u32)> {
        let symbol = self.bits.symbol(table)?;
        Ok((symbol >> 4, symbol & 15))
    }
}

fn broken() -> crate::data::decode::raster::Fault {
    damaged("the JPEG data has values that cannot be")
}

fn no_table() -> crate::data::decode::raster::Fault {
    damaged("a Huffman table is missing")
}
