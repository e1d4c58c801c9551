//! Model files whose parts are changed one by one, with a checksum that fits.

use arbitrary::{Arbitrary, Unstructured};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// A tensor of a file.
#[derive(Clone)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A model file in its parts.
#[derive(Clone)]
pub struct Parts {
    version: String,
    info: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Parts {
    /// Of a file as the library writes it.
    pub fn of(file: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(file).unwrap();
        let info = serde_json::from_str(&header.metadata().as_ref().unwrap()["info"]).unwrap();
        let tensors = SafeTensors::deserialize(file).unwrap();
        let tensor = |(name, view): (&str, TensorView<'_>)| {
            let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), Tensor { dtype, shape, bytes })
        };
        Self { version: "1".into(), info, tensors: tensors.iter().map(tensor).collect() }
    }

    /// A file with a checksum that fits; none where the container cannot hold it.
    pub fn file(&self) -> Option<Vec<u8>> {
        let info = self.info.to_string();
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(info.as_bytes());
        for (name, Tensor { shape, bytes, .. }) in &self.tensors {
            part(name.as_bytes());
            part(format!("{shape:?}").as_bytes());
            part(bytes);
        }
        let sum = format!("{:x}", hash.finalize());
        let metadata =
            [("format", "softpatch-model"), ("version", &self.version), ("info", &info), ("sha256", &sum)];
        let metadata: HashMap<String, String> = metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let views: Result<Vec<_>, _> = self
            .tensors
            .iter()
            .map(|(name, t)| TensorView::new(t.dtype, t.shape.clone(), &t.bytes).map(|view| (name, view)))
            .collect();
        safetensors::serialize(views.ok()?, Some(metadata)).ok()
    }
}

/// Numbers that are the first or the last of something.
const ODD: [i128; 22] = [
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    64,
    255,
    256,
    1024,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    i32::MAX as i128,
    u32::MAX as i128,
    u32::MAX as i128 + 1,
    i64::MAX as i128,
    u64::MAX as i128,
];

/// Words of a tensor that are so.
const WORDS: [u32; 12] = [
    0,
    1,
    2,
    u32::MAX,
    0x7fc0_0000,
    0x7f80_0000,
    0xff80_0000,
    0x3f80_0000,
    0x8000_0000,
    0x7f7f_ffff,
    0x0000_1000,
    0xbf80_0000,
];

/// Texts for where the settings want one of a few.
const TEXTS: [&str; 16] = [
    "",
    "lof",
    "nearest",
    "gaussian",
    "auto",
    "none",
    "paper",
    "whole",
    "stretch",
    "pad",
    "crop",
    "calibrate",
    "allow",
    "remove-image",
    "deny",
    "a/1.png",
];

/// A value in the place of another.
#[derive(Arbitrary, Debug)]
enum New {
    Odd(u8),
    Small(u8),
    Number(f64),
    Text(u8),
    Null,
    Empty,
    Object,
    /// An array twice as long, of its own elements.
    Twice,
    /// An array without its last element.
    Less,
    /// Away with it.
    Gone,
}

/// A change of a file.
#[derive(Arbitrary, Debug)]
enum Change {
    /// The n-th value in the settings, counted through all of them.
    Setting(u8, New),
    /// A word of a tensor.
    Word {
        tensor: u8,
        at: u16,
        word: u8,
    },
    Bits {
        tensor: u8,
        at: u16,
        to: u32,
    },
    /// Bytes and shape of a tensor by so many rows more or less.
    Rows {
        tensor: u8,
        by: i8,
    },
    /// The last side of its shape, in the same manner.
    Columns {
        tensor: u8,
        by: i8,
    },
    Type {
        tensor: u8,
        to: u8,
    },
    Missing {
        tensor: u8,
    },
    /// One tensor under another's name.
    Copied {
        tensor: u8,
        to: u8,
    },
    /// The rows of all parts of the bank by the same number: they fit together.
    Bank {
        by: i8,
    },
    Version(u8),
}

/// Puts a value in the place of the `left`-th, counted through all that are in one another.
fn set(value: &mut Value, left: &mut usize, new: &New) {
    let mut gone = None;
    match value {
        Value::Object(map) => {
            for (name, inner) in map.iter_mut() {
                if *left == 0 {
                    *inner = fresh(inner, new);
                    gone = Some(name.clone());
                    *left = usize::MAX;
                    break;
                }
                *left -= 1;
                set(inner, left, new);
                if *left == usize::MAX {
                    return;
                }
            }
            gone.filter(|_| matches!(new, New::Gone)).map(|name| map.remove(&name));
        }
        Value::Array(list) => {
            for i in 0..list.len() {
                if *left == 0 {
                    *left = usize::MAX;
                    if matches!(new, New::Gone) {
                        list.remove(i);
                    } else {
                        list[i] = fresh(&list[i], new);
                    }
                    return;
                }
                *left -= 1;
                set(&mut list[i], left, new);
                if *left == usize::MAX {
                    return;
                }
            }
        }
        _ => {}
    }
}

