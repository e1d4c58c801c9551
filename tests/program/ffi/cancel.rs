//! A fit that its callback cancels.

use super::*;

struct Plan {
    stage: u32,
    since: Option<Instant>,
    /// Calls after the one that cancelled.
    after: u32,
}

unsafe extern "C" fn cancel(user: *mut c_void, stage: u32, done: u64, _: u64) -> i32 {
    let plan = unsafe { &mut *user.cast::<Plan>() };
    plan.after += u32::from(plan.since.is_some());
    // In the midst of the features; of the other stages the beginning is what comes for sure.
    if stage < plan.stage || (stage == SOFTPATCH_STAGE_FEATURES && done == 0) {
        return 0;
    }
    assert_eq!(stage, plan.stage, "a stage was left out");
    plan.since.get_or_insert_with(Instant::now);
    1
}

/// The callback is not called again, and the call returns without waiting for the rest of the fit.
#[test]
fn a_cancelled_fit_returns_at_once_in_every_stage() {
    let _turn = turn();
    let context = context();
    let training = images(48);
    let c_images: Vec<_> = training.iter().map(c_image).collect();
    let mut c = c_options();
    c.coreset_ratio = 0.5;
    for stage in SOFTPATCH_STAGE_FEATURES..=SOFTPATCH_STAGE_CALIBRATE {
        let (mut plan, mut detector) = (Plan { stage, since: None, after: 0 }, 9);
        let (images, user) = (c_images.as_ptr(), (&raw mut plan).cast());
        let status = unsafe {
            softpatch_fit_images(context, images, c_images.len(), &c, Some(cancel), user, &mut detector)
        };
        fails(status, SOFTPATCH_CANCELLED);
        let took = plan.since.unwrap().elapsed();
        println!("stage {stage}: returned {took:?} after cancelling");
        // Half a second is promised; ten are no promise on a busy machine.
        assert!(took < Duration::from_secs(10), "stage {stage}: {took:?}");
        assert_eq!((plan.after, detector), (0, 0), "stage {stage}");
    }
    // Waits for what the cancelled fits were computing.
    ok(softpatch_context_free(context));
}
