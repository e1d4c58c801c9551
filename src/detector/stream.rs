//! Frames in, scores out, in order: a queue with a limit in front of a detector.

use super::persist::Tries;
use super::{Detector, Score, Want};
use crate::data::{Frame, Image};
use crate::process::{self, OfProcess};
use crate::{Error, Result};
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of a submitted frame: 0, 1, 2, ... in the order of submission.
pub type Ticket = u64;

/// As many frames as the limit allows are in flight: take a result, or drop the frame. It was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("busy: {limit} frames are in flight; take a result first, or drop the frame")]
pub struct Busy {
    /// Frames that may be in flight.
    pub limit: usize,
}

/// The result of a frame.
#[derive(Debug)]
pub struct Finished {
    /// The frame.
    pub ticket: Ticket,
    /// Width and height of the frame.
    pub size: [u32; 2],
    /// From submission to the result.
    pub latency: Duration,
    /// What [`Detector::score`] says of the frame; [`Error::Internal`] where it panicked.
    pub score: Result<Score>,
}

/// What waiting for a result came to.
#[derive(Debug)]
pub enum Waited {
    /// The oldest frame's result, taken out.
    Finished(Finished),
    /// The oldest frame is not done yet.
    Pending,
    /// No frame is in flight.
    Empty,
}

struct Waiting {
    ticket: Ticket,
    frame: Frame,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// Submitted, not begun.
    queue: VecDeque<Waiting>,
    /// Being copied in, or with the worker.
    busy: usize,
    /// Results not yet taken.
    finished: VecDeque<Finished>,
    /// Memory of frames that are done.
    spare: Vec<Frame>,
    next: Ticket,
    closed: bool,
}

impl State {
    fn in_flight(&self) -> usize {
        self.queue.len() + self.busy + self.finished.len()
    }
}

struct Shared {
    detector: Arc<Detector>,
    want: Want,
    limit: usize,
    state: Mutex<State>,
    submitted: Condvar,
    done: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker: takes what waits, up to a batch, and submits it before it waits for the batch before, so
    /// that packing one goes on while the device works on the other; hands the results over in order.
    fn work(&self) {
        let mut flying: Option<(Vec<Waiting>, u64)> = None;
        loop {
            // Less than at first where memory has run out since.
            let most = self.detector.most().unwrap_or(1);
            let mut state = self.state();
            while state.queue.is_empty() && !state.closed && flying.is_none() {
                state = self.submitted.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let closed = state.closed;
            let count = if closed { 0 } else { state.queue.len().min(most) };
            let batch: Vec<Waiting> = state.queue.drain(..count).collect();
            state.busy += count;
            drop(state);

            let images: Vec<Image<'_>> = batch.iter().map(|w| w.frame.as_image()).collect();
            let begun = (count > 0).then(|| caught(|| self.detector.begin(&images, self.want)));
            if let Some((batch, ticket)) = flying.take() {
                let scores = caught(|| self.detector.finish(ticket, self.want));
                self.deliver(batch, scores);
            }
            match begun {
                Some(Ok(ticket)) => flying = Some((batch, ticket)),
                Some(Err(error)) => self.deliver(batch, Err(error)),
                None => {}
            }
            if closed {
                return;
            }
        }
    }

    /// Hands over the results of a batch.
    fn deliver(&self, batch: Vec<Waiting>, scores: Result<Vec<Score>>) {
        let scores = match scores {
            // Its device was lost, or has too little memory: once more, on the one in its place.
            Err(error) if Tries::mend(&error) => {
                let images: Vec<Image<'_>> = batch.iter().map(|w| w.frame.as_image()).collect();
                caught(|| self.detector.score_with(&images, self.want))
            }
            first => first,
        };
        let scores = match scores {
            Ok(scores) => scores.into_iter().map(Ok).collect(),
            Err(error) if batch.len() == 1 => vec![Err(error)],
            // Frame by frame would not be better.
            Err(Error::Lost(reason)) => batch.iter().map(|_| Err(Error::Lost(reason.clone()))).collect(),
            Err(Error::Memory(reason)) => batch.iter().map(|_| Err(Error::Memory(reason.clone()))).collect(),
            // One bad frame must not take the others with it.
            Err(_) => batch
                .iter()
                .map(|w| {
                    let one = caught(|| self.detector.score_with(&[w.frame.as_image()], self.want))?.pop();
                    one.ok_or_else(|| Error::Internal("no score for a frame".into()))
                })
                .collect::<Vec<_>>(),
        };
        let now = Instant::now();
        let mut state = self.state();
        state.busy -= batch.len();
        for (Waiting { ticket, frame, since }, score) in batch.into_iter().zip(scores) {
            let size = [frame.as_image().width(), frame.as_image().height()];
            state.finished.push_back(Finished { ticket, size, latency: now - since, score });
            state.spare.push(frame);
        }
        drop(state);
        self.done.notify_all();
    }
}

/// Runs `f` and makes an error of a panic.
fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(Error::from_panic(&*panic)))
}

