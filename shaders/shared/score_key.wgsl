// Order of scores as unsigned numbers: key(a) < key(b) exactly where a < b; +infinity and NaN come last, as
// ABSENT.
const ABSENT: u32 = 0xff7fffffu;

fn score_key(bits: u32) -> u32 {
    // From the largest float on (that is what a failed score holds) to infinity and every NaN.
    if ((bits & 0x7fffffffu) > 0x7f800000u || (bits >= 0x7f7fffffu && bits < 0x80000000u)) { return ABSENT; }
    // -0 is as large as 0.
    return select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
}

fn key_bits(key: u32) -> u32 {
    return select(~key, key & 0x7fffffffu, key >= 0x80000000u);
}
