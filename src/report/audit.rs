//! A page to look through training pictures and choose those that are left out.

use super::page::{LAZY_LIST, page};
use super::thumb::{Drawing, Thumb};
use crate::Result;
use crate::data::OwnedImage;
use crate::files::write_whole;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{PreEscaped, html};
use serde::Serialize;
use std::path::Path;

const STYLE: &str = concat!(include_str!("lazy_list.css"), include_str!("audit.css"));
const SCRIPT: &str = include_str!("audit.js");

/// Longer side of the small pictures, in pixels.
const SIDE: u32 = 200;

/// One training picture, as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct AuditItem<'a> {
    /// Its name or path: what the list has of it.
    pub name: &'a str,
    /// How suspicious it is.
    pub suspicion: f32,
    /// Whether it counts as contaminated.
    pub suspect: bool,
    /// Share of its patches that a fit would drop.
    pub dropped: f32,
    /// `[rows][columns]`: how suspicious each patch is.
    pub patches: &'a [f32],
    /// Rows and columns of the patches.
    pub grid: [u32; 2],
    /// What is outlined: patches that are more suspicious.
    pub limit: f32,
}

/// The page of an audit: one file, with a script and nothing loaded from elsewhere. Small pictures with the
/// suspicious patches outlined, a filter, a choice for each picture, and a button that writes the list for
/// [`Exclude`](crate::data::Exclude).
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// Heading: what was audited.
    title: String,
    /// A line below it.
    pub note: String,
    /// Names and values of how the run was made.
    pub settings: Vec<(String, String)>,
    cards: Vec<Card>,
}

/// What the script has of a picture.
#[derive(Clone, Debug, Serialize)]
struct Card {
    name: String,
    suspicion: f32,
    suspect: bool,
    dropped: f32,
    width: u32,
    height: u32,
    picture: String,
    overlay: String,
}

impl AuditPage {
    /// A page without pictures.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds a picture; the page shows them in the order in which they come. Two JPEG files of it are kept, of
    /// 5 to 15 KB together.
    ///
    /// # Errors
    /// [`crate::Error::InvalidImage`] where pixels or patches do not have their sizes.
    pub fn push(&mut self, item: &AuditItem<'_>, picture: &OwnedImage) -> Result<()> {
        let AuditItem { name, suspicion, suspect, dropped, patches, grid: [rows, columns], limit } = *item;
        let range = (limit - 1.0, limit + 1.0);
        let drawing =
            Drawing { map: patches, size: [columns, rows], range, threshold: Some(limit), truth: None };
        let Thumb { width, height, picture, overlay } = Thumb::new(picture, &drawing, SIDE)?;
        let [picture, overlay] = [picture, overlay].map(|bytes| STANDARD.encode(bytes));
        let name = name.to_owned();
        self.cards.push(Card { name, suspicion, suspect, dropped, width, height, picture, overlay });
        Ok(())
    }

    /// The page as text.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] where a picture's values are not to be written.
    pub fn render(&self) -> Result<String> {
        let cards = serde_json::to_string(&self.cards).map_err(|e| crate::Error::Internal(e.to_string()))?;
        // Whatever a name holds, it ends no script.
        let cards =
            cards.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        let suspects = self.cards.iter().filter(|card| card.suspect).count();
        let header = html! {
            p class="summary" { (self.note) }
        };
        let body = html! {
            @if !self.settings.is_empty() {
                details {
                    summary { "Settings" }
                    table { @for (name, value) in &self.settings { tr { th scope="row" { (name) } td { (value) } } } }
                }
            }
            noscript { p { "This page needs its script to show the pictures; the table of `softpatch audit` does not." } }
            div id="bar" {
                input id="filter" type="search" placeholder="part of a name" aria-label="part of a name";
                label { "suspicion at least " input id="least" type="number" step="0.05" value="0"; }
                select id="which" aria-label="which pictures" {
                    option value="all" { "all" }
                    option value="suspect" { "look contaminated" }
                    option value="out" { "excluded" }
                    option value="in" { "kept" }
                }
                label { input id="plain" type="checkbox"; " without outlines" }
                span class="grow" {}
                button id="suspects" type="button" disabled[suspects == 0] { "Exclude " (suspects) " suspects" }
                button id="none" type="button" { "Keep all" }
                button id="save" type="button" class="main" { "Save the list" }
                p id="count" aria-live="polite" {}
            }
            main {
                p id="on-paper" class="paper" {}
                p id="nothing" hidden { "No picture passes these filters." }
                div { div id="cards" role="list" aria-label="Training pictures" {} }
            }
            script id="data" type="application/json" { (PreEscaped(cards)) }
            script { (PreEscaped(LAZY_LIST)) (PreEscaped(SCRIPT)) }
        };
        let title = format!("Training pictures of {}", self.title);
        Ok(page(&title, STYLE, &header, &body))
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// As [`AuditPage::render`]; [`crate::Error::Io`] naming `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, self.render()?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        let name = "</script><script>alert(1)</script>&\"'\u{2028}.png";
        let mut page = AuditPage::new(name);
        let patches = [0.0, 1.0, 1.0, 9.0];
        let item = AuditItem {
            name,
            suspicion: 1.5,
            suspect: true,
            dropped: 0.25,
            patches: &patches,
            grid: [2, 2],
            limit: 2.0,
        };
        page.push(&item, &OwnedImage { width: 8, height: 8, pixels: vec![90; 192] }).unwrap();
        let html = page.render().unwrap();
        assert_eq!(html.matches("<script").count(), 2, "the data and the program");
        assert!(
            !html.contains("alert(1)</script>") && !html.contains('\u{2028}')
                || html.contains("&lt;script&gt;")
        );
        let data =
            html.split("type=\"application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
        let cards: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!((cards[0]["name"].as_str(), cards[0]["width"].as_u64()), (Some(name), Some(8)));
        // Something is drawn over it.
        assert_ne!(cards[0]["picture"], cards[0]["overlay"]);
    }
}
