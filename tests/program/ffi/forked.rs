//! A process that forks after it used the library: errors in the child, at once, and nothing that hangs.

use super::*;
use softpatch::Error;
use std::time::Duration;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
}

/// Runs `body` in a fork of this process; whether it came to its end without a panic, and in time.
fn in_a_fork(body: impl FnOnce()) -> bool {
    const WNOHANG: i32 = 1;
    const SIGKILL: i32 = 9;
    let pid = unsafe { fork() };
    assert!(pid >= 0, "no fork");
    if pid == 0 {
        // As any program ends, with what drivers have to say to that.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        std::process::exit(i32::from(outcome.is_err()));
    }
    let (began, mut status) = (Instant::now(), -1);
    while began.elapsed() < Duration::from_secs(60) {
        if unsafe { waitpid(pid, &mut status, WNOHANG) } == pid {
            println!("the child took {:?} and came to {status}", began.elapsed());
            return status == 0;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    unsafe {
        kill(pid, SIGKILL);
        waitpid(pid, &mut status, 0);
    }
    println!("the child hangs");
    false
}

fn is_told<T>(result: Result<T, Error>) {
    match result {
        Err(Error::Device(reason)) => assert!(reason.contains("forked"), "{reason}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn a_forked_process_is_told() {
    // A lock that another test's thread held would be held in the child for good.
    let _turn = alone();
    let (bytes, detector) = fitted();
    let detector = detector.clone();
    let (device, backbone) = (detector.device().clone(), Backbone::embedded().unwrap());
    let (frame, training) = (&frames(1)[0], images(6));
    let view = frame.as_image();
    let expected = detector.score_one(&view, Want::Maps).unwrap();
    let model = || Model::from_bytes(bytes, "<memory>".as_ref()).unwrap();
    let own = Detector::new(&device, &backbone, model()).unwrap();
    let stream = Stream::new(detector.clone(), 4, Want::Maps).unwrap();
    stream.submit(&view).unwrap();
    let job = FitJob::start(&device, &backbone, MemorySource(training), &options()).unwrap();
    // What the child drops is the parent's no less: it has a copy of the memory.
    let mut held = Some((own, stream, job));
    let fine = in_a_fork(|| {
        let (own, stream, job) = held.take().unwrap();
        is_told(Device::open(&DeviceOptions::default()));
        assert!(softpatch::adapters().is_empty());
        is_told(device.wait());
        is_told(Detector::new(&device, &backbone, model()));
        let source = MemorySource(images(2));
        is_told(Detector::fit(&device, &backbone, &source, &options(), &Quiet));
        is_told(FitJob::start(&device, &backbone, source, &options()));
        is_told(own.score(&[view]));
        is_told(own.score_one(&view, Want::Maps));
        is_told(own.score_with(&[view], Want::Scores));
        is_told(own.profile(&[view]));
        is_told(Stream::new(detector.clone(), 1, Want::Maps));
        assert_eq!(stream.submit(&view), Err(Busy { limit: 4 }));
        let Waited::Finished(finished) = stream.wait(Duration::from_secs(60)) else { panic!("no result") };
        is_told(finished.score);
        let mut scores = stream.scores([frame, frame]);
        is_told(scores.next().unwrap().score);
        assert!(scores.next().is_none());
        assert!(!stream.discard(0));
        assert_eq!(stream.in_flight(), 0);
        assert!(job.is_finished() && job.next_event(Duration::from_secs(60)).is_none());
        is_told(job.wait());
        drop((own, stream));
    });
    assert!(fine);
    let (own, stream, job) = held.take().unwrap();
    assert_eq!(own.score_one(&view, Want::Maps).unwrap(), expected);
    assert!(matches!(stream.wait(Duration::from_secs(60)), Waited::Finished(f) if f.score.is_ok()));
    job.wait().unwrap();
}
