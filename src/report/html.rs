//! A report that is one file: pictures inside, no scripts, nothing loaded from elsewhere.

use super::heat::{heatmap, overlay};
use super::sheet::{SheetRow, Verdict, check_row, mask_image, number, range_of};
use crate::Result;
use crate::data::OwnedImage;
use crate::data::encode::png_bytes;
use crate::files::write_whole;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;
use std::fmt::Write;
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

pub(crate) const STYLE: &str = include_str!("report.css");

impl HtmlReport {
    /// The page as text. It holds three or four PNGs an item, so about 0.5 MB for each image of 256x256.
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
        let items: Vec<String> =
            order.par_iter().map(|&i| self.item(&self.items[i], range)).collect::<Result<_>>()?;
        let title = escape(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
        );
        page.push_str(&self.summary());
        page.push_str("</header>\n");
        page.push_str(&figures(&self.metrics));
        page.push_str(&settings(&self.settings));
        if !items.is_empty() {
            page.push_str(&legend(range, self.threshold));
        }
        page.push_str("<main>\n");
        items.iter().for_each(|item| page.push_str(item));
        page.push_str("</main>\n</body>\n</html>\n");
        Ok(page)
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// As [`HtmlReport::render`]; [`crate::Error::Io`] naming `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, self.render()?.as_bytes())
    }

    fn summary(&self) -> String {
        let count = |v: Verdict| self.items.iter().filter(|item| item.verdict == Some(v)).count();
        let (bad, good) = (count(Verdict::Anomalous), count(Verdict::Normal));
        let images = self.items.len();
        let plural = if images == 1 { "" } else { "s" };
        let mut text = format!("<p class=\"summary\">{images} image{plural}, highest score first");
        if bad + good > 0 {
            let _ = write!(
                text,
                " <span class=\"pill bad\">{bad} defect</span> <span class=\"pill good\">{good} normal</span>"
            );
        }
        text.push_str("</p>\n");
        text
    }

    fn item(&self, item: &SheetRow, range: (f32, f32)) -> Result<String> {
        let (w, h) = (item.input.width, item.input.height);
        let (class, pill) = match item.verdict {
            Some(v) => {
                let class = if v == Verdict::Anomalous { "bad" } else { "good" };
                (class, format!(" <span class=\"pill {class}\">{}</span>", v.name()))
            }
            None => ("", String::new()),
        };
        let mut text = format!(
            "<article class=\"{class}\">\n<h2><span class=\"name\">{}</span> \
             <span class=\"score\">score {}</span>{pill}</h2>\n<div class=\"pictures\">\n",
            escape(&item.title),
            number(item.score)
        );
        let mut add = |name: &str, picture: &OwnedImage| -> Result<()> {
            let data = STANDARD.encode(png_bytes(picture)?);
            let alt = escape(&format!("{name} of {}", item.title));
            let _ = writeln!(
                text,
                "<figure><img src=\"data:image/png;base64,{data}\" alt=\"{alt}\" width=\"{w}\" height=\"{h}\">\
                 <figcaption>{name}</figcaption></figure>"
            );
            Ok(())
        };
        add("input", &item.input)?;
        if let Some(mask) = &item.mask {
            add("ground truth", &mask_image(mask, w, h))?;
        }
        add("anomaly map", &heatmap(&item.map, h, w, range)?)?;
        add("overlay", &overlay(&item.input, &item.map, range, self.threshold)?)?;
        text.push_str("</div>\n</article>\n");
        Ok(text)
    }
}

/// Figures as tiles.
fn figures(pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = String::from("<section>\n<h2>Figures</h2>\n<dl class=\"tiles\">\n");
    for (name, value) in pairs {
        let _ = writeln!(text, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    text.push_str("</dl>\n</section>\n");
    text
}

/// Settings as a table, folded away.
fn settings(pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = String::from("<details>\n<summary>Settings</summary>\n<table>\n");
    for (name, value) in pairs {
        let _ = writeln!(text, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    text.push_str("</table>\n</details>\n");
    text
}

fn legend(range: (f32, f32), threshold: Option<f32>) -> String {
    let stops: Vec<String> = (0..=16)
        .map(|i| {
            let [r, g, b] = super::colormap(i as f32 / 16.0);
            format!("rgb({r},{g},{b})")
        })
        .collect();
    let mark = threshold.map_or_else(String::new, |t| format!("<span>contour at {}</span>", number(t)));
    format!(
        "<div class=\"legend\"><div class=\"bar\" style=\"background:linear-gradient(90deg,{})\"></div>\
         <div class=\"ends\"><span>{}</span>{mark}<span>{}</span></div></div>\n",
        stops.join(","),
        number(range.0),
        number(range.1)
    )
}

/// Text that is safe between tags and inside quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
