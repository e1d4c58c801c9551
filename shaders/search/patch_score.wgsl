// Patch scores weight(row) * squared distance, and per image the largest one. best [images][positions] =
// (squared distance, row), weights [m]; scores from `first` on [images][positions], top [images]. With `on`
// they are more patches of images whose largest score so far is in top. A workgroup owns one image and meets
// in workgroup memory once. Cost: 2 loads per patch.

struct Params { images: u32, positions: u32, m: u32, first: u32, on: u32 }

@group(0) @binding(0) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> top: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

var<workgroup> part: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let image = wid.x + wid.y * groups.x;
    var largest = 0.0;
    if (image < p.images) {
        for (var i = me; i < p.positions; i += 64u) {
            let found = best[image * p.positions + i];
            // Without a row (every one was left out) the distance is infinite.
            var score = bitcast<f32>(found.x);
            if (found.y < p.m) { score *= weights[found.y]; }
            scores[p.first + image * p.positions + i] = score;
            largest = max(largest, score);
        }
    }
    part[me] = largest;
    workgroupBarrier();
    if (me == 0u && image < p.images) {
        for (var i = 1u; i < 64u; i++) { largest = max(largest, part[i]); }
        if (p.on != 0u) { largest = max(largest, top[image]); }
        top[image] = largest;
    }
}
