//! What the C ABI and the queue of a stream cost.

use super::*;

/// A frame straight through the Rust API, through the C ABI, and through a stream, in turns, whose order
/// rotates; the medians, and the median of each round's extra, which a machine that does other things too
/// disturbs less.
#[test]
#[ignore = "a measurement"]
fn the_abi_and_the_queue_cost_little() {
    let _turn = turn();
    let context = context();
    // The published size, not the tests': what matters is the share of a real frame.
    let training: Vec<_> = (0..6).map(|i| render(Material::Metal, None, i, 256).unwrap().0).collect();
    let device = Device::open(&DeviceOptions::default()).unwrap();
    let backbone = Backbone::embedded().unwrap();
    let options = FitOptions::default();
    let rust =
        Arc::new(Detector::fit(&device, &backbone, &MemorySource(&training), &options, &Quiet).unwrap());
    let bytes = rust.model().to_bytes().unwrap();
    let mut detector = 0;
    ok(unsafe { softpatch_detector_load_bytes(context, bytes.as_ptr(), bytes.len(), &mut detector) });
    let stream = Stream::new(rust.clone(), 1, Want::Maps).unwrap();
    let (view, c) = (training[0].as_image().unwrap(), c_image(&training[0]));
    let mut map = vec![0.0; (options.crop * options.crop) as usize];
    let mut rounds: Vec<[f64; 3]> = Vec::new();
    for round in 0..123 {
        let mut times = [0.0; 3];
        for turn in 0..3 {
            let kind = (round + turn) % 3;
            let began = Instant::now();
            match kind {
                0 => drop(rust.score(&[view]).unwrap()),
                1 => {
                    let mut result = softpatch_result::default();
                    let (map, len) = (map.as_mut_ptr(), map.len());
                    ok(unsafe { softpatch_score(detector, &c, SOFTPATCH_MAP_FRAME, map, len, &mut result) });
                }
                _ => {
                    stream.submit(&view).unwrap();
                    assert!(matches!(stream.wait(Duration::from_secs(60)), Waited::Finished(_)));
                }
            }
            times[kind] = began.elapsed().as_secs_f64() * 1e3;
        }
        if round >= 3 {
            rounds.push(times);
        }
    }
    let median = |of: &dyn Fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [bare, abi, queue] = [0, 1, 2].map(|kind| median(&|t| t[kind]));
    let extra = [1, 2].map(|kind| 100.0 * median(&|t| t[kind] - t[0]) / bare);
    println!(
        "{}: a frame takes {bare:.3} ms bare, {abi:.3} ms through the C ABI, {queue:.3} ms through a stream; \
         medians of the extra within a round: {:+.2} % and {:+.2} %",
        device.caps().adapter,
        extra[0],
        extra[1]
    );
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}
