//! Status codes, the last error of a thread, and the border that no panic crosses.

use softpatch::Error;
use softpatch::low_level::process;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function came to: one of the `SOFTPATCH_*` codes.
pub type softpatch_status = i32;

/// All went well.
pub const SOFTPATCH_OK: softpatch_status = 0;
/// A pointer that must not be null is null.
pub const SOFTPATCH_NULL_POINTER: softpatch_status = 1;
/// The handle was never given, was freed, or is of another kind.
pub const SOFTPATCH_INVALID_HANDLE: softpatch_status = 2;
/// A value is out of its range, or a text is not UTF-8.
pub const SOFTPATCH_INVALID_ARGUMENT: softpatch_status = 3;
/// The caller's buffer is too small; nothing was written to it.
pub const SOFTPATCH_BUFFER_TOO_SMALL: softpatch_status = 4;
/// Pixels in memory do not have the size or layout that they claim.
pub const SOFTPATCH_INVALID_IMAGE: softpatch_status = 5;
/// A file or folder could not be read or written.
pub const SOFTPATCH_IO: softpatch_status = 6;
/// A file that should hold an image does not, or holds a damaged one.
pub const SOFTPATCH_IMAGE_FILE: softpatch_status = 7;
/// A folder does not hold what a data set needs.
pub const SOFTPATCH_DATASET: softpatch_status = 8;
/// A model is damaged, of another version, made with another backbone, or not a model at all.
pub const SOFTPATCH_MODEL: softpatch_status = 9;
/// A weights file does not fit the backbone, or none is there.
pub const SOFTPATCH_WEIGHTS: softpatch_status = 10;
/// No usable adapter, or the device refused or lost its work, or failed its self-test.
pub const SOFTPATCH_DEVICE: softpatch_status = 11;
/// The work does not fit the device's limits or the memory budget.
pub const SOFTPATCH_LIMIT: softpatch_status = 12;
/// The progress callback asked to stop.
pub const SOFTPATCH_CANCELLED: softpatch_status = 13;
/// As many frames as the limit allows are in flight; the frame was not taken in.
pub const SOFTPATCH_BUSY: softpatch_status = 14;
/// The oldest frame is not done yet.
pub const SOFTPATCH_PENDING: softpatch_status = 15;
/// No frame is in flight.
pub const SOFTPATCH_EMPTY: softpatch_status = 16;
/// Something in the library broke: please report it.
pub const SOFTPATCH_INTERNAL: softpatch_status = 17;

/// Nothing says which images of a folder are good: name the layout, the folders to take, or take all.
pub const SOFTPATCH_CHOICE: softpatch_status = 18;
/// This process was forked from one that had used the library. The driver's threads did not come along, so
/// that every function does nothing but say this, those that free, too. Start workers by spawn or exec, or
/// fork before the first call.
pub const SOFTPATCH_FORKED: softpatch_status = 19;

/// Why a call failed.
pub(crate) struct Failure {
    pub code: softpatch_status,
    pub text: String,
}

impl Failure {
    pub fn new(code: softpatch_status, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub fn null(what: &str) -> Self {
        Self::new(SOFTPATCH_NULL_POINTER, format!("{what} is null"))
    }

    pub fn argument(text: impl Into<String>) -> Self {
        Self::new(SOFTPATCH_INVALID_ARGUMENT, text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Io { .. } => SOFTPATCH_IO,
            Error::Image { .. } | Error::BadImages { .. } => SOFTPATCH_IMAGE_FILE,
            Error::Dataset { .. } => SOFTPATCH_DATASET,
            Error::Choice { .. } => SOFTPATCH_CHOICE,
            Error::InvalidImage(_) => SOFTPATCH_INVALID_IMAGE,
            Error::InvalidOption(_) | Error::Metric(_) => SOFTPATCH_INVALID_ARGUMENT,
            Error::Model { .. } => SOFTPATCH_MODEL,
            Error::Weights { .. } => SOFTPATCH_WEIGHTS,
            Error::Device(_) | Error::Lost(_) | Error::Memory(_) | Error::SelfTest(_) => SOFTPATCH_DEVICE,
            Error::Limit(_) => SOFTPATCH_LIMIT,
            Error::Cancelled => SOFTPATCH_CANCELLED,
            // `Error::Internal`, and kinds of later versions: whoever adds one says here what it is in C.
            _ => SOFTPATCH_INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<(softpatch_status, CString)> = RefCell::default();
}

/// Runs the body of an exported function: a failure or a panic becomes a code and the thread's last error. In
/// a forked process it does not run: locks may be shut for ever, and all that is dropped waits for threads.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> softpatch_status {
    let alone = process::check().map_err(|e| Failure::new(SOFTPATCH_FORKED, e.to_string()));
    let failure = match alone.map(|()| catch_unwind(AssertUnwindSafe(body))) {
        Ok(Ok(Ok(()))) => return SOFTPATCH_OK,
        Ok(Ok(Err(failure))) | Err(failure) => failure,
        Ok(Err(panic)) => {
            let failure = Error::from_panic(&*panic).into();
            // What a panic carries may panic again when dropped; it is a text in practice.
            std::mem::forget(panic);
            failure
        }
    };
    let text = CString::new(failure.text.replace('\0', " ")).unwrap_or_default();
    // A thread that is ending has no last error any more; the code is returned all the same.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = (failure.code, text);
        }
    });
    failure.code
}

