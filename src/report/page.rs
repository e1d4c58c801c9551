//! What the pages have in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");

/// `lazyList`, by which pages show thousands of pictures; its style is `lazy_list.css`.
pub(crate) const LAZY_LIST: &str = include_str!("lazy_list.js");

const NOTHING_ELSE: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A page that is one file: `header` below the title, then `body`.
pub(crate) fn page(title: &str, style: &str, header: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                // Whatever a page shows, it loads nothing from elsewhere.
                meta http-equiv="Content-Security-Policy" content=(NOTHING_ELSE);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body {
                header { h1 { (title) } (header) }
                (body)
            }
        }
    };
    page.into_string()
}

/// A PNG file's bytes as a figure, with its width and height where they are known.
pub(crate) fn figure(png: &[u8], alt: &str, size: Option<[u32; 2]>, caption: &str) -> Markup {
    let data = STANDARD.encode(png);
    html! {
        figure {
            img src={ "data:image/png;base64," (data) } alt=(alt)
                width=[size.map(|s| s[0])] height=[size.map(|s| s[1])];
            figcaption { (caption) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing() {
        let page = page("a <b>", "", &html! {}, &html! {});
        let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap();
        assert!(policy.starts_with("default-src 'none'; img-src data:; "), "{policy}");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<b>"));
    }
}
