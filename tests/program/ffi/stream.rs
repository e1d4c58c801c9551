//! Streams, from Rust and through the C ABI.

use super::*;

#[test]
fn a_stream_keeps_order_and_loses_nothing() {
    let _turn = turn();
    let stream = Stream::new(fitted().1.clone(), 4, Want::Maps).unwrap();
    let frames = frames(7);
    let views: Vec<_> = frames.iter().map(Frame::as_image).collect();
    let expected = fitted().1.score(&views).unwrap();
    let (mut taken, mut busy) = (0, 0);
    let check = |finished: softpatch::detector::Finished, at: &mut u64| {
        assert_eq!(finished.ticket, *at);
        assert_eq!(finished.score.unwrap(), expected[(*at % 7) as usize]);
        *at += 1;
    };
    for n in 0..300_u64 {
        loop {
            match stream.submit(&views[(n % 7) as usize]) {
                Ok(ticket) => break assert_eq!(ticket, n),
                Err(Busy { limit: 4 }) => busy += 1,
                Err(other) => panic!("{other}"),
            }
            assert_eq!(stream.in_flight(), 4);
            match stream.wait(Duration::from_secs(60)) {
                Waited::Finished(finished) => check(finished, &mut taken),
                other => panic!("{other:?}"),
            }
        }
    }
    while stream.in_flight() > 0 {
        if let Waited::Finished(finished) = stream.wait(Duration::from_secs(60)) {
            check(finished, &mut taken);
        }
    }
    assert!(matches!(stream.poll(), Waited::Empty));
    assert!(taken == 300 && busy > 0, "{taken} results, {busy} times busy");

    // As an iterator.
    let mut at = 300;
    for finished in stream.scores(frames.iter().cycle().skip(300 % 7).take(30)) {
        assert_eq!((finished.ticket, finished.size), (at, [SIZE; 2]));
        check(finished, &mut at);
    }
    assert_eq!(at, 330);
}

#[test]
fn a_frame_that_fails_takes_no_other_with_it_and_discarding_is_the_callers_choice() {
    let _turn = turn();
    let stream = Stream::new(fitted().1.clone(), 16, Want::Maps).unwrap();
    let good = &frames(1)[0];
    // So long that it has no size once its shorter side is brought to the crop's.
    let long = vec![0_u8; 70_000_000];
    let bad = Image::new(&long, 70_000_000, 1, 70_000_000, PixelFormat::Gray8).unwrap();
    assert!(fitted().1.score(&[bad]).is_err());
    for i in 0..6 {
        stream.submit(&if i == 2 { bad } else { good.as_image() }).unwrap();
    }
    let last = stream.submit(&good.as_image()).unwrap();
    let gone = stream.discard(last);
    assert!(!stream.discard(99));
    let mut outcomes = Vec::new();
    while stream.in_flight() > 0 {
        if let Waited::Finished(finished) = stream.wait(Duration::from_secs(60)) {
            outcomes.push((finished.ticket, finished.score.is_ok()));
        }
    }
    let expected: Vec<_> = (0..if gone { 6 } else { 7 }).map(|i| (i, i != 2)).collect();
    assert_eq!(outcomes, expected);
}

#[test]
fn one_thread_submits_while_another_takes() {
    let _turn = turn();
    let context = context();
    let detector = load(context);
    let mut stream = 0;
    ok(unsafe { softpatch_stream_create(detector, 3, &mut stream) });
    let busy = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let owned = &images(1)[0];
            for n in 0..100 {
                let mut ticket = 0;
                while unsafe { softpatch_stream_submit(stream, &c_image(owned), &mut ticket) } != SOFTPATCH_OK
                {
                    assert_eq!(softpatch_last_error_code(), SOFTPATCH_BUSY);
                    busy.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
                assert_eq!(ticket, n);
            }
        });
        scope.spawn(|| {
            let mut map = vec![0.0; (SIZE * SIZE) as usize];
            for n in 0..100 {
                let mut result = softpatch_result::default();
                let (kind, len) = (SOFTPATCH_MAP_SOURCE, map.len());
                ok(unsafe {
                    softpatch_stream_wait(stream, 60_000, kind, map.as_mut_ptr(), len, &mut result)
                });
                assert_eq!((result.ticket, result.map_width), (n, SIZE));
            }
        });
    });
    assert!(busy.load(Ordering::Relaxed) > 0);
    // A thread that waits is woken when the stream goes.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut result = softpatch_result::default();
            unsafe { softpatch_stream_wait(stream, 60_000, 0, null_mut(), 0, &mut result) }
        });
        std::thread::sleep(Duration::from_millis(100));
        ok(softpatch_stream_free(stream));
        assert!([SOFTPATCH_EMPTY, SOFTPATCH_INVALID_HANDLE].contains(&waiter.join().unwrap()));
    });
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}

/// 10 000 frames with 4 in flight; minutes on a software driver. Run with `--ignored --nocapture` for the
/// figures.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_frames_leave_memory_flat() {
    let _turn = turn();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).map(str::to_owned);
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let stream = Stream::new(fitted().1.clone(), 4, Want::Maps).unwrap();
    let frames = frames(5);
    let (mut at, mut first, began) = (0, 0, Instant::now());
    for finished in stream.scores(frames.iter().cycle().take(10_000)) {
        assert_eq!(finished.ticket, at);
        finished.score.unwrap();
        at += 1;
        if at == 1000 {
            first = resident();
        }
        if at % 1000 == 0 {
            println!("{at} frames: {} KiB resident, {:?}", resident(), began.elapsed());
        }
    }
    assert_eq!(at, 10_000);
    assert!(resident() as f64 <= 1.05 * first as f64, "{first} KiB grew to {} KiB", resident());
}
