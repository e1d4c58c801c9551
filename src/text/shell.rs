//! Commands that are suggested.

use super::steers;
use std::path::Path;

/// A path as one word of a shell's command; `None`: no text stands for it.
pub fn quoted(path: &Path) -> Option<String> {
    match path.to_str() {
        Some(text) if !text.chars().any(steers) => Some(word(text)),
        _ => escaped(path),
    }
}

fn word(text: &str) -> String {
    // What begins with a hyphen would be an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    let simple = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(simple) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// What is no text, or would steer the terminal that it is copied from, byte by byte, as bash, zsh and ksh
/// take it.
#[cfg(unix)]
fn escaped(path: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let mut text = if bytes.starts_with(b"-") { "$'./".to_owned() } else { "$'".to_owned() };
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text += &format!("\\{byte:03o}"),
        }
    }
    Some(text + "'")
}

#[cfg(not(unix))]
fn escaped(_: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        let of = |path: &str| quoted(Path::new(path)).unwrap();
        assert_eq!(of("a/b-1.png"), "a/b-1.png");
        assert_eq!(of("it's here.png"), "'it'\\''s here.png'");
        assert_eq!(of("-o.png"), "./-o.png");
        assert_eq!(of("-o x"), "'./-o x'");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_the_same_bytes_in_a_shell() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for name in [&b"a\xff\\'7.png"[..], b"\x1b[2Jx", b"-\xfe", "a\u{202e}gnp.exe".as_bytes()] {
            let word = quoted(Path::new(OsStr::from_bytes(name))).unwrap();
            assert!(word.is_ascii() && !word.contains('\x1b'), "{word}");
            let said = std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output();
            let said = said.unwrap().stdout;
            assert_eq!(said.strip_prefix(b"./").unwrap_or(&said), name, "{word}");
        }
    }
}
