struct Params {
    // Kept patches, vec4s a row, picks wanted, candidates a batch at most.
    kept: u32, r4: u32, picks: u32, batch: u32,
    // What `level` means stands in each kernel. Kept positions pos0 .. pos1 lie in the bound chunk, whose
    // first row is row0.
    level: u32, pos0: u32, pos1: u32, row0: u32,
}

// Words of the state buffer: picks so far, and of this batch the first and the number.
const TOTAL: u32 = 0u;
const FIRST: u32 = 1u;
const COUNT: u32 = 2u;
// Candidates are the unchosen patches whose distance has bits >= BITS and whose position is < BEFORE; every
// other unchosen patch comes later in greedy's order (larger distance first, then smaller index). LEVEL is
// the histogram that is still to be looked at (0: none), EDGE the bin that the next one splits.
const BITS: u32 = 3u;
const BEFORE: u32 = 4u;
const LEVEL: u32 = 5u;
const EDGE: u32 = 6u;
// Numbers of candidates, of clusters that can still change, of tiles of eight patches to look at.
const CANDIDATES: u32 = 7u;
const ACTIVE: u32 = 8u;
const TILES: u32 = 9u;
// Patch-pick distances computed (low and high word) and batches.
const WORK: u32 = 10u;
const WORK_HIGH: u32 = 11u;
const BATCHES: u32 = 12u;

// Words of a cluster: members, largest squared distance to the centre (bits), NEAREST - smallest squared
// distance to a new pick (bits), slot of the next member in the sorted list (or SKIPPED).
const MEMBERS: u32 = 0u;
const RADIUS: u32 = 1u;
const CLOSENESS: u32 = 2u;
const SLOT: u32 = 3u;
const NEAREST: u32 = 0x7fffffffu;
const SKIPPED: u32 = 0xffffffffu;

// The one way in which squared distances are summed, so that every kernel finds the same bits: `fma` leaves
// nothing for a driver to contract, and the partial sums never fall.
fn add_squares(sum: f32, d: vec4<f32>) -> f32 {
    return sum + fma(d.w, d.w, fma(d.z, d.z, fma(d.y, d.y, d.x * d.x)));
}