/// Frames in flight to a detector. `Send + Sync`: one thread may submit while another takes results.
///
/// At most `limit` frames are in flight, counting results not yet taken; past it [`Stream::submit`] says
/// [`Busy`]. Nothing is dropped and nothing overtakes. A worker thread scores whatever waits, several frames
/// at a time where several wait, and packs the next while the device is busy. Dropping the stream drops
/// frames that wait, and waits for those being scored. In a process that was forked after the stream was made
/// no frame is taken in, and whoever waits for one gets an [`Error::Device`] in its place.
///
/// ```no_run
/// use softpatch::data::{Frame, Image, PixelFormat};
/// use softpatch::detector::{Stream, Want};
/// # fn camera() -> impl Iterator<Item = Frame> { std::iter::empty() }
/// # fn main() {}
/// # fn inspect(device: softpatch::Device, backbone: softpatch::Backbone) -> softpatch::Result<()> {
/// let detector = softpatch::Detector::load(&device, &backbone, "part.safetensors".as_ref())?;
/// let stream = Stream::new(detector.into(), 4, Want::Maps)?;
/// // One by one, each frame's latency known, and whether to drop one when busy decided here ...
/// let pixels = vec![0; 640 * 480];
/// if stream.submit(&Image::new(&pixels, 640, 480, 640, PixelFormat::Gray8)?).is_err() {
///     println!("a frame was dropped");
/// }
/// // ... or from an iterator to an iterator.
/// for finished in stream.scores(camera()) {
///     println!("{}: {} after {:?}", finished.ticket, finished.score?.score, finished.latency);
/// }
/// # Ok(()) }
/// ```
pub struct Stream {
    shared: Arc<Shared>,
    worker: OfProcess<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("limit", &self.shared.limit).finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream with at most `limit` frames in flight, whose scores have as much as is wanted.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `limit` is 0 or over 4096, [`Error::Limit`] where the system gives no
    /// thread, [`Error::Device`] where the detector is that of the process which this one was forked from.
    pub fn new(detector: Arc<Detector>, limit: usize, want: Want) -> Result<Self> {
        if !(1..=4096).contains(&limit) {
            return Err(Error::InvalidOption(format!("{limit} frames in flight, it must be 1 to 4096")));
        }
        process::check()?;
        let shared = Arc::new(Shared {
            detector,
            want,
            limit,
            state: Mutex::default(),
            submitted: Condvar::new(),
            done: Condvar::new(),
        });
        let theirs = shared.clone();
        let worker = std::thread::Builder::new()
            .name("softpatch-stream".into())
            .spawn(move || theirs.work())
            .map_err(|e| Error::Limit(format!("no thread for the stream: {e}")))?;
        Ok(Self { shared, worker: OfProcess::new(Some(worker)) })
    }

    /// Copies `frame` into the queue and returns at once.
    ///
    /// # Errors
    /// [`Busy`] at the limit; the frame was not copied then.
    pub fn submit(&self, frame: &Image<'_>) -> Result<Ticket, Busy> {
        if process::is_forked() {
            return Err(Busy { limit: self.shared.limit });
        }
        let since = Instant::now();
        let mut state = self.shared.state();
        if state.in_flight() >= self.shared.limit || state.closed {
            return Err(Busy { limit: self.shared.limit });
        }
        state.busy += 1;
        let spare = state.spare.pop();
        drop(state);
        let frame = match spare {
            Some(mut spare) => {
                spare.refill(frame);
                spare
            }
            None => Frame::copy_of(frame),
        };
        let mut state = self.shared.state();
        state.busy -= 1;
        let ticket = state.next;
        state.next += 1;
        state.queue.push_back(Waiting { ticket, frame, since });
        drop(state);
        self.shared.submitted.notify_one();
        Ok(ticket)
    }

