//! The anomaly map in the pixels of the source image. docs/method.md, section 6.

use crate::reference::map::anomaly_map::anomaly_map;

/// One axis of a source image: `[source, resized, first, frame]`, pixels of the source, pixels after the
/// resize, the frame's first pixel among these, and pixels of the frame.
type Axis = [i64; 4];

/// Scores `[h][w]` to a map in the pixels of the source image, `rows[0]` x `columns[0]` values: the map of
/// the frame as [`anomaly_map`] makes it, sampled between its pixel centres where the centre of a source
/// pixel falls on the frame, bilinear with the edges repeated; 0 where it does not.
pub fn source_map(scores: &[f32], grid: [usize; 2], rows: Axis, columns: Axis) -> Vec<f32> {
    let [height, width] = [rows[3] as usize, columns[3] as usize];
    let map = anomaly_map(scores, grid, [height, width]);
    let value = |y: usize, x: usize| f64::from(map[y.min(height - 1) * width + x.min(width - 1)]);
    let mut out = Vec::new();
    for oy in 0..rows[0] {
        for ox in 0..columns[0] {
            let (Some(y), Some(x)) = (on_frame(oy, rows), on_frame(ox, columns)) else {
                out.push(0.0);
                continue;
            };
            let [y, x] = [(y - 0.5).max(0.0), (x - 0.5).max(0.0)];
            let (ty, tx) = (y.fract(), x.fract());
            let [y, x] = [y as usize, x as usize];
            let above = value(y, x) * (1.0 - tx) + value(y, x + 1) * tx;
            let below = value(y + 1, x) * (1.0 - tx) + value(y + 1, x + 1) * tx;
            out.push((above * (1.0 - ty) + below * ty) as f32);
        }
    }
    out
}

/// Where the centre of a source pixel lies on the frame, in pixels from the frame's edge.
fn on_frame(o: i64, [source, resized, first, frame]: Axis) -> Option<f64> {
    let at = (o as f64 + 0.5) * resized as f64 / source as f64 - first as f64;
    (0.0 <= at && at < frame as f64).then_some(at)
}
