//! Texts in CSV that no spreadsheet takes for formulas.

use std::borrow::Cow;

/// Whether a spreadsheet takes a text for a formula that begins so.
fn begins_a_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// Whether apostrophes, or none, stand before what a spreadsheet takes for a formula.
fn is_guarded_or_formula(text: &str) -> bool {
    begins_a_formula(text.trim_start_matches('\''))
}

/// A field of CSV that shows `text` in a spreadsheet: with an apostrophe before a name that begins with `=`,
/// `+`, `-`, `@`, a tab or a line end, which would be a formula there, and run. Numbers stay as they are, and
/// so do all other texts, but for those that begin with apostrophes and then so: they get one more, so that
/// [`csv_unguarded`] gives every text back.
pub fn csv_guarded(text: &str) -> Cow<'_, str> {
    if is_guarded_or_formula(text) && text.parse::<f64>().is_err() {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

/// The text of a field that [`csv_guarded`] made.
pub fn csv_unguarded(field: &str) -> &str {
    match field.strip_prefix('\'') {
        Some(text) if is_guarded_or_formula(text) => text,
        _ => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_formulas_and_come_back() {
        for (text, field) in [
            ("=HYPERLINK(1).png", "'=HYPERLINK(1).png"),
            ("+1.png", "'+1.png"),
            ("-a", "'-a"),
            ("@x", "'@x"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\n=1", "'\n=1"),
            ("'=x", "''=x"),
            ("'quoted'", "'quoted'"),
            ("a=b/-c.png", "a=b/-c.png"),
            ("-1.5", "-1.5"),
            ("1e-7", "1e-7"),
            ("", ""),
        ] {
            assert_eq!(csv_guarded(text), field);
            assert_eq!(csv_unguarded(field), text);
        }
    }
}
