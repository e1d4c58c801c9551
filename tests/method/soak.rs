//! Many frames through a stream while all that can go wrong does: nothing is lost, nothing overtakes, nothing
//! grows.

use crate::common::{faulty, turn};
use rand::{Rng, SeedableRng};
use softpatch::data::synth::{Material, render};
use softpatch::data::{Image, MemorySource, OwnedImage, PixelFormat};
use softpatch::detector::{Geometry, Stream, Waited, Want};
use softpatch::{Backbone, Detector, FitOptions, Quiet};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Resident memory of this process in MiB, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib >> 10)
}

/// What became of the frames of [`soak`].
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    submitted: u64,
    scored: u64,
    refused: u64,
    discarded: u64,
    dropped: u64,
}

/// Submits `frames` frames: some that cannot be scored, some taken back, with a consumer that sleeps at times and a
/// device that is lost now and then.
fn soak(frames: u64) -> Counts {
    let parts: Vec<OwnedImage> = (0..8).map(|i| render(Material::Gear, None, i, 64).unwrap().0).collect();
    let apart = (frames / 100).max(397);
    // Sparse enough that two losses do not meet in one batch.
    let lose: Vec<String> =
        (1..).map(|i| 40 + i * apart).take_while(|n| *n < frames / 2).map(|n| n.to_string()).collect();
    let faults = if lose.is_empty() { String::new() } else { format!("lose={}", lose.join(",")) };
    let (device, faults) = faulty(&faults);
    let fit = FitOptions { geometry: Geometry::Paper, resize: 64, crop: 64, ..FitOptions::default() }
        .coreset_ratio(0.05);
    let backbone = Backbone::embedded().unwrap();
    let detector = Detector::fit(&device, &backbone, &MemorySource(&parts), &fit, &Quiet).unwrap();
    let views: Vec<Image<'_>> = parts.iter().map(|p| p.as_image().unwrap()).collect();
    let whole: Vec<f32> = detector.score(&views).unwrap().iter().map(|s| s.score).collect();
    let thin = vec![0_u8; 600_000];
    let bad = Image::new(&thin, 600_000, 1, 600_000, PixelFormat::Gray8).unwrap();
    let stream = Stream::new(detector.into(), 16, Want::Scores).unwrap();

    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(frames);
    let (mut counts, mut expected) = (Counts::default(), BTreeMap::new());
    let (mut taken_back, mut last) = (BTreeSet::new(), None);
    let (began, mut marks) = (Instant::now(), Vec::new());
    let mut take = |counts: &mut Counts, expected: &mut BTreeMap<u64, usize>, timeout| -> bool {
        let Waited::Finished(finished) = stream.wait(timeout) else { return false };
        assert!(last.is_none_or(|last| finished.ticket > last), "{} after {last:?}", finished.ticket);
        last = Some(finished.ticket);
        let part = expected.remove(&finished.ticket).expect("a ticket that was given, once");
        match finished.score {
            Ok(score) => {
                assert!(part < parts.len(), "frame {}: {score:?}", finished.ticket);
                assert_eq!(score.score, whole[part], "frame {}, part {part} of {whole:?}", finished.ticket);
                counts.scored += 1;
            }
            Err(error) => {
                assert!(part == parts.len() && error.to_string().contains("600000"), "{error}");
                counts.refused += 1;
            }
        }
        true
    };
    while counts.submitted < frames {
        let part = if rng.random_bool(0.01) { parts.len() } else { rng.random_range(0..parts.len()) };
        let frame = if part == parts.len() { &bad } else { &views[part] };
        match stream.submit(frame) {
            Ok(ticket) => {
                counts.submitted += 1;
                expected.insert(ticket, part);
                if rng.random_bool(0.02) && stream.discard(ticket) {
                    assert!(taken_back.insert(ticket));
                    expected.remove(&ticket);
                    counts.discarded += 1;
                }
            }
            Err(_) => {
                counts.dropped += 1;
                take(&mut counts, &mut expected, Duration::from_secs(60));
            }
        }
        if rng.random_bool(0.3) {
            take(&mut counts, &mut expected, Duration::ZERO);
        }
        if rng.random_bool(0.0005) {
            std::thread::sleep(Duration::from_millis(rng.random_range(1..40)));
        }
        if counts.submitted % (frames / 10).max(1) == 0
            && marks.last().is_none_or(|(n, _)| *n != counts.submitted)
        {
            marks.push((counts.submitted, resident()));
            println!("{} frames, {:?} MiB, {:.0?}", counts.submitted, resident(), began.elapsed());
        }
    }
    while !expected.is_empty() {
        assert!(
            take(&mut counts, &mut expected, Duration::from_secs(60)),
            "{} results never came",
            expected.len()
        );
    }
    assert_eq!(stream.in_flight(), 0);
    assert_eq!(counts.submitted, counts.scored + counts.refused + counts.discarded);
    // The first tenth fills what is kept from frame to frame; a driver keeps some MiB of every device that was.
    let losses =
        lose.iter().filter(|n| n.parse::<u64>().is_ok_and(|n| n <= faults.submissions())).count() as u64;
    println!("{counts:?}, {losses} losses, {} submissions", faults.submissions());
    if let (Some((_, Some(first))), Some((_, Some(last)))) = (marks.get(1), marks.last()) {
        assert!(*last <= first + first / 10 + 32 + 10 * losses, "memory grew: {marks:?}, {losses} losses");
    }
    counts
}

#[test]
fn a_stream_survives_what_can_happen() {
    let _turn = turn();
    let counts = soak(2_500);
    assert!(counts.refused > 5 && counts.discarded > 5, "{counts:?}");
}

/// `SOAK_FRAMES=200000 cargo test --release --test method -- --ignored --nocapture a_long_soak`
#[test]
#[ignore = "takes as long as is asked for"]
fn a_long_soak() {
    let _turn = turn();
    let frames = std::env::var("SOAK_FRAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    soak(frames);
}
