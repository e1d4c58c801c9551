// What the kernels of a selection share: parameters, state, clusters, and the one sum of squares.

struct Params {
    // Kept patches, vec4s per row, picks wanted, candidates per batch at most; values of a row of the tables of
    // distances, as many in whole vec4s.
    kept: u32, r4: u32, picks: u32, batch: u32, across: u32,
    // Kept positions pos0 .. pos1 lie in the bound chunk, whose first row is row0.
    pos0: u32, pos1: u32, row0: u32,
    // Patches whose rows are gathered; 0: as many as there are candidates.
    listed: u32,
    // Which histogram is made or looked at, 1 to 3.
    level: u32,
    // Whether the members of clusters are counted with their radius.
    members: u32,
    // 1 / start samples, for the published program's start.
    scale: f32,
}

struct State {
    // Picks so far; the first of this batch, and how many it has.
    picked: u32, first: u32, count: u32,
    // Candidates are the unchosen patches whose distance has bits >= `least` and whose position is <
    // `before`; every other unchosen patch comes later in greedy's order (larger distance first, then smaller
    // index).
    least: u32, before: u32,
    // The histogram that is still to be looked at (0: none), and the bin that it splits.
    level: u32, edge: u32,
    // Numbers of candidates, of clusters that can still change, of tiles of eight patches to look at.
    candidates: u32, clusters: u32, tiles: u32,
    // Patch-pick distances computed.
    distances_low: u32, distances_high: u32,
    batches: u32,
}

// The same where many invocations count.
struct CountingState {
    picked: u32, first: u32, count: u32,
    least: u32, before: u32,
    level: u32, edge: u32,
    candidates: atomic<u32>, clusters: atomic<u32>, tiles: u32,
    distances_low: atomic<u32>, distances_high: atomic<u32>,
    batches: u32,
}

// The patches that share a nearest pick.
struct Cluster {
    members: u32,
    // Bits of the largest squared distance to the centre.
    radius: u32,
    // NEAREST - bits of the smallest squared distance from the centre to a new pick.
    closeness: u32,
    // Place of the next member in the sorted list, or SKIPPED.
    slot: u32,
}

// The same where many invocations count.
struct CountingCluster { members: atomic<u32>, radius: atomic<u32>, closeness: atomic<u32>, slot: atomic<u32> }

const NEAREST: u32 = 0x7fffffffu;
const SKIPPED: u32 = 0xffffffffu;

// The one way in which squared distances are summed, so that every kernel finds the same bits: `fma` leaves
// nothing for a driver to contract, and the partial sums never fall.
fn add_squares(sum: f32, d: vec4<f32>) -> f32 {
    return sum + fma(d.w, d.w, fma(d.z, d.z, fma(d.y, d.y, d.x * d.x)));
}
