//! Writes what every target begins with: `seeds FOLDER`, a folder a target. Pictures are those of the tests,
//! texts are as the library and the program read them.

use softpatch::data::synth::{Material, render};
use softpatch::report::{MapFormat, map_bytes, png_bytes};
use softpatch_fuzz::made_up::made_up;
use std::path::Path;

const LISTS: [(u8, &str); 12] = [
    (0, "# seen on Monday\ngood/002.png\n\na/good/001.png\n"),
    (0, "path,score\na/good/001.png,1.5\n'-x.png,2\n"),
    (1, "\u{feff}path,\n\"b/003.png\",\n"),
    (2, "split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear\ntrain,a.png,,,0,,,,,\n"),
    (
        2,
        "split,path,defect,mask,noise,rotation,shift_x,shift_y,scale,shear\ntrain,a.png,,,1,1.5,0.1,-0.1,0.9,3\n\n\
         test,\"b,c.png\",crack,m.png,,,,,,\ntest,d.png,,,,,,,,\n",
    ),
    (
        4,
        "object,split,label,image,mask\ncandle,train,normal,candle/0.png,\ncandle,test,anomaly,candle/1.png,candle/2.png\n",
    ),
    (4, "object,split,label,image,mask\n\"candle\",test,normal,../x.png,\n"),
    (
        5,
        "{\"adapters\":[{\"adapter\":\"a\",\"driver\":\"d\",\"tuning\":{\"big-from\":64,\"direct-rows\":2}}]}",
    ),
    (
        6,
        "{\"adapters\":[{\"adapter\":\"a\",\"driver\":\"\",\"tuning\":{\"coop-big-from\":4294967295,\"depthwise-run\":16}}]}",
    ),
    (6, "{\"adapters\":[]}"),
    (7, "=HYPERLINK(1).png"),
    (7, "'\u{202e}gnp.\u{1b}[2J"),
];

const CONFIGS: [&str; 4] = [
    "tau = 0.2\nlof-k = 4\ndiscriminator = \"nearest\"\nmemory = \"2GiB\"\nexif = true\ndevice = 1\nno-self-test = true\n",
    "geometry = \"paper\"\nresize = 256\ncrop = 224\nsize = \"96x128\"\ngroup = \"window\"\nwindow = 5\n",
    "size = 512\nbits = 12\nblack = 1.5\nwhite = 4000\nprecision = \"f16\"\nembedding = \"pooled\"\nbatch = 8\n",
    "soft-weights = false\ncoreset-ratio = 0.1\nseed = 18446744073709551615\ntarget-fpr = 0.05\ncompat = 'official'\n",
];

fn main() {
    let root = std::env::args_os().nth(1).expect("usage: seeds FOLDER");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&root).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name.replace('/', "-")), bytes).unwrap();
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pictures.safetensors");
    let golden = std::fs::read(golden).unwrap();
    let golden = safetensors::SafeTensors::deserialize(&golden).unwrap();
    for (name, view) in golden.iter().filter(|(name, _)| name.ends_with("/file")) {
        write("pictures", name, view.data());
    }
    let part = render(Material::Metal, None, 1, 64).unwrap().0;
    write("pictures", "part.png", &png_bytes(&part).unwrap());
    let picture = image::RgbImage::from_raw(part.width, part.height, part.pixels).unwrap();
    for end in ["bmp", "gif", "jpg", "png", "ppm", "qoi", "tif", "webp"] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::from_extension(end).unwrap()).unwrap();
        write("pictures", &format!("image.{end}"), bytes.get_ref());
    }
    let map: Vec<f32> = (0..12).map(|i| i as f32 * 0.25).collect();
    for (name, format) in [("map.tiff", MapFormat::Tiff), ("map.png", MapFormat::Png16 { scale: 0.01 })] {
        write("pictures", name, &map_bytes(&map, [3, 4], format).unwrap());
    }
    for (i, (which, text)) in LISTS.iter().enumerate() {
        write("lists", &format!("{i}"), &[&[*which], text.as_bytes()].concat());
    }
    for (i, text) in CONFIGS.iter().enumerate() {
        write("config", &format!("{i}.toml"), text.as_bytes());
    }
    for whole in [false, true] {
        write("model_bytes", &format!("whole-{whole}"), &made_up(whole).to_bytes().unwrap());
    }
    // What steers the changes of a model and of weights, and calls, may be any bytes.
    for target in ["model_parts", "weights", "calls", "detector"] {
        for i in 0..64_u32 {
            let bytes: Vec<u8> =
                (0..40 + i).map(|j| (i * 89 + j * j * 57 + j * 13 + i * j * 7) as u8).collect();
            write(target, &format!("{i}"), &bytes);
        }
    }
}
