// How far at least a patch is from a row of the memory bank: squared distance of the row to the nearest patch
// of another image, times how far the row stands out from its kind, 1 to MOST: the power POWER of the
// geometric mean of the outlier scores of its 3x3 neighbourhood. No floor is raised past a ceiling. A row that
// has no neighbour in another image has the floor 0.
//   x [rows][D] embeddings of the rows, y [rows][D] those of their neighbours
//   patches, others [rows] numbers, image * positions + position; others[i] == patches[i]: no neighbour
//   scores [images][positions], above 0; those of 0 or less, of patches that are not looked at, do not count
// An invocation owns one row. Cost: D/2 vec4 loads, 9 scores.
const WORKGROUP: u32 = 64u;
const POWER: f32 = 6.0;
const MOST: f32 = 8.0;

struct Params { rows: u32, d4: u32, height: u32, columns: u32, ceiling: f32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> patches: array<u32>;
@group(0) @binding(3) var<storage, read> others: array<u32>;
@group(0) @binding(4) var<storage, read> scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> floors: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (row >= p.rows) { return; }
    var squared = 0.0;
    for (var k = 0u; k < p.d4; k++) {
        let v = x[row * p.d4 + k] - y[row * p.d4 + k];
        squared += dot(v, v);
    }
    let positions = p.height * p.columns;
    let image = patches[row] / positions * positions;
    let at = patches[row] % positions;
    let top = max(at / p.columns, 1u) - 1u;
    let left = max(at % p.columns, 1u) - 1u;
    var sum = 0.0;
    var count = 0.0;
    for (var r = top; r < min(at / p.columns + 2u, p.height); r++) {
        for (var c = left; c < min(at % p.columns + 2u, p.columns); c++) {
            let score = scores[image + r * p.columns + c];
            if (score > 0.0) {
                sum += log(score);
                count += 1.0;
            }
        }
    }
    // Bounded before it is a power: a patch with too few neighbours scores the largest float.
    let standing = exp(clamp(POWER * sum / max(count, 1.0), 0.0, log(MOST)));
    let raised = max(squared, min(squared * standing, p.ceiling));
    floors[row] = select(raised, 0.0, patches[row] == others[row]);
}
