//! Texts that steer no terminal, and words of a shell's command.

mod shell;

pub use shell::quoted;

use std::path::Path;

/// Whether a character ends a line, steers a terminal (C0 and C1 controls), or turns the direction of the
/// text around it, so that a name reads as another one.
pub fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text as one line on a terminal: what [`steers`] is escaped.
pub fn plain(text: &str) -> String {
    escaped(text, steers)
}

/// A message of several lines on a terminal: what else [`steers`] is escaped.
pub fn plain_lines(text: &str) -> String {
    escaped(text, |c| steers(c) && c != '\n')
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let one = |c: char| if which(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(one).collect()
}

/// A path as one line on a terminal.
pub fn plain_path(path: &Path) -> String {
    plain(&path.display().to_string())
}

/// JSON in which what [`steers`] a terminal, but for line ends, is escaped: it stands in strings alone.
pub fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && steers(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| plain += &format!("\\u{unit:04x}"));
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_steer_no_terminal() {
        // Escape, its form in C1, and what turns the direction of a text.
        assert_eq!(plain("a\u{1b}[2J\u{9b}2J\n.png"), "a\\u{1b}[2J\\u{9b}2J\\n.png");
        assert_eq!(
            plain("a\u{202e}gnp.b\u{2066}\u{200f}\u{2028}"),
            "a\\u{202e}gnp.b\\u{2066}\\u{200f}\\u{2028}"
        );
        assert_eq!(plain("ü 漢字 עברית.png"), "ü 漢字 עברית.png");
        let json = plain_json(&serde_json::to_string_pretty(&["\u{9b}2J\u{202e}x\n"]).unwrap());
        assert_eq!(json, "[\n  \"\\u009b2J\\u202ex\\n\"\n]");
        assert_eq!(plain_lines("a\n\u{1b}b\r"), "a\n\\u{1b}b\\r");
    }
}