    /// The oldest frame's result if it is there.
    pub fn poll(&self) -> Waited {
        self.wait(Duration::ZERO)
    }

    /// The oldest frame's result, waiting for it up to `timeout`, also where no frame is in flight yet.
    pub fn wait(&self, timeout: Duration) -> Waited {
        self.wait_if(timeout, |_| true)
    }

    /// As [`Stream::wait`], but the result is taken only where `take` agrees after a look at it; else it
    /// stays the oldest, and [`Waited::Pending`] comes back.
    pub fn wait_if(&self, timeout: Duration, mut take: impl FnMut(&Finished) -> bool) -> Waited {
        if let Err(error) = process::check() {
            let finished =
                Finished { ticket: Ticket::MAX, size: [0; 2], latency: Duration::ZERO, score: Err(error) };
            return if take(&finished) { Waited::Finished(finished) } else { Waited::Pending };
        }
        let state = self.shared.state();
        let (mut state, _) = self
            .shared
            .done
            .wait_timeout_while(state, timeout, |s| s.finished.is_empty() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.finished.front().is_some_and(&mut take)
            && let Some(finished) = state.finished.pop_front()
        {
            return Waited::Finished(finished);
        }
        if state.in_flight() == 0 { Waited::Empty } else { Waited::Pending }
    }

    /// Takes a frame back that still waits: no result will come for it. `false` where it is being scored, is
    /// done, or was never submitted.
    pub fn discard(&self, ticket: Ticket) -> bool {
        if process::is_forked() {
            return false;
        }
        let mut state = self.shared.state();
        let Some(at) = state.queue.iter().position(|w| w.ticket == ticket) else { return false };
        let frame = state.queue.remove(at).map(|w| w.frame);
        state.spare.extend(frame);
        true
    }

    /// Frames that were submitted and whose results were not taken.
    pub fn in_flight(&self) -> usize {
        if process::is_forked() { 0 } else { self.shared.state().in_flight() }
    }

    /// Frames that may be in flight.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// The detector that scores.
    pub fn detector(&self) -> &Arc<Detector> {
        &self.shared.detector
    }

    /// Takes no more frames, drops those that wait, and wakes every waiting thread.
    pub fn close(&self) {
        if process::is_forked() {
            return;
        }
        let mut state = self.shared.state();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.submitted.notify_all();
        self.shared.done.notify_all();
    }

    /// Scores all of `frames`, keeping the stream full, as an iterator over the results in order. Nothing
    /// else should submit to or take from the stream meanwhile.
    pub fn scores<I>(&self, frames: I) -> Scores<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<Frame>,
    {
        Scores { stream: self, frames: frames.into_iter(), held: None, ended: false }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if process::is_forked() {
            return;
        }
        self.close();
        if let Some(worker) = self.worker.take() {
            // Its panics were caught one by one.
            let _ = worker.join();
        }
    }
}

/// Results of an iterator of frames, see [`Stream::scores`].
#[derive(Debug)]
pub struct Scores<'a, I: Iterator> {
    stream: &'a Stream,
    frames: I,
    /// Did not fit yet.
    held: Option<I::Item>,
    /// Whether the only result that a forked process gets was given.
    ended: bool,
}

impl<I> Iterator for Scores<'_, I>
where
    I: Iterator,
    I::Item: Borrow<Frame>,
{
    type Item = Finished;

    fn next(&mut self) -> Option<Finished> {
        if std::mem::replace(&mut self.ended, process::is_forked()) {
            return None;
        }
        while let Some(frame) = self.held.take().or_else(|| self.frames.next()) {
            if self.stream.submit(&frame.borrow().as_image()).is_err() {
                self.held = Some(frame);
                break;
            }
        }
        loop {
            match self.stream.wait(Duration::from_millis(100)) {
                Waited::Finished(finished) => return Some(finished),
                Waited::Empty => return None,
                Waited::Pending if self.stream.shared.state().closed => return None,
                Waited::Pending => {}
            }
        }
    }
}
