// What the 8 lanes of a subgroup make together, the same for all of them. By exchange of values, an
// instruction each on llvmpipe: its own reductions go lane by lane. All lanes have to take part.
fn least8(v: vec4<u32>) -> vec4<u32> {
    let two = min(v, subgroupShuffleXor(v, 1u));
    let four = min(two, subgroupShuffleXor(two, 2u));
    return min(four, subgroupShuffleXor(four, 4u));
}

fn most8(v: f32) -> f32 {
    let two = max(v, subgroupShuffleXor(v, 1u));
    let four = max(two, subgroupShuffleXor(two, 2u));
    return max(four, subgroupShuffleXor(four, 4u));
}

fn sum8(v: f32) -> f32 {
    let two = v + subgroupShuffleXor(v, 1u);
    let four = two + subgroupShuffleXor(two, 2u);
    return four + subgroupShuffleXor(four, 4u);
}

fn joined8(v: u32) -> u32 {
    let two = v | subgroupShuffleXor(v, 1u);
    let four = two | subgroupShuffleXor(two, 2u);
    return four | subgroupShuffleXor(four, 4u);
}

fn any8(v: bool) -> bool { return joined8(select(0u, 1u, v)) != 0u; }
