//! The C library: `include/softpatch.h`, generated from this crate, over the public API of [`softpatch`].
//!
//! **Handles** are numbers, looked up in a table of live handles on every call and never given twice, so a
//! handle that was freed, never given, or is of another kind yields [`SOFTPATCH_INVALID_HANDLE`] rather than
//! undefined behaviour. That table and the last error of each thread are the only state of the process; there
//! is no global setting, device or model.
//!
//! **Pointers**: null is refused with [`SOFTPATCH_NULL_POINTER`] unless the function says that it may be
//! null. A pointer that is not null must be good for the length that comes with it until the function
//! returns; that is the one thing that cannot be checked here. Nothing is kept after a function returns:
//! pixels are copied where they are needed longer. Strings are UTF-8 and end with a zero byte.
//!
//! **Texts** of any length, JSON documents all, are handles, too: [`softpatch_text_copy`] copies one as often
//! as it is wanted, [`softpatch_text_free`] frees it.
//!
//! **Threads**: every handle may be used from every thread at once, and may be freed while other threads use
//! it (their calls finish first, or fail with an invalid handle). Calls that score with the same detector
//! take turns. Detectors of one context share its device. The last error belongs to the thread whose call
//! failed.
//!
//! **Growth**: the options structs begin with their size and only grow at the end, so a program built with an
//! earlier header works with a later library; what its struct lacks has the default. Other structs never
//! change: what is new to know about a model or a device comes in the JSON texts. A new setting needs no new
//! function.
//!
//! **Forks**: in a process that was forked from one which had used the library, every function does nothing
//! but return [`SOFTPATCH_FORKED`]: the driver's threads are not there.
//!
//! **Panics** do not cross the border: they become [`SOFTPATCH_INTERNAL`]. A callback must return: it may
//! neither throw an exception nor `longjmp` out.
//!
//! Every function that can fail returns a [`softpatch_status`], and writes its results only where that is
//! [`SOFTPATCH_OK`] (handles are set to 0 on failure, and `needed` is also set where a buffer is too small).
#![warn(missing_docs)]
#![allow(non_camel_case_types, reason = "types have in Rust the names that they have in C")]
#![allow(
    clippy::missing_safety_doc,
    reason = "one contract for every function, the one about pointers in the text of the crate"
)]
#![allow(
    clippy::missing_errors_doc,
    reason = "every function returns a status; the codes say what they mean"
)]

mod audit;
mod calibrate;
mod choices;
mod context;
mod edit;
mod explain;
mod fit;
mod fit_options;
mod handles;
mod memory;
mod model;
mod regions;
mod score;
mod shards;
mod status;
mod stream;
mod texts;
mod training;
mod watch;

pub use audit::*;
pub use calibrate::*;
pub use choices::*;
pub use context::*;
pub use edit::*;
pub use explain::*;
pub use fit::*;
pub use fit_options::*;
pub use model::*;
pub use regions::*;
pub use score::*;
pub use shards::*;
pub use status::*;
pub use stream::*;
pub use texts::*;
pub use watch::*;