/// The code of this thread's last call that failed; `SOFTPATCH_OK` where none did. A call that succeeds does
/// not reset it.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_last_error_code() -> softpatch_status {
    LAST.try_with(|last| last.try_borrow().map_or(SOFTPATCH_OK, |last| last.0)).unwrap_or(SOFTPATCH_OK)
}

/// What this thread's last call that failed has to say, in English; empty where none did. Never null; good
/// until the next call on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_last_error_message() -> *const c_char {
    let empty = c"".as_ptr();
    LAST.try_with(|last| last.try_borrow().map_or(empty, |last| last.1.as_ptr())).unwrap_or(empty)
}

/// A short English name of a status code, e.g. "invalid handle". Never null, good for ever.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_status_name(status: softpatch_status) -> *const c_char {
    let name: &CStr = match status {
        SOFTPATCH_OK => c"ok",
        SOFTPATCH_NULL_POINTER => c"null pointer",
        SOFTPATCH_INVALID_HANDLE => c"invalid handle",
        SOFTPATCH_INVALID_ARGUMENT => c"invalid argument",
        SOFTPATCH_BUFFER_TOO_SMALL => c"buffer too small",
        SOFTPATCH_INVALID_IMAGE => c"invalid image",
        SOFTPATCH_IO => c"input or output",
        SOFTPATCH_IMAGE_FILE => c"image file",
        SOFTPATCH_DATASET => c"data set",
        SOFTPATCH_MODEL => c"model",
        SOFTPATCH_WEIGHTS => c"weights",
        SOFTPATCH_DEVICE => c"device",
        SOFTPATCH_LIMIT => c"limit",
        SOFTPATCH_CANCELLED => c"cancelled",
        SOFTPATCH_BUSY => c"busy",
        SOFTPATCH_PENDING => c"pending",
        SOFTPATCH_EMPTY => c"empty",
        SOFTPATCH_INTERNAL => c"internal error",
        SOFTPATCH_CHOICE => c"choice of images",
        SOFTPATCH_FORKED => c"forked process",
        _ => c"unknown status",
    };
    name.as_ptr()
}

/// Version of the library, e.g. "0.1.0". Never null, good for ever.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// Version of this interface, counted up where a program has to be compiled anew. Compare it with
/// `SOFTPATCH_ABI_VERSION` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_abi_version() -> u32 {
    SOFTPATCH_ABI_VERSION
}

/// Version of the interface that this header describes.
pub const SOFTPATCH_ABI_VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_code_and_a_text() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let status = guard(|| panic!("the {} broke", "axle"));
        std::panic::set_hook(hook);
        assert_eq!((status, softpatch_last_error_code()), (SOFTPATCH_INTERNAL, SOFTPATCH_INTERNAL));
        // SAFETY: the message is good until the next call on this thread.
        let text = unsafe { CStr::from_ptr(softpatch_last_error_message()) };
        assert!(text.to_str().unwrap().contains("the axle broke"));
        assert_eq!(std::thread::spawn(|| softpatch_last_error_code()).join().unwrap(), SOFTPATCH_OK);
    }
}
