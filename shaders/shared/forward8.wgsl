// Forward substitution with one 8 x 8 lower triangle, its rows split into columns 0 .. 3 (lo) and 4 .. 7
// (hi), its diagonal held as reciprocals.
struct Triangle {
    lo: array<vec4<f32>, 8>,
    hi: array<vec4<f32>, 8>,
}

struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

fn forward8(t: Triangle, v: Eight) -> Eight {
    let y0 = v.lo.x * t.lo[0].x;
    let y1 = (v.lo.y - t.lo[1].x * y0) * t.lo[1].y;
    let y2 = (v.lo.z - dot(t.lo[2].xy, vec2(y0, y1))) * t.lo[2].z;
    let y3 = (v.lo.w - dot(t.lo[3].xyz, vec3(y0, y1, y2))) * t.lo[3].w;
    let lo = vec4(y0, y1, y2, y3);
    let y4 = (v.hi.x - dot(t.lo[4], lo)) * t.hi[4].x;
    let y5 = (v.hi.y - dot(t.lo[5], lo) - t.hi[5].x * y4) * t.hi[5].y;
    let y6 = (v.hi.z - dot(t.lo[6], lo) - dot(t.hi[6].xy, vec2(y4, y5))) * t.hi[6].z;
    let y7 = (v.hi.w - dot(t.lo[7], lo) - dot(t.hi[7].xyz, vec3(y4, y5, y6))) * t.hi[7].w;
    return Eight(lo, vec4(y4, y5, y6, y7));
}
