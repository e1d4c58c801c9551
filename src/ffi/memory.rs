//! Reading from and writing to the caller's memory, with every check that can be made.

use super::status::{Failure, SOFTPATCH_BUFFER_TOO_SMALL};
use std::ffi::{CStr, c_char};

/// Borrows a value.
///
/// # Safety
/// `pointer` is null or good for a `T`.
pub(super) unsafe fn read<T: Copy>(pointer: *const T, what: &str) -> Result<T, Failure> {
    check(pointer, what)?;
    // SAFETY: not null and aligned, and good for a T by this function's contract.
    Ok(unsafe { pointer.read() })
}

/// Writes a value.
///
/// # Safety
/// `pointer` is null or good for a `T`.
pub(super) unsafe fn write<T>(pointer: *mut T, value: T, what: &str) -> Result<(), Failure> {
    check(pointer, what)?;
    // SAFETY: not null and aligned, and good for a T by this function's contract.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Refuses null and misaligned pointers.
pub(super) fn check<T>(pointer: *const T, what: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(what));
    }
    if !pointer.is_aligned() {
        return Err(Failure::argument(format!("{what} is not aligned to {} bytes", align_of::<T>())));
    }
    Ok(())
}

fn check_len<T>(len: usize, what: &str) -> Result<(), Failure> {
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(Failure::argument(format!("{what}: {len} elements are more than memory has")));
    }
    Ok(())
}

/// Borrows an array; null is good for length 0.
///
/// # Safety
/// `pointer` is null or good for `len` values, unchanged for the lifetime.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, len: usize, what: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, what)?;
    check_len::<T>(len, what)?;
    // SAFETY: not null, aligned, of a possible length, and good for it by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Borrows an array for writing; null is good for length 0. The values must be initialised, or of a type that has no
/// invalid values and is only written.
///
/// # Safety
/// `pointer` is null or good for `len` values that nobody else uses for the lifetime.
pub(super) unsafe fn slice_mut<'a, T>(
    pointer: *mut T,
    len: usize,
    what: &str,
) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(pointer, what)?;
    check_len::<T>(len, what)?;
    // SAFETY: not null, aligned, of a possible length, and good for it by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// Borrows a text.
///
/// # Safety
/// `pointer` is null or a text that ends with a zero byte.
pub(super) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Failure> {
    check(pointer, what)?;
    // SAFETY: not null, and a C string by this function's contract.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::argument(format!("{what} is not UTF-8")))
}

/// Copies bytes to the caller, who learns in `needed` how many there are; a null `buffer` of capacity 0 only asks for that.
///
/// # Safety
/// `buffer` is null or good for `capacity` bytes, `needed` null or good for a `usize`.
pub(super) unsafe fn copy_out(
    bytes: &[u8],
    buffer: *mut u8,
    capacity: usize,
    needed: *mut usize,
) -> Result<(), Failure> {
    if !needed.is_null() {
        // SAFETY: not null, checked for alignment, good for a usize by this function's contract.
        unsafe { write(needed, bytes.len(), "needed") }?;
    }
    if buffer.is_null() {
        return match (capacity, needed.is_null()) {
            (0, false) => Ok(()),
            _ => Err(Failure::null("buffer")),
        };
    }
    if capacity < bytes.len() {
        return Err(Failure::new(
            SOFTPATCH_BUFFER_TOO_SMALL,
            format!("{} bytes are needed, the buffer has {capacity}", bytes.len()),
        ));
    }
    // SAFETY: the buffer has `capacity >= bytes.len()` bytes by this function's contract, and cannot overlap `bytes`,
    // which is memory of this library.
    unsafe { buffer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(())
}

/// [`copy_out`] for a text, with the zero byte after it.
///
/// # Safety
/// As [`copy_out`].
pub(super) unsafe fn copy_text(
    text: &str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> Result<(), Failure> {
    let mut bytes = text.replace('\0', " ").into_bytes();
    bytes.push(0);
    // SAFETY: passed on.
    unsafe { copy_out(&bytes, buffer.cast(), capacity, needed) }
}

/// Fills a fixed field with as much of `text` as fits before its zero byte, cut between characters.
pub(super) fn fill<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = *from as c_char;
    }
    field
}