fn fresh(old: &Value, new: &New) -> Value {
    match new {
        New::Odd(n) => {
            let n = ODD[usize::from(*n) % ODD.len()];
            u64::try_from(n).map_or_else(|_| json!(n as i64), |n| json!(n))
        }
        New::Small(n) => json!(n),
        New::Number(v) => json!(v),
        New::Text(n) => json!(TEXTS[usize::from(*n) % TEXTS.len()]),
        New::Null | New::Gone => Value::Null,
        New::Empty => json!([]),
        New::Object => Value::Object(Map::new()),
        New::Twice => old.as_array().map_or(Value::Null, |list| [list.as_slice(), list].concat().into()),
        New::Less => {
            old.as_array().map_or(Value::Null, |list| list[..list.len().saturating_sub(1)].to_vec().into())
        }
    }
}

impl Tensor {
    /// So many more or fewer along side `side`, its last or its first.
    fn grow(&mut self, side: usize, by: i8) {
        let Some(old) = self.shape.get(side).copied() else { return };
        let new = old.saturating_add_signed(isize::from(by)).min(4096);
        self.shape[side] = new;
        let bytes = self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8;
        let from = std::mem::take(&mut self.bytes);
        self.bytes = from.iter().copied().cycle().take(if from.is_empty() { 0 } else { bytes }).collect();
        self.bytes.resize(bytes, 0);
    }
}

impl Parts {
    fn nth(&mut self, n: u8) -> Option<&mut Tensor> {
        let count = self.tensors.len().max(1);
        self.tensors.values_mut().nth(usize::from(n) % count)
    }

    fn word(&mut self, tensor: u8, at: u16, to: u32) {
        let Some(tensor) = self.nth(tensor) else { return };
        let words = tensor.bytes.len() / 4;
        if words > 0 {
            tensor.bytes[usize::from(at) % words * 4..][..4].copy_from_slice(&to.to_le_bytes());
        } else if let Some(byte) = tensor.bytes.first_mut() {
            *byte = to as u8;
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Setting(which, new) => set(&mut self.info, &mut usize::from(*which), new),
            Change::Word { tensor, at, word } => {
                self.word(*tensor, *at, WORDS[usize::from(*word) % WORDS.len()])
            }
            Change::Bits { tensor, at, to } => self.word(*tensor, *at, *to),
            Change::Rows { tensor, by } => self.nth(*tensor).into_iter().for_each(|t| t.grow(0, *by)),
            Change::Columns { tensor, by } => {
                self.nth(*tensor).into_iter().for_each(|t| t.grow(t.shape.len().saturating_sub(1), *by));
            }
            Change::Type { tensor, to } => {
                let all = [Dtype::F32, Dtype::U32, Dtype::I32, Dtype::U8, Dtype::F64, Dtype::BOOL];
                self.nth(*tensor).into_iter().for_each(|t| t.dtype = all[usize::from(*to) % all.len()]);
            }
            Change::Missing { tensor } => {
                let name = self.tensors.keys().nth(usize::from(*tensor) % self.tensors.len().max(1)).cloned();
                name.map(|name| self.tensors.remove(&name));
            }
            Change::Copied { tensor, to } => {
                let name = self.tensors.keys().nth(usize::from(*to) % self.tensors.len().max(1)).cloned();
                let copy = self.nth(*tensor).cloned();
                name.zip(copy).map(|(name, copy)| self.tensors.insert(name, copy));
            }
            Change::Bank { by } => {
                for name in ["bank", "provenance", "weights", "floors"] {
                    self.tensors.get_mut(name).into_iter().for_each(|t| t.grow(0, *by));
                }
                let rows = self.tensors.get("weights").map_or(0, |t| t.shape[0]);
                self.info["rows"] = json!(rows);
                // Of an index, which is a permutation.
                if let Some(order) = self.tensors.get_mut("order") {
                    order.shape = vec![rows];
                    order.bytes = (0..rows as u32).flat_map(u32::to_le_bytes).collect();
                }
            }
            Change::Version(n) => self.version = ODD[usize::from(*n) % ODD.len()].to_string(),
        }
    }

    /// These with up to 6 changes, which `data` says.
    pub fn changed(&self, data: &mut Unstructured<'_>) -> Self {
        let mut parts = self.clone();
        for _ in 0..6 {
            if data.is_empty() {
                break;
            }
            match Change::arbitrary(data) {
                Ok(change) => parts.change(&change),
                Err(_) => break,
            }
        }
        parts
    }
}
