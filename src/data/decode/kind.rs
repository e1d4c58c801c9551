//! What a file is, from its first bytes.

/// Bytes at the beginning of a file that [`sniff`] looks at.
pub const SNIFF_BYTES: usize = 512;

/// A kind of file, as its first bytes tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name as in messages: "JPEG", "HEIC".
    pub name: &'static str,
    /// Who decodes it; none where the kind is known and not supported.
    pub(super) container: Option<Container>,
}

impl Kind {
    /// Whether files of this kind are decoded at all. A file that is can still be of a sort within its kind
    /// that is not, which decoding it says.
    pub fn is_read(self) -> bool {
        self.container.is_some()
    }

    /// "a HEIC file", "an AVIF file".
    pub(super) fn with_article(self) -> String {
        // Letters that are spoken with a vowel first.
        let letters = ["HDF", "MNG", "RAF", "RW2", "SGI", "SVG", "X"];
        let vowel = self.name.starts_with(['A', 'E', 'I', 'O']);
        let article = if vowel || letters.iter().any(|l| self.name.starts_with(l)) { "an" } else { "a" };
        format!("{article} {} file", self.name)
    }
}

/// Containers that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Pnm,
    Qoi,
    Tiff,
    WebP,
}

/// What file begins with these bytes, of which the first [`SNIFF_BYTES`] are enough; none where no picture
/// does that is known here.
pub fn sniff(first_bytes: &[u8]) -> Option<Kind> {
    let b = first_bytes;
    let at = |offset: usize, what: &[u8]| b.get(offset..).is_some_and(|rest| rest.starts_with(what));
    let known = |name| Some(Kind { name, container: None });
    let read = |name, container| Some(Kind { name, container: Some(container) });

    for (offset, magic, name, container) in MAGIC {
        if at(*offset, magic) {
            return Some(Kind { name, container: *container });
        }
    }
    if at(0, b"BM") && at(6, &[0, 0, 0, 0]) || at(0, b"BM") && b.get(14..18).is_some_and(is_bmp_header) {
        return read("BMP", Container::Bmp);
    }
    // A DIB is a BMP without its first 14 bytes: size of the header, width, height, one plane, bits.
    if at(0, &[40, 0, 0, 0])
        && at(12, &[1, 0])
        && b.get(14..16).is_some_and(|n| [1, 4, 8, 16, 24, 32].contains(&n[0]) && n[1] == 0)
    {
        return read("BMP", Container::Bmp);
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return read("WebP", Container::WebP);
    }
    if let [b'P', digit @ b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] = b {
        let name = ["PBM", "PGM", "PPM", "PBM", "PGM", "PPM", "PAM"][usize::from(digit - b'1')];
        return read(name, Container::Pnm);
    }
    if let [b'P', b'F' | b'f', b'\r' | b'\n', ..] = b {
        return known("PFM");
    }
    if at(4, b"ftyp") {
        return match b.get(8..12) {
            Some(b"avif" | b"avis") => known("AVIF"),
            Some(b"crx ") => known("CR3 (camera RAW)"),
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                // AVIF may name itself among the compatible brands alone.
                let brands = b[16.min(b.len())..].chunks_exact(4).take(16);
                if brands.into_iter().any(|brand| brand == b"avif") { known("AVIF") } else { known("HEIC") }
            }
            _ => None, // films
        };
    }
    if at(0, b"\0\0\x01\0") && b.get(4).is_some_and(|&n| n > 0) && at(9, &[0]) {
        return known("ICO");
    }
    svg(b).then_some(Kind { name: "SVG", container: None })
}

type Magic = (usize, &'static [u8], &'static str, Option<Container>);

/// Kinds that a fixed string at a fixed offset tells; those that begin as others do come first.
const MAGIC: &[Magic] = &[
    (0, b"\xff\xd8\xff", "JPEG", Some(Container::Jpeg)),
    (0, b"\x89PNG\r\n\x1a\n", "PNG", Some(Container::Png)),
    (8, b"CR\x02\0", "CR2 (camera RAW)", None),
    (0, b"II*\0", "TIFF", Some(Container::Tiff)),
    (0, b"MM\0*", "TIFF", Some(Container::Tiff)),
    (0, b"II+\0", "TIFF", Some(Container::Tiff)),
    (0, b"MM\0+", "TIFF", Some(Container::Tiff)),
    (0, b"GIF87a", "GIF", Some(Container::Gif)),
    (0, b"GIF89a", "GIF", Some(Container::Gif)),
    (0, b"qoif", "QOI", Some(Container::Qoi)),
    (0, b"\xff\x0a", "JPEG XL", None),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", None),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", None),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", None),
    (0, b"II\xbc\x01", "JPEG XR", None),
    (0, b"8BPS", "PSD", None),
    (0, b"v/1\x01", "EXR", None),
    (0, b"#?RADIANCE", "HDR (Radiance)", None),
    (0, b"#?RGBE", "HDR (Radiance)", None),
    (0, b"SIMPLE  =", "FITS", None),
    (128, b"DICM", "DICOM", None),
    (0, b"DDS ", "DDS", None),
    (0, b"\x8aMNG\r\n\x1a\n", "MNG", None),
    (0, b"\x8bJNG\r\n\x1a\n", "JNG", None),
    (0, b"FLIF", "FLIF", None),
    (0, b"BPG\xfb", "BPG", None),
    (0, b"farbfeld", "farbfeld", None),
    (0, b"gimp xcf", "XCF (GIMP)", None),
    (0, b"FUJIFILMCCD-RAW", "RAF (camera RAW)", None),
    (0, b"IIRO", "ORF (camera RAW)", None),
    (0, b"IIRS", "ORF (camera RAW)", None),
    (0, b"IIU\0", "RW2 (camera RAW)", None),
    (0, b"FOVb", "X3F (camera RAW)", None),
    (0, b"\x01\xda\0\x01", "SGI", None),
    (0, b"\x01\xda\x01\x01", "SGI", None),
    (0, b"\x59\xa6\x6a\x95", "Sun raster", None),
    (0, b"/* XPM */", "XPM", None),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5", None),
    (0, b"%PDF-", "PDF", None),
    (0, b"AT&TFORM", "DjVu", None),
    (0, b"\xd7\xcd\xc6\x9a", "WMF", None),
];

/// Sizes that BMP headers have.
fn is_bmp_header(size: &[u8]) -> bool {
    [12, 16, 40, 52, 56, 64, 108, 124].iter().any(|&known: &u8| size == [known, 0, 0, 0])
}

fn svg(b: &[u8]) -> bool {
    let text = b.strip_prefix(b"\xef\xbb\xbf").unwrap_or(b).trim_ascii_start();
    let has = |what: &[u8]| text.windows(what.len()).any(|w| w == what);
    text.starts_with(b"<svg") || (text.starts_with(b"<?xml") || text.starts_with(b"<!")) && has(b"<svg")
}

/// Kinds without a magic number, by the name's suffix.
pub(in crate::data) fn by_suffix(path: &std::path::Path) -> Option<Kind> {
    let suffix = path.extension()?.to_str()?.to_ascii_lowercase();
    let name = match suffix.as_str() {
        "tga" => "TGA",
        "raw" => "raw",
        "pcx" => "PCX",
        "xbm" => "XBM",
        _ => return None,
    };
    Some(Kind { name, container: None })
}
