//! Work for the device, prepared on another thread one piece ahead.

use crate::Result;
use std::sync::mpsc::sync_channel;

/// Calls `take` on every job with the piece that `fill` made for it, in order, while another thread fills the
/// next. Two pieces go round, so that what they hold is allocated once.
pub(crate) fn read_ahead<J: Send, P: Default + Send>(
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    fill: impl Fn(&J, &mut P) -> Result<()> + Send,
    mut take: impl FnMut(J, &P) -> Result<()>,
) -> Result<()> {
    let jobs = jobs.into_iter();
    std::thread::scope(|scope| {
        let (empty, spare) = sync_channel::<P>(2);
        let (sender, receiver) = sync_channel::<Result<(J, P)>>(1);
        for _ in 0..2 {
            // There is room for two.
            let _ = empty.send(P::default());
        }
        scope.spawn(move || {
            for job in jobs {
                // The other side is gone after an error; then nobody wants more.
                let Ok(mut piece) = spare.recv() else { return };
                let filled = fill(&job, &mut piece).map(|()| (job, piece));
                let failed = filled.is_err();
                if sender.send(filled).is_err() || failed {
                    return;
                }
            }
        });
        for filled in receiver {
            let (job, piece) = filled?;
            take(job, &piece)?;
            let _ = empty.send(piece);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn reading_ahead_keeps_order_and_stops_at_errors() {
        let mut seen = Vec::new();
        let fill = |job: &u32, values: &mut Vec<f32>| {
            values.resize(2, 0.0);
            values.fill(*job as f32);
            if *job == 7 { Err(Error::Cancelled) } else { Ok(()) }
        };
        let take = |job: u32, values: &Vec<f32>| {
            seen.push((job, values.clone()));
            Ok(())
        };
        assert!(matches!(read_ahead(0..20_u32, fill, take), Err(Error::Cancelled)));
        assert_eq!(seen, (0..7).map(|job| (job, vec![job as f32; 2])).collect::<Vec<_>>());
        // Whoever takes may stop, too.
        let stop = |job: u32, _: &Vec<f32>| if job == 3 { Err(Error::Cancelled) } else { Ok(()) };
        assert!(read_ahead(0..7_u32, fill, stop).is_err());
    }
}
