//! Reading from and writing to the caller's memory, with every check that can be made.

use crate::status::{Failure, SOFTPATCH_BUFFER_TOO_SMALL};
use std::ffi::{CStr, c_char};

/// Borrows a value.
///
/// # Safety
/// `pointer` is null or good for a `T`.
pub(crate) unsafe fn read<T: Copy>(pointer: *const T, what: &str) -> Result<T, Failure> {
    check(pointer, what)?;
    // SAFETY: not null and aligned, and good for a T by this function's contract.
    Ok(unsafe { pointer.read() })
}

/// Borrows an options struct, whose first field is its size. Later versions add fields at the end, so a
/// program that was built with an earlier header has a shorter struct: what it lacks stays as in `defaults`.
///
/// # Safety
/// `pointer` is null or good for as many bytes as its first field says. `T` is a `repr(C)` struct that begins
/// with a `usize` and is valid for all bytes.
pub(crate) unsafe fn read_sized<T: Copy>(
    pointer: *const T,
    sizes: &[usize],
    defaults: T,
    what: &str,
) -> Result<T, Failure> {
    check(pointer, what)?;
    // SAFETY: not null and aligned; the size comes first, by this function's contract.
    let size = unsafe { pointer.cast::<usize>().read() };
    check_size::<T>(size, sizes)?;
    let mut options = defaults;
    // SAFETY: `size` bytes by this function's contract, no more than a T has, and `options` is nobody else's.
    unsafe {
        (&raw mut options).cast::<u8>().copy_from_nonoverlapping(pointer.cast(), size);
    }
    Ok(options)
}

/// Fills the caller's options struct of `size` bytes with the defaults.
///
/// # Safety
/// `pointer` is null or good for `size` bytes. `T` as in [`read_sized`].
pub(crate) unsafe fn write_sized<T: Copy>(
    pointer: *mut T,
    size: usize,
    sizes: &[usize],
    defaults: T,
    what: &str,
) -> Result<(), Failure> {
    check(pointer, what)?;
    check_size::<T>(size, sizes)?;
    // SAFETY: good for `size` bytes by this function's contract, which are no more than `defaults` has; the
    // first field is a usize.
    unsafe {
        pointer.cast::<u8>().copy_from_nonoverlapping((&raw const defaults).cast(), size);
        pointer.cast::<usize>().write(size);
    }
    Ok(())
}

/// Refuses the size of a struct that was not initialised, or comes from a later header than this library
/// knows. `sizes` are those that the struct has had.
fn check_size<T>(size: usize, sizes: &[usize]) -> Result<(), Failure> {
    let known = size_of::<T>();
    if size <= known && sizes.contains(&size) {
        return Ok(());
    }
    Err(Failure::argument(if size > known {
        format!(
            "the options have {size} bytes, this library knows {known}: they were not filled with their \
             _init function, or the header is later than the library"
        )
    } else {
        format!("the options have {size} bytes, which no version had: fill them with their _init function")
    }))
}

/// Writes a value.
///
/// # Safety
/// `pointer` is null or good for a `T`.
pub(crate) unsafe fn write<T>(pointer: *mut T, value: T, what: &str) -> Result<(), Failure> {
    check(pointer, what)?;
    // SAFETY: not null and aligned, and good for a T by this function's contract.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Refuses null and misaligned pointers.
pub(crate) fn check<T>(pointer: *const T, what: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(what));
    }
    if !pointer.is_aligned() {
        return Err(Failure::argument(format!("{what} is not aligned to {} bytes", align_of::<T>())));
    }
    Ok(())
}

/// Refuses what cannot be the length of anything.
pub(crate) fn check_len<T>(len: usize, what: &str) -> Result<(), Failure> {
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(Failure::argument(format!("{what}: {len} elements are more than memory has")));
    }
    Ok(())
}

/// Borrows an array; null is good for length 0.
///
/// # Safety
/// `pointer` is null or good for `len` values, unchanged for the lifetime.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize, what: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, what)?;
    check_len::<T>(len, what)?;
    // SAFETY: not null, aligned, of a possible length, and good for it by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Borrows an array for writing; null is good for length 0. The values must be initialised, or of a type that
/// has no invalid values and is only written.
///
/// # Safety
/// `pointer` is null or good for `len` values that nobody else uses for the lifetime.
pub(crate) unsafe fn slice_mut<'a, T>(
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
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Failure> {
    check(pointer, what)?;
    // SAFETY: not null, and a C string by this function's contract.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::argument(format!("{what} is not UTF-8")))
}

/// Copies bytes to the caller, who learns in `needed` how many there are; a null `buffer` of capacity 0 only
/// asks for that.
///
/// # Safety
/// `buffer` is null or good for `capacity` bytes, `needed` null or good for a `usize`.
pub(crate) unsafe fn copy_out(
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
    check_len::<u8>(capacity, "buffer")?;
    if capacity < bytes.len() {
        return Err(Failure::new(
            SOFTPATCH_BUFFER_TOO_SMALL,
            format!("{} bytes are needed, the buffer has {capacity}", bytes.len()),
        ));
    }
    // SAFETY: the buffer has `capacity >= bytes.len()` bytes by this function's contract, and cannot overlap
    // `bytes`, which is memory of this library.
    unsafe { buffer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(())
}

/// Borrows a text that may be left out.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    what: &str,
) -> Result<Option<&'a str>, Failure> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { unsafe { text(pointer, what) }.map(Some) }
}

/// [`copy_out`] for a text, with the zero byte after it.
///
/// # Safety
/// As [`copy_out`].
pub(crate) unsafe fn copy_text(
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
pub(crate) fn fill<const N: usize>(text: &str) -> [c_char; N] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Later {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    const DEFAULTS: Later = Later { struct_size: size_of::<Later>(), old: 1, new: 2 };
    const SIZES: [usize; 2] = [std::mem::offset_of!(Later, new), size_of::<Later>()];

    #[test]
    fn a_struct_of_an_earlier_header_is_understood() {
        // What an earlier program has room for, and what lies behind it.
        let mut theirs = Later { struct_size: 0, old: 0, new: 77 };
        // SAFETY: a struct that is long enough.
        assert!(unsafe { write_sized(&mut theirs, SIZES[0], &SIZES, DEFAULTS, "options") }.is_ok());
        assert_eq!(theirs, Later { struct_size: SIZES[0], old: 1, new: 77 });
        theirs.old = 5;
        // SAFETY: as above.
        let read = unsafe { read_sized(&theirs, &SIZES, DEFAULTS, "options") };
        assert_eq!(read.ok(), Some(Later { struct_size: SIZES[0], old: 5, new: 2 }));
        for size in [0, 8, SIZES[0] + 1, SIZES[1] + 8, usize::MAX] {
            theirs.struct_size = size;
            // SAFETY: as above.
            assert!(unsafe { read_sized(&theirs, &SIZES, DEFAULTS, "options") }.is_err(), "{size}");
            // SAFETY: as above.
            assert!(
                unsafe { write_sized(&mut theirs, size, &SIZES, DEFAULTS, "options") }.is_err(),
                "{size}"
            );
        }
        assert_eq!(theirs, Later { struct_size: usize::MAX, old: 5, new: 77 });
    }
}
