//! A line camera simulated: frames from a folder at a given rate, one after the other, scored as they come.
//!
//! `cargo run --release --example line_camera -- MODEL FOLDER [FRAMES_PER_SECOND] [FRAMES] [IN_FLIGHT]`
//!
//! A real camera does not wait: a frame that comes while the stream is busy is dropped here, by this
//! program's own choice, and counted.

use softpatch::data::{FileSource, Frame, ImageSource, list_images};
use softpatch::detector::{Backbone, Detector, Finished, Stream, Waited, Want};
use softpatch::{Device, DeviceOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn number(args: &[String], at: usize, default: f64) -> Result<f64, String> {
    args.get(at).map_or(Ok(default), |a| a.parse().map_err(|_| format!("'{a}' is not a number")))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, ..] = args.as_slice() else {
        return Err("usage: line_camera MODEL FOLDER [FRAMES_PER_SECOND] [FRAMES] [IN_FLIGHT]".into());
    };
    let rate = number(&args, 2, 25.0)?.clamp(0.01, 1e6);
    let count = number(&args, 3, 100.0)? as usize;
    let limit = number(&args, 4, 4.0)? as usize;

    let device = Device::open(&DeviceOptions::default())?;
    let detector = Detector::load(&device, &backbone()?, Path::new(model))?;
    // Decoded as the training images were.
    let source = FileSource::new(list_images(folder)?.images, detector.info().options.decode());
    if source.is_empty() {
        return Err(format!("{folder}: no images").into());
    }
    let frames = (0..source.len().min(32))
        .map(|i| Ok(Frame::copy_of(&source.load(i)?.as_image()?)))
        .collect::<softpatch::Result<Vec<_>>>()?;
    println!("{} frames on {}", frames.len(), device.caps().adapter);
    // Pipelines are built at the first frames, for each number of frames that may come together.
    let batch: Vec<_> = frames.iter().cycle().take(limit).map(Frame::as_image).collect();
    for together in 1..=limit {
        detector.score_with(&batch[..together], Want::Scores)?;
    }

    let stream = Stream::new(Arc::new(detector), limit, Want::Scores)?;
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (dropped, finished) = std::thread::scope(|scope| {
        let camera = scope.spawn(|| {
            let mut dropped = 0;
            for i in 0..count {
                let due = began + Duration::from_secs_f64(i as f64 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                dropped += usize::from(stream.submit(&frames[i % frames.len()].as_image()).is_err());
            }
            over.store(true, Ordering::Release);
            dropped
        });
        let mut results: Vec<Finished> = Vec::new();
        loop {
            let last = over.load(Ordering::Acquire);
            match stream.wait(Duration::from_millis(50)) {
                Waited::Finished(finished) => results.push(finished),
                Waited::Empty if last => break,
                Waited::Empty | Waited::Pending => {}
            }
        }
        (camera.join().unwrap_or(0), results)
    });

    let seconds = began.elapsed().as_secs_f64();
    assert!(finished.iter().enumerate().all(|(i, f)| f.ticket == i as u64), "results came out of order");
    let mut latencies: Vec<Duration> = finished.iter().map(|f| f.latency).collect();
    latencies.sort_unstable();
    let percentile = |p: usize| {
        let at = (latencies.len() * p / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, |l| 1e3 * l.as_secs_f64())
    };
    let (mut anomalous, mut normal, mut failed) = (0, 0, 0);
    for f in &finished {
        match &f.score {
            Ok(score) if score.anomalous == Some(true) => anomalous += 1,
            Ok(_) => normal += 1,
            Err(error) => {
                eprintln!("frame {}: {error}", f.ticket);
                failed += 1;
            }
        }
    }
    println!("{count} frames at {rate}/s in {seconds:.1} s: {} scored, {dropped} dropped", finished.len());
    println!(
        "latency p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        percentile(50),
        percentile(95),
        percentile(99)
    );
    println!("verdicts: {normal} normal, {anomalous} anomalous, {failed} failed");
    Ok(())
}

#[cfg(feature = "embedded-weights")]
fn backbone() -> softpatch::Result<Backbone> {
    Backbone::embedded()
}

/// Without weights in the library they come from the file that this variable names.
#[cfg(not(feature = "embedded-weights"))]
fn backbone() -> softpatch::Result<Backbone> {
    let path = std::env::var("SOFTPATCH_WEIGHTS").unwrap_or_default();
    Backbone::open(Path::new(&path), None, None)
}
