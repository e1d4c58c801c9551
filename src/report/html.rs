//! A report that is one file: pictures inside, no scripts, nothing loaded from elsewhere.

use super::heat::{heatmap, overlay};
use super::page::{figure, page};
use super::sheet::{SheetRow, Verdict, check_row, mask_image, number, range_of};
use crate::Result;
use crate::data::OwnedImage;
use crate::data::encode::png_bytes;
use crate::files::write_whole;
use maud::{Markup, html};
use rayon::prelude::*;
use std::path::Path;

/// What goes on the page.
#[derive(Clone, Debug, Default)]
pub struct HtmlReport {
    /// Heading.
    pub title: String,
    /// Names and values of how the run was made.
    pub settings: Vec<(String, String)>,
    /// Names and values of its figures.
    pub metrics: Vec<(String, String)>,
    /// Map values drawn coldest and hottest; `None` takes the lowest and highest of all items.
    pub range: Option<(f32, f32)>,
    /// Contour line in the overlays, in the map's unit.
    pub threshold: Option<f32>,
    /// Images, in any order; the page lists the highest score first.
    pub items: Vec<SheetRow>,
}

impl HtmlReport {
    /// The page as text. It holds three or four PNGs per item, so about 0.5 MB for each image of 256x256.
    ///
    /// # Errors
    /// [`crate::Error::InvalidImage`] naming the item whose pixels, map and mask do not have one size.
    pub fn render(&self) -> Result<String> {
        self.items.iter().try_for_each(check_row)?;
        let range = self.range.unwrap_or_else(|| range_of(&self.items));
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        // Stable, and a score that is not a number goes last.
        let rank =
            |i: usize| if self.items[i].score.is_nan() { f32::NEG_INFINITY } else { self.items[i].score };
        order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
        let items: Vec<Markup> =
            order.par_iter().map(|&i| self.item(&self.items[i], range)).collect::<Result<_>>()?;
        let body = html! {
            @if !self.metrics.is_empty() { (figures(&self.metrics)) }
            @if !self.settings.is_empty() { (settings(&self.settings)) }
            @if !items.is_empty() { (legend(range, self.threshold)) }
            main { @for item in &items { (item) } }
        };
        Ok(page(&self.title, "", &self.summary(), &body))
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// As [`HtmlReport::render`]; [`crate::Error::Io`] naming `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, self.render()?.as_bytes())
    }

    fn summary(&self) -> Markup {
        let count = |v: Verdict| self.items.iter().filter(|item| item.verdict == Some(v)).count();
        let (bad, good) = (count(Verdict::Anomalous), count(Verdict::Normal));
        let images = self.items.len();
        html! {
            p class="summary" {
                (images) " image" @if images != 1 { "s" } ", highest score first"
                @if bad + good > 0 {
                    " " span class="pill bad" { (bad) " defect" }
                    " " span class="pill good" { (good) " normal" }
                }
            }
        }
    }

    fn item(&self, item: &SheetRow, range: (f32, f32)) -> Result<Markup> {
        let (w, h) = (item.input.width, item.input.height);
        let class = item.verdict.map_or("", |v| if v == Verdict::Anomalous { "bad" } else { "good" });
        let picture = |name: &str, picture: &OwnedImage| -> Result<Markup> {
            Ok(figure(&png_bytes(picture)?, &format!("{name} of {}", item.title), Some([w, h]), name))
        };
        let mut pictures = vec![picture("input", &item.input)?];
        if let Some(mask) = &item.mask {
            pictures.push(picture("ground truth", &mask_image(mask, w, h))?);
        }
        pictures.push(picture("anomaly map", &heatmap(&item.map, h, w, range)?)?);
        pictures.push(picture("overlay", &overlay(&item.input, &item.map, range, self.threshold)?)?);
        Ok(html! {
            article class=(class) {
                h2 {
                    span class="name" { (item.title) }
                    " " span class="score" { "score " (number(item.score)) }
                    @if let Some(verdict) = item.verdict {
                        " " span class={ "pill " (class) } { (verdict.name()) }
                    }
                }
                div class="pictures" { @for picture in &pictures { (picture) } }
            }
        })
    }
}

/// Figures as tiles.
fn figures(pairs: &[(String, String)]) -> Markup {
    html! {
        section {
            h2 { "Figures" }
            dl class="tiles" { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } }
        }
    }
}

/// Settings as a table, folded away.
fn settings(pairs: &[(String, String)]) -> Markup {
    html! {
        details {
            summary { "Settings" }
            table { @for (name, value) in pairs { tr { th scope="row" { (name) } td { (value) } } } }
        }
    }
}

fn legend(range: (f32, f32), threshold: Option<f32>) -> Markup {
    let stops: Vec<String> = (0..=16)
        .map(|i| {
            let [r, g, b] = super::colormap(i as f32 / 16.0);
            format!("rgb({r},{g},{b})")
        })
        .collect();
    html! {
        div class="legend" {
            div class="bar" style={ "background:linear-gradient(90deg," (stops.join(",")) ")" } {}
            div class="ends" {
                span { (number(range.0)) }
                @if let Some(t) = threshold { span { "contour at " (number(t)) } }
                span { (number(range.1)) }
            }
        }
    }
}
