//! Frames and scans of a JPEG, and how many blocks they hold.

/// A component of a frame.
pub(super) struct Component {
    pub id: u8,
    /// Sampling factors.
    pub h: usize,
    pub v: usize,
}

/// A frame header.
pub(super) struct Frame {
    /// Low byte of its marker, less 0xc0.
    pub process: u8,
    pub precision: u8,
    pub width: usize,
    pub height: usize,
    pub components: Vec<Component>,
}

impl Frame {
    pub fn progressive(&self) -> bool {
        self.process == 2
    }

    pub fn lossless(&self) -> bool {
        self.process == 3
    }

    /// Rows and columns of a block.
    fn side(&self) -> usize {
        if self.lossless() { 1 } else { 8 }
    }

    fn most(&self) -> (usize, usize) {
        let most = |f: fn(&Component) -> usize| self.components.iter().map(f).max().unwrap_or(1);
        (most(|c| c.h), most(|c| c.v))
    }

    /// Columns and rows of interleaved units.
    pub fn units(&self) -> (usize, usize) {
        let (h, v) = self.most();
        (self.width.div_ceil(self.side() * h), self.height.div_ceil(self.side() * v))
    }

    /// Columns and rows of blocks of component `c` in a scan of its own.
    pub fn blocks(&self, c: usize) -> (usize, usize) {
        let (h, v) = self.most();
        let c = &self.components[c];
        let blocks = |size: usize, own: usize, most: usize| (size * own).div_ceil(most).div_ceil(self.side());
        (blocks(self.width, c.h, h), blocks(self.height, c.v, v))
    }

    /// Columns and rows of blocks of component `c` in whole units.
    pub fn padded(&self, c: usize) -> (usize, usize) {
        let (columns, rows) = self.units();
        (columns * self.components[c].h, rows * self.components[c].v)
    }
}

/// What a start-of-scan segment says.
pub(super) struct Scan {
    /// Index of the component, its DC table, its AC table.
    pub parts: Vec<(usize, usize, usize)>,
    /// First and last coefficient.
    pub from: u32,
    pub to: u32,
    /// Bits that came before; 0 in a first scan.
    pub high: u32,
}
