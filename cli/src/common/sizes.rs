//! Numbers of bytes and of things as people write them.

use bytesize::{ByteSize, GIB, KIB, MIB};

/// `800MB`, `2GiB`, `1.5 GiB`, `1048576`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.trim().parse::<ByteSize>() {
        // TOML's numbers end at 2^63.
        Ok(ByteSize(bytes @ 1..=0x7fff_ffff_ffff_ffff)) => Ok(bytes),
        _ => Err(format!(
            "`{text}` is no size; write for example 800MB or 2GiB (B, kB, MB, GB, KiB, MiB, GiB)"
        )),
    }
}

/// `1.5 MiB` and so on: two digits or more.
pub fn human_bytes(bytes: u64) -> String {
    let unit = [GIB, MIB, KIB].into_iter().find(|unit| bytes >= *unit).unwrap_or(1);
    let digits = usize::from(bytes < 10 * unit);
    format!("{:.digits$}", ByteSize(bytes).display().iec())
}

/// `1GiB`: as [`parse_bytes`] reads it, and exact for what is a round number of units.
pub fn short_bytes(bytes: u64) -> String {
    format!("{:.0}", ByteSize(bytes).display().iec()).replace(' ', "")
}

/// `3 images`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("800MB", 800_000_000),
            ("2GiB", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("64kib", 65_536),
            ("4096", 4096),
            ("10B", 10),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_bytes(" 2 gb "), Ok(2_000_000_000));
        for text in ["", "MB", "0", "-1GB", "1..2GB", "3 parsec", "1e99GB", "99999999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (512, "512 B"),
            (1536, "1.5 KiB"),
            (385 << 20, "385 MiB"),
            (1 << 30, "1.0 GiB"),
            (12 << 30, "12 GiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
