//! Every case of the roofline computes what it claims to time; how fast is nobody's business here.

use crate::common::{direct, serial};
use softpatch::backbone::efficientnet_lite;
use softpatch::roofline::{Make, Scale, backbone, measure, method, probe};

#[test]
fn every_case_gives_right_answers_and_counts_its_work() {
    let _guard = serial();
    let scale = Scale { batch: 1, large: false };
    let network = efficientnet_lite(0).with_taps(&["block4"]).unwrap();
    // Without the injected checks, as the program runs.
    let (name, device) = direct();
    let mut makes: Vec<Make> = backbone(&network, scale, false).unwrap();
    let convolutions: u32 = makes.iter().map(|make| make(device).unwrap().count).sum();
    assert_eq!(convolutions as usize, network.layers.len());
    makes.extend(backbone(&network, scale, true).unwrap().into_iter().take(4));
    makes.extend(method(scale));
    let roof = probe(device).unwrap();
    assert!(roof.f32 > 0.0 && roof.bandwidth > 0.0 && roof.f16.is_some() == device.caps().f16);
    for make in makes {
        let case = make(device).unwrap();
        let row = measure(device, &roof, &case).unwrap();
        assert!(row.passed(), "{name} {row:?}");
        assert!(row.seconds > 0.0 && row.gflops > 0.0 && row.gbs > 0.0 && row.runs > 0, "{name} {row:?}");
        let first = row.variant.split(['+', ' ', ',']).next().unwrap_or_default();
        assert!(softpatch::gpu::shaders::text(first).is_some(), "{name} {row:?}");
    }
}
