// Nearest bank row of every query within each split of the bank, by the sum of squared differences; ties go to the smaller
// index. With EXCLUDE rows of the query's own image are passed over. With BOUND, on shortened rows, it is the smallest
// distance of every 4 rows instead, all of which go to distance [queries][bounds_pitch].
// x [queries][d4], bank [rows][d4], row_image [rows], query_image [queries]; distance and index [splits][queries].
//
// For CPU drivers, as gemm_direct: a workgroup of 8 lanes owns 8*TM queries and walks its split TN rows at a time; the rows
// are loaded once and handed round by broadcasts (SUBGROUP). The distances stay in registers.
const TM: u32 = 4u;
const TN: u32 = 16u;

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> row_image: array<u32>;
@group(0) @binding(3) var<storage, read> query_image: array<u32>;
@group(0) @binding(4) var<storage, read_write> distance: array<f32>;
@group(0) @binding(5) var<storage, read_write> index: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let query0 = wid.x * (8u * TM) + lane;
    let end = min(p.rows, (wid.y + 1u) * p.split);
    var base: array<u32, TM>;
    var image: array<u32, TM>;
    var best: array<f32, TM>;
    var best_row: array<u32, TM>;
    for (var j = 0u; j < TM; j++) {
        // Queries past the end repeat the last one and are not stored.
        let query = min(query0 + 8u * j, p.queries - 1u);
        base[j] = query * p.d4;
        best[j] = NOTHING;
        best_row[j] = NO_ROW;
//#if EXCLUDE
        image[j] = query_image[query];
//#endif
    }
    for (var row0 = wid.y * p.split; row0 < end; row0 += TN) {
        var at: array<u32, TN / 8u>;
        for (var t = 0u; t < TN / 8u; t++) {
//#if SUBGROUP
            at[t] = min(row0 + 8u * t + lane, end - 1u) * p.d4;
//#else
            at[t] = row0 + 8u * t;
//#endif
        }
        var acc: array<array<f32, TM>, TN>;
        for (var i = 0u; i < TN; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }
        for (var k = 0u; k < p.d4; k++) {
            var xv: array<vec4<f32>, TM>;
            for (var j = 0u; j < TM; j++) { xv[j] = x[base[j] + k]; }
            for (var t = 0u; t < TN / 8u; t++) {
//#if SUBGROUP
                let yv = bank[at[t] + k];
                // The lane of a broadcast must be a constant expression, hence no loop.
                let s0 = subgroupBroadcast(yv, 0u);
                for (var j = 0u; j < TM; j++) { acc[8u * t][j] = add_squares(acc[8u * t][j], xv[j] - s0); }
                let s1 = subgroupBroadcast(yv, 1u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 1u][j] = add_squares(acc[8u * t + 1u][j], xv[j] - s1); }
                let s2 = subgroupBroadcast(yv, 2u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 2u][j] = add_squares(acc[8u * t + 2u][j], xv[j] - s2); }
                let s3 = subgroupBroadcast(yv, 3u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 3u][j] = add_squares(acc[8u * t + 3u][j], xv[j] - s3); }
                let s4 = subgroupBroadcast(yv, 4u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 4u][j] = add_squares(acc[8u * t + 4u][j], xv[j] - s4); }
                let s5 = subgroupBroadcast(yv, 5u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 5u][j] = add_squares(acc[8u * t + 5u][j], xv[j] - s5); }
                let s6 = subgroupBroadcast(yv, 6u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 6u][j] = add_squares(acc[8u * t + 6u][j], xv[j] - s6); }
                let s7 = subgroupBroadcast(yv, 7u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 7u][j] = add_squares(acc[8u * t + 7u][j], xv[j] - s7); }
//#else
                for (var i = 0u; i < 8u; i++) {
                    let s = bank[min(at[t] + i, end - 1u) * p.d4 + k];
                    for (var j = 0u; j < TM; j++) { acc[8u * t + i][j] = add_squares(acc[8u * t + i][j], xv[j] - s); }
                }
//#endif
            }
        }
//#if BOUND
        for (var t = 0u; t < TN / 4u; t++) {
            if (row0 + 4u * t < end) {
                for (var j = 0u; j < TM; j++) {
                    let least = min(min(acc[4u * t][j], acc[4u * t + 1u][j]), min(acc[4u * t + 2u][j], acc[4u * t + 3u][j]));
                    if (query0 + 8u * j < p.queries) {
                        distance[(query0 + 8u * j) * bounds_pitch() + row0 / 4u + t] = least;
                    }
                }
            }
        }
//#else
        // Rows past the end repeat the last one, which loses the tie against itself.
        for (var i = 0u; i < TN; i++) {
//#if EXCLUDE
            let own = row_image[min(row0 + i, end - 1u)];
//#endif
            for (var j = 0u; j < TM; j++) {
                var nearer = acc[i][j] < best[j];
//#if EXCLUDE
                nearer = nearer && own != image[j];
//#endif
                if (nearer) {
                    best[j] = acc[i][j];
                    best_row[j] = row0 + i;
                }
            }
        }
//#endif
    }
//#if !BOUND
    for (var j = 0u; j < TM; j++) {
        let query = query0 + 8u * j;
        if (query < p.queries) {
            distance[wid.y * p.queries + query] = best[j];
            index[wid.y * p.queries + query] = select(p.row0 + best_row[j], NO_ROW, best_row[j] == NO_ROW);
        }
    }
//#endif
}
