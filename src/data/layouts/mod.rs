//! The directory layouts of the published data sets and of their kin, told by what lies in the folder.
//!
//! | layout | told by | training images |
//! |---|---|---|
//! | VisA | `split_csv/1cls.csv` | what the list calls `train` |
//! | VisA, no list | `Data/Images/Normal`, of one object or several | four of five images of `Normal` |
//! | KolektorSDD | folders `kosNN/` with `PartN.jpg` | defect-free parts of odd folders |
//! | KolektorSDD2 | `train/NNN.png` beside `NNN_GT.png` | defect-free images of `train/` |
//! | magnetic tile | folders `MT_Free/Imgs/`, `MT_Blowhole/Imgs/`, ... | four of five images of `MT_Free` |
//! | MVTec 3D-AD | folders `rgb/` below the kinds | `train/good/rgb` |
//! | MVTec LOCO | `test/logical_anomalies`, ... with a folder of masks for each image | `train/good` |
//! | BTAD | `test/ok`, `test/ko` | `train/ok` |
//! | MVTec AD, MPDD and all sets like them | `train/`, `test/` or both | the good images of `train/` |
//! | a plain folder | `good/` beside folders of defects | four of five images of `good/` |
//! | images without labels | none of these | all, where nothing speaks against it |
//!
//! Letter case does not matter. Splits, good parts, defects and masks go by the names of
//! [`names`]; which mask is whose, [`masks`] says.

mod category;
mod choose;
mod draft;
mod kolektor;
mod layout;
mod magnetic;
mod masks;
mod names;
mod open;
mod plain;
mod splits;
mod tree;
mod visa;

pub use category::Category;
pub use layout::{Layout, OpenOptions};
pub use open::Dataset;
