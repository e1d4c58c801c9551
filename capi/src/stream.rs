//! Asynchronous scoring: submit frames, take results in order.

use crate::handles;
use crate::memory::{check, read, write};
use crate::model::{Loaded, softpatch_detector};
use crate::score::{map_buffer, map_size, softpatch_image, softpatch_result, want, write_score};
use crate::status::{
    Failure, SOFTPATCH_BUSY, SOFTPATCH_EMPTY, SOFTPATCH_INTERNAL, SOFTPATCH_PENDING, guard, softpatch_status,
};
use softpatch::detector::{Finished, Stream, Waited, Want};
use std::time::Duration;

/// A queue of frames in front of a detector. 0 is none.
pub type softpatch_stream = u64;

pub(crate) struct Streaming {
    stream: Stream,
}

impl handles::Handled for Streaming {
    const KIND: &'static str = "stream";
}

/// Makes a stream with at most `limit` frames in flight (1 to 4096), counting results that were not taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_stream_create(
    detector: softpatch_detector,
    limit: usize,
    stream: *mut softpatch_stream,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointer, by the crate's contract.
        unsafe { write(stream, 0, "stream") }?;
        let loaded = handles::get::<Loaded>(detector)?;
        let made = Streaming { stream: Stream::new(loaded.detector.clone(), limit, Want::Scores)? };
        // SAFETY: as above.
        unsafe { write(stream, handles::insert(made), "stream") }
    })
}

/// Copies a frame into the queue and returns at once. `ticket` (may be null) takes its number: 0, 1, 2, ...
///
/// `SOFTPATCH_BUSY` where as many frames as the limit allows are in flight; then nothing was taken in, and
/// whether to wait or to drop the frame is the caller's choice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_stream_submit(
    stream: softpatch_stream,
    frame: *const softpatch_image,
    ticket: *mut u64,
) -> softpatch_status {
    guard(|| {
        let streaming = handles::get::<Streaming>(stream)?;
        // SAFETY: the caller's pointers, by the crate's contract.
        let image = unsafe { read(frame, "frame")?.borrow("frame") }?;
        if !ticket.is_null() {
            check(ticket, "ticket")?;
        }
        let given =
            streaming.stream.submit(&image).map_err(|e| Failure::new(SOFTPATCH_BUSY, e.to_string()))?;
        if !ticket.is_null() {
            // SAFETY: as above.
            unsafe { write(ticket, given, "ticket") }?;
        }
        Ok(())
    })
}

/// Takes the oldest frame's result, waiting for it up to `timeout_ms` milliseconds (0: not at all), also
/// where no frame is in flight yet.
///
/// `SOFTPATCH_PENDING` where it is not done yet, `SOFTPATCH_EMPTY` where no frame is in flight. Any other
/// code but `SOFTPATCH_OK` and those for wrong arguments is what scoring the frame came to; `result->ticket`
/// says which frame, and its result is taken. Where `map` is null or too small the result stays, and can be
/// taken with a larger one. Map as in `softpatch_score`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_stream_wait(
    stream: softpatch_stream,
    timeout_ms: u64,
    map_kind: u32,
    map: *mut f32,
    map_len: usize,
    result: *mut softpatch_result,
) -> softpatch_status {
    guard(|| {
        let streaming = handles::get::<Streaming>(stream)?;
        let (stream, detector) = (&streaming.stream, streaming.stream.detector());
        check(result, "result")?;
        map_size(detector, map_kind, [1, 1])?;
        let mut room = None;
        let fits = |finished: &Finished| {
            let size =
                if finished.score.is_ok() { map_size(detector, map_kind, finished.size) } else { Ok([0, 0]) };
            // SAFETY: the caller's pointers, by the crate's contract.
            let fit = size.and_then(|size| Ok((size, unsafe { map_buffer(map, map_len, size, "map") }?)));
            room.insert(fit).is_ok()
        };
        let waited = stream.wait_if(Duration::from_millis(timeout_ms), fits);
        let finished = match (waited, room) {
            (Waited::Finished(finished), Some(Ok(room))) => (finished, room),
            (_, Some(Err(failure))) => return Err(failure),
            (Waited::Empty, _) => return Err(Failure::new(SOFTPATCH_EMPTY, "no frame is in flight")),
            (Waited::Pending, _) => {
                return Err(Failure::new(SOFTPATCH_PENDING, "the oldest frame is not done yet"));
            }
            (Waited::Finished(_), None) => {
                return Err(Failure::new(SOFTPATCH_INTERNAL, "a result came without a look at it"));
            }
        };
        let (Finished { ticket, latency, score, .. }, (map_size, out)) = finished;
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut values = softpatch_result { ticket, latency_ns, verdict: -1, ..Default::default() };
        // What map is wanted is known only here.
        let score = score.and_then(|score| detector.complete(score, want(map_kind)));
        let outcome = score.map_err(Failure::from).map(|score| {
            values = softpatch_result { ticket, latency_ns, ..write_score(&score, map_kind, map_size, out) };
        });
        // SAFETY: as above.
        unsafe { write(result, values, "result") }?;
        outcome
    })
}

/// Takes a frame back that still waits: no result will come for it. `discarded` takes 1, or 0 where the frame
/// is being scored, is done, or was never submitted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_stream_discard(
    stream: softpatch_stream,
    ticket: u64,
    discarded: *mut u32,
) -> softpatch_status {
    guard(|| {
        let streaming = handles::get::<Streaming>(stream)?;
        check(discarded, "discarded")?;
        let done = streaming.stream.discard(ticket);
        // SAFETY: the caller's pointer, by the crate's contract.
        unsafe { write(discarded, u32::from(done), "discarded") }
    })
}

/// Number of frames that were submitted and whose results were not taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_stream_in_flight(
    stream: softpatch_stream,
    count: *mut usize,
) -> softpatch_status {
    guard(|| {
        let streaming = handles::get::<Streaming>(stream)?;
        // SAFETY: the caller's pointer, by the crate's contract.
        unsafe { write(count, streaming.stream.in_flight(), "count") }
    })
}

/// Frees a stream: frames that wait are dropped, those being scored are waited for, and other threads that
/// wait for a result return.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_stream_free(stream: softpatch_stream) -> softpatch_status {
    guard(|| {
        let streaming = handles::remove::<Streaming>(stream)?;
        streaming.stream.close();
        Ok(())
    })
}
