//! Edits of one model file at the same time.

use crate::common::{direct, turn};
use crate::mend::fit;
use softpatch::Error;
use softpatch::detector::Model;
use softpatch::model::ModelFile;
use std::sync::Barrier;

/// Whoever edits a file that another edit changed meanwhile is told so, whatever the file is called.
#[test]
fn one_of_several_edits_at_a_time_is_kept() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.safetensors");
    fit(&direct().1).save(&file).unwrap();
    let other = folder.path().join(".").join("m.safetensors");
    let begun = Barrier::new(4);
    let edit = |image: usize| {
        let file = ModelFile::open(&file, image.is_multiple_of(2).then_some(&other)).unwrap();
        let mut model = file.model().unwrap();
        model.remove_image(&format!("{image:03}.png")).unwrap();
        begun.wait();
        file.save(&model)
    };
    let saved: Vec<_> = std::thread::scope(|scope| {
        let edits: Vec<_> = (0..4)
            .map(|image| {
                scope.spawn({
                    let edit = &edit;
                    move || edit(image)
                })
            })
            .collect();
        edits.into_iter().map(|edit| edit.join().unwrap()).collect()
    });
    let changed = |e: &Error| e.to_string().contains("it was changed while this edit was made");
    assert!(saved.iter().flat_map(|s| s.as_ref().err()).all(changed), "{saved:?}");
    let kept = saved.iter().filter(|s| s.is_ok()).count();
    // Where files have no locks, several may be; the last one's is then the file.
    assert!(kept == 1 || cfg!(not(unix)), "{saved:?}");
    assert_eq!(Model::load(&file).unwrap().info.history.len(), 1);
}
