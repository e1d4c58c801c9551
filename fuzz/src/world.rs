//! What calls of the C interface work on.

use crate::Slot;
use softpatch_capi::*;
use std::ptr::null_mut;
use std::sync::OnceLock;

/// Width and height of a picture.
pub const SIDE: u32 = 64;

/// A context, a detector of it, and files.
pub struct World {
    pub context: softpatch_context,
    pub detector: softpatch_detector,
    /// The detector as a file.
    pub model: Vec<u8>,
    pub file: Slot,
    pub output: Slot,
}

/// Values of pixels: four pictures' worth.
pub fn gray() -> &'static [u8] {
    static GRAY: OnceLock<Vec<u8>> = OnceLock::new();
    GRAY.get_or_init(|| (0..4 * SIDE * SIDE).map(|i| (i * 7 % 251) as u8).collect())
}

/// A grey picture.
pub fn image() -> softpatch_image {
    let (pixels, size) = (gray().as_ptr().cast(), (SIDE * SIDE) as usize);
    softpatch_image {
        pixels,
        size,
        stride: 0,
        width: SIDE,
        height: SIDE,
        format: SOFTPATCH_GRAY8,
        reserved: 0,
    }
}

impl World {
    /// Opens the first adapter and fits on four pictures.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let (mut context, mut detector, mut size) = (0, 0, 0);
        // SAFETY: every pointer is good for its value.
        unsafe {
            let mut options = std::mem::zeroed::<softpatch_context_options>();
            assert_eq!(softpatch_context_options_init(&mut options, size_of_val(&options)), SOFTPATCH_OK);
            options.no_self_test = 1;
            assert_eq!(softpatch_context_create(&options, &mut context), SOFTPATCH_OK);
            let mut fit = std::mem::zeroed::<softpatch_fit_options>();
            assert_eq!(softpatch_fit_options_init(&mut fit, size_of_val(&fit)), SOFTPATCH_OK);
            fit.size.width = SIDE;
            let moved = |by: usize| softpatch_image { pixels: gray()[by..].as_ptr().cast(), ..image() };
            let images = [moved(0), moved(1), moved(3), moved(900)];
            let made =
                softpatch_fit_images(context, images.as_ptr(), 4, &fit, None, null_mut(), &mut detector);
            assert_eq!(made, SOFTPATCH_OK);
            assert_eq!(softpatch_detector_to_bytes(detector, null_mut(), 0, &mut size), SOFTPATCH_OK);
            let mut model = vec![0; size];
            assert_eq!(
                softpatch_detector_to_bytes(detector, model.as_mut_ptr(), size, &mut size),
                SOFTPATCH_OK
            );
            Self { context, detector, model, file: Slot::new("model"), output: Slot::new("output") }
        }
    }
}
