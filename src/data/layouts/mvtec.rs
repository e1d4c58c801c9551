//! MVTec AD and the many sets that share its layout: `train/good`, `test/good`, `test/<defect>`,
//! `ground_truth/<defect>`.

use super::{Category, TestSet, name_of};
use crate::Result;
use crate::data::TrainSet;
use std::path::Path;

pub(super) fn open(folder: &Path) -> Result<Category> {
    let train = TrainSet::open(folder)?.paths;
    Ok(Category { name: name_of(folder), train, test: TestSet::open(folder)? })
}
