//! From a value to a colour.

/// Inferno, 17 evenly spaced samples of 256. Source: the map by Nathaniel J. Smith and Stefan van der Walt,
/// part of Matplotlib since 2.0, released under CC0. Lightness grows evenly, so order survives in grey and
/// for colour-blind eyes; between samples colours are interpolated linearly (error below 3 of 255).
const INFERNO: [[u8; 3]; 17] = [
    [0, 0, 4],
    [11, 7, 36],
    [32, 12, 74],
    [60, 9, 101],
    [87, 16, 110],
    [112, 25, 110],
    [136, 34, 106],
    [163, 44, 96],
    [188, 55, 84],
    [210, 72, 67],
    [229, 92, 48],
    [243, 120, 25],
    [251, 154, 6],
    [251, 186, 31],
    [246, 215, 70],
    [241, 244, 120],
    [252, 255, 164],
];

/// Colour of a value of 0 (near black) to 1 (pale yellow); values beyond are clamped, NaN is 0.
pub fn colormap(value: f32) -> [u8; 3] {
    let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
    let place = value * (INFERNO.len() - 1) as f32;
    let index = (place as usize).min(INFERNO.len() - 2);
    let t = place - index as f32;
    std::array::from_fn(|c| {
        let (a, b) = (f32::from(INFERNO[index][c]), f32::from(INFERNO[index + 1][c]));
        (a + (b - a) * t + 0.5) as u8
    })
}
