//! What model files do not say: settings at the value that they had before there was a choice, so that older
//! programs read the file.

use super::choice::Geometry;

/// Side of the window of neighbours unless told otherwise.
pub(super) const WINDOW: u32 = 5;

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn is_window(window: &u32) -> bool {
    *window == WINDOW
}

/// There was no other geometry.
pub(super) fn is_paper(value: &Geometry) -> bool {
    *value == Geometry::Paper
}
