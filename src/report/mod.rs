//! Pictures and pages that show where a part looks wrong.

mod audit;
mod colormap;
mod explain;
mod heat;
mod map_file;
mod page;
mod score_page;
mod sheet;
mod text;
mod thumb;
mod view;

pub use crate::data::encode::{png_bytes, write_mask_png, write_png};
pub use audit::{AuditItem, AuditPage};
pub use colormap::colormap;
pub use explain::{ExplainCell, ExplainRow, ExplainSheet, patch_view};
pub use heat::{contour, heatmap, overlay};
pub use map_file::{MapFormat, map_bytes, write_map};
pub(crate) use page::{figure, page};
pub use score_page::{PageImage, ScorePage};
pub use sheet::{SheetOptions, SheetRow, Verdict, contact_sheet};
pub use thumb::{Drawing, Thumb};
pub use view::framed;
