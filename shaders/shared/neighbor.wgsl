struct Params {
    // Queries, rows of the bound part of the bank, vec4s a row, rows a split (a multiple of 64).
    queries: u32, rows: u32, d4: u32, split: u32,
    // Index of the part's first row over the whole bank; splits; whether earlier parts were merged before; with TWO_STAGE
    // vec4s a shortened row.
    row0: u32, splits: u32, merged: u32, short4: u32,
}

const NOTHING: f32 = 3.4028234e38;
const NO_ROW: u32 = 0xffffffffu;

// The one way in which squared distances are summed, so that every kernel finds the same bits: `fma` leaves nothing for
// a driver to contract, and the partial sums never fall.
fn add_squares(sum: f32, d: vec4<f32>) -> f32 {
    return sum + fma(d.w, d.w, fma(d.z, d.z, fma(d.y, d.y, d.x * d.x)));
}

// Words of a query's lower bounds: one for every 4 rows, rounded up to a multiple of 4.
fn bounds_pitch() -> u32 {
    return (p.rows + 15u) / 16u * 4u;
}
