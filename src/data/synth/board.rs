//! The layout of the circuit board, always the same.

use super::noise::Point;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Integrated circuit with this many pins per side.
    Chip(u8),
    Resistor,
    Capacitor,
    /// Round electrolytic can.
    Can,
}

/// A part: kind, middle, half length and half width along its own axis, upright or lying, what is printed
/// beside it.
pub(super) struct Part {
    pub kind: Kind,
    pub at: Point,
    pub half: Point,
    pub upright: bool,
    pub label: &'static str,
}

const fn part(kind: Kind, at: Point, half: Point, upright: bool, label: &'static str) -> Part {
    Part { kind, at, half, upright, label }
}

pub(super) const PARTS: [Part; 15] = [
    part(Kind::Chip(8), (96.0, 96.0), (36.0, 15.0), false, "U1"),
    part(Kind::Chip(4), (186.0, 172.0), (19.0, 13.0), true, "U2"),
    part(Kind::Can, (194.0, 66.0), (21.0, 21.0), false, "C1"),
    part(Kind::Resistor, (38.0, 34.0), (10.0, 5.0), false, "R1"),
    part(Kind::Resistor, (74.0, 34.0), (10.0, 5.0), false, "R2"),
    part(Kind::Resistor, (110.0, 34.0), (10.0, 5.0), false, "R3"),
    part(Kind::Capacitor, (34.0, 92.0), (9.0, 5.0), true, "C2"),
    part(Kind::Capacitor, (150.0, 42.0), (9.0, 5.0), true, "C3"),
    part(Kind::Capacitor, (34.0, 150.0), (9.0, 5.0), true, "C4"),
    part(Kind::Resistor, (70.0, 168.0), (10.0, 5.0), false, "R4"),
    part(Kind::Resistor, (70.0, 194.0), (10.0, 5.0), false, "R5"),
    part(Kind::Capacitor, (112.0, 180.0), (9.0, 5.0), true, "C5"),
    part(Kind::Resistor, (142.0, 146.0), (10.0, 5.0), true, "R6"),
    part(Kind::Capacitor, (226.0, 132.0), (9.0, 5.0), true, "C6"),
    part(Kind::Resistor, (226.0, 190.0), (10.0, 5.0), true, "R7"),
];

/// Traces: half width, then corners.
pub(super) const TRACES: [(f32, &[Point]); 17] = [
    (1.3, &[(48.0, 34.0), (64.0, 34.0)]),
    (1.3, &[(84.0, 34.0), (100.0, 34.0)]),
    (1.3, &[(120.0, 34.0), (134.0, 34.0), (150.0, 50.0)]),
    (1.3, &[(28.0, 34.0), (16.0, 46.0), (16.0, 118.0), (34.0, 136.0), (34.0, 142.0)]),
    (1.3, &[(34.0, 84.0), (34.0, 68.0), (48.0, 54.0), (65.0, 54.0), (65.0, 76.0)]),
    (1.3, &[(34.0, 100.0), (34.0, 110.0), (48.0, 124.0), (66.0, 124.0), (66.0, 116.0)]),
    (1.3, &[(83.0, 76.0), (83.0, 60.0), (92.0, 51.0), (150.0, 51.0)]),
    (1.3, &[(101.0, 76.0), (101.0, 64.0), (164.0, 64.0), (174.0, 66.0)]),
    (1.3, &[(128.0, 76.0), (150.0, 84.0), (226.0, 104.0), (226.0, 124.0)]),
    (1.3, &[(84.0, 116.0), (84.0, 134.0), (60.0, 158.0), (60.0, 168.0)]),
    (1.3, &[(102.0, 116.0), (102.0, 150.0), (112.0, 160.0), (112.0, 172.0)]),
    (1.3, &[(119.0, 116.0), (142.0, 128.0), (142.0, 136.0)]),
    (1.3, &[(142.0, 156.0), (142.0, 160.0), (168.0, 160.0)]),
    (1.3, &[(80.0, 168.0), (96.0, 184.0), (96.0, 210.0), (82.0, 224.0), (82.0, 234.0)]),
    (1.3, &[(60.0, 194.0), (38.0, 216.0), (38.0, 234.0)]),
    (2.6, &[(204.0, 180.0), (226.0, 180.0)]),
    (2.6, &[(226.0, 140.0), (226.0, 152.0), (206.0, 164.0)]),
];

pub(super) const VIAS: [Point; 14] = [
    (16.0, 46.0),
    (48.0, 54.0),
    (164.0, 64.0),
    (226.0, 104.0),
    (60.0, 150.0),
    (150.0, 84.0),
    (120.0, 208.0),
    (148.0, 214.0),
    (158.0, 112.0),
    (176.0, 112.0),
    (20.0, 180.0),
    (20.0, 196.0),
    (240.0, 30.0),
    (156.0, 186.0),
];

/// Where the pins of the connector along the lower edge stand.
pub(super) const HEADER: std::ops::Range<u8> = 0..10;

/// Rows of 3x5 letters, one bit per dot.
pub(super) fn glyph(letter: char) -> [u8; 5] {
    match letter {
        'C' => [7, 4, 4, 4, 7],
        'R' => [6, 5, 6, 5, 5],
        'U' => [5, 5, 5, 5, 7],
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 3, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 2, 2, 2],
        '8' => [7, 5, 7, 5, 7],
        _ => [0, 0, 2, 0, 0],
    }
}

impl Part {
    /// Lands: middle and half size along the part's own axis.
    pub(super) fn pads(&self) -> Vec<(Point, Point)> {
        match self.kind {
            Kind::Chip(pins) => (0..pins)
                .flat_map(|pin| {
                    let pitch = 2.0 * self.half.0 / f32::from(pins);
                    let u = -self.half.0 + pitch * (f32::from(pin) + 0.5);
                    [-1.0, 1.0].map(|side| ((u, side * (self.half.1 + 2.8)), (pitch * 0.29, 3.4)))
                })
                .collect(),
            Kind::Can => [-1.0, 1.0].map(|side| ((side * (self.half.0 + 1.0), 0.0), (4.0, 3.2))).to_vec(),
            _ => {
                [-1.0, 1.0].map(|side| ((side * (self.half.0 - 0.4), 0.0), (3.1, self.half.1 + 0.9))).to_vec()
            }
        }
    }
}
