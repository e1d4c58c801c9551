//! Texts that functions make: JSON of any length, made once and copied from then on.

use crate::handles;
use crate::memory::{copy_text, write};
use crate::status::{Failure, SOFTPATCH_INTERNAL, guard, softpatch_status};
use serde::Serialize;
use std::ffi::c_char;

/// A text that a function made, a JSON document. 0 is none.
pub type softpatch_text = u64;

struct Text(String);

impl handles::Handled for Text {
    const KIND: &'static str = "text";
}

/// A document, and beside it what was said while it was made.
#[derive(Serialize)]
pub(crate) struct Noted<T> {
    #[serde(flatten)]
    pub document: T,
    pub notes: Vec<String>,
}

/// Gives the caller a document as a text.
///
/// # Safety
/// `json` is null or good for a handle.
pub(crate) unsafe fn give(document: &impl Serialize, json: *mut softpatch_text) -> Result<(), Failure> {
    let text =
        serde_json::to_string(document).map_err(|e| Failure::new(SOFTPATCH_INTERNAL, e.to_string()))?;
    // SAFETY: passed on.
    unsafe { write(json, handles::insert(Text(text)), "json") }
}

/// Sets the caller's handle to 0, for whatever comes; refuses null.
///
/// # Safety
/// As [`give`].
pub(crate) unsafe fn clear(json: *mut softpatch_text) -> Result<(), Failure> {
    // SAFETY: passed on.
    unsafe { write(json, 0, "json") }
}

/// The same, where null is no error.
///
/// # Safety
/// As [`give`].
pub(crate) unsafe fn clear_optional(json: *mut softpatch_text) -> Result<(), Failure> {
    // SAFETY: passed on.
    if json.is_null() { Ok(()) } else { unsafe { clear(json) } }
}

/// [`give`], where null is no error.
///
/// # Safety
/// As [`give`].
pub(crate) unsafe fn give_optional(
    document: &impl Serialize,
    json: *mut softpatch_text,
) -> Result<(), Failure> {
    // SAFETY: passed on.
    if json.is_null() { Ok(()) } else { unsafe { give(document, json) } }
}

/// Copies a text with its zero byte to `buffer` and the number of bytes to `needed`. `needed` may be null; a
/// null `buffer` with capacity 0 only asks for the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_text_copy(
    text: softpatch_text,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> softpatch_status {
    guard(|| {
        let text = handles::get::<Text>(text)?;
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { copy_text(&text.0, buffer, capacity, needed) }
    })
}

/// Frees a text.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_text_free(text: softpatch_text) -> softpatch_status {
    guard(|| handles::remove::<Text>(text).map(drop))
}
