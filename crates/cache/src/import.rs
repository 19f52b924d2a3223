//! Bringing vectors made elsewhere: an `.npz` file becomes a cache like any other.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{At, Error, Result};
use crate::lock::{Lock, sidecar};
use crate::npz::{Array, Npz};
use crate::provenance::{Augmentation, FORMAT_VERSION, Provenance, WeightsId};
use crate::schema::{LayerDesc, RowSpec, Store};
use crate::writer::{RowOutcome, Writer};

/// Makes a cache with one layer, `features:flatten`, from the arrays of an `.npz` file (`numpy.savez`).
///
/// - `X`: n × d floats; stored as f32, or as f16 when they are float16;
/// - `y`: n labels. Strings are class names (empty: no label). Integers are indices into `classes` when that is given (−1: no
///   label), else each number is a class of that name, and −1 no label unless the numbers are just −1 and 1;
/// - `split` (optional): n strings such as `train` and `test`;
/// - `paths` (optional): n different names of the rows, else `row-000000` and so on;
/// - `classes` (optional): names of the classes, in the order of their labels.
///
/// The backbone is `imported`, its weights' hash the sha256 of the vectors as little-endian f32, row after row.
///
/// # Errors
/// [`Error::Import`] for arrays that are missing, of another type or length, or hold NaN; [`Error::Exists`] when `out` does.
pub fn import_npz(npz: impl AsRef<Path>, out: impl AsRef<Path>) -> Result<()> {
    let (npz, out) = (npz.as_ref(), out.as_ref());
    let vectors = Vectors::read(npz).map_err(|detail| Error::Import { path: npz.to_owned(), detail })?;
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).at(parent, "cannot make the folder")?;
    }
    let _lock = Lock::acquire(out)?;
    if out.try_exists().at(out, "cannot look for the file")? {
        return Err(Error::Exists { path: out.to_owned() });
    }
    // Built beside its final place, so that a failure leaves nothing that looks like a cache.
    let temporary = sidecar(out, "import");
    let _ = std::fs::remove_file(&temporary);
    let written = vectors
        .write(npz, &temporary)
        .and_then(|()| std::fs::rename(&temporary, out).at(out, "cannot move the finished file into place"));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

struct Vectors {
    values: Vec<f32>,
    width: usize,
    store: Store,
    dtype: &'static str,
    rows: Vec<RowSpec>,
    classes: Vec<String>,
}

impl Vectors {
    fn read(path: &Path) -> Result<Self, String> {
        let mut npz = Npz::open(path)?;
        let x = required(&mut npz, "X")?;
        let [n, width] = x.shape[..] else {
            return Err(format!("X has shape {:?}; rows × columns are expected (X.reshape(len(X), -1))", x.shape));
        };
        if !x.is_float() || width == 0 {
            return Err(format!(
                "X is {} of shape {:?}; floats with at least one column are expected",
                x.dtype_name(),
                x.shape
            ));
        }
        let values = x.floats();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(format!(
                "X[{}, {}] is {} as f32; every value must be finite",
                at / width,
                at % width,
                values[at]
            ));
        }
        let y = required(&mut npz, "y")?;
        check_length("y", &y, n)?;
        let classes = npz.array("classes")?.map(|array| texts("classes", &array)).transpose()?;
        let (labels, classes) = labels(&y, classes)?;
        let mut column = |name: &str| -> Result<Option<Vec<String>>, String> {
            let Some(array) = npz.array(name)? else { return Ok(None) };
            check_length(name, &array, n)?;
            texts(name, &array).map(Some)
        };
        let splits = column("split")?.unwrap_or_else(|| vec![String::new(); n]);
        let paths = column("paths")?.unwrap_or_else(|| (0..n).map(|row| format!("row-{row:06}")).collect());
        let rows = paths.into_iter().zip(splits).zip(labels);
        let rows = rows.map(|((path, split), label)| RowSpec { path, label, split, view: 0 }).collect();
        let (store, dtype) = if x.is_half() { (Store::F16, "f16") } else { (Store::F32, "f32") };
        Ok(Self { values, width, store, dtype, rows, classes })
    }

    fn write(&self, npz: &Path, out: &Path) -> Result<()> {
        let tool_version = env!("CARGO_PKG_VERSION").to_owned();
        let mut hash = Sha256::new();
        for value in &self.values {
            hash.update(value.to_le_bytes());
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let source = npz.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let provenance = Provenance {
            format_version: FORMAT_VERSION,
            tool_version: tool_version.clone(),
            backbone: "imported".into(),
            weights: WeightsId { source, sha256 },
            preprocessing: None,
            decoder: None,
            compute_dtype: self.dtype.into(),
            augmentation: Augmentation::none(),
            images: std::path::absolute(npz).ok().map(|path| path.to_string_lossy().into_owned()),
        };
        let (mut writer, _) = Writer::open_or_create(out, &provenance, &self.rows, &self.classes)?;
        let layer = writer.add_layer(&LayerDesc {
            layer: "features".into(),
            pool: "flatten".into(),
            shape: vec![self.width],
            stored: vec![self.width],
            store: self.store,
            device: "imported".into(),
            tool_version,
        })?;
        let batch = ((1 << 20) / self.width).max(1);
        for (first, values) in (0..).step_by(batch).zip(self.values.chunks(batch * self.width)) {
            writer.append(first, &vec![RowOutcome::Done; values.len() / self.width], &[(layer, values)])?;
        }
        writer.finish()
    }
}

fn required(npz: &mut Npz, name: &str) -> Result<Array, String> {
    npz.array(name)?.ok_or_else(|| {
        let names = npz.names();
        let have = if names.is_empty() { "none".into() } else { names.join(", ") };
        format!("no array {name}; X (n × d) and y (n) are expected, and the file has {have}")
    })
}

fn check_length(name: &str, array: &Array, n: usize) -> Result<(), String> {
    if array.shape == [n] { Ok(()) } else { Err(format!("{name} has shape {:?}, and X has {n} rows", array.shape)) }
}

fn texts(name: &str, array: &Array) -> Result<Vec<String>, String> {
    let strings = array.strings().filter(|_| array.shape.len() == 1);
    strings.ok_or_else(|| {
        format!("{name} is {} of shape {:?}; one row of Unicode strings is expected", array.dtype_name(), array.shape)
    })
}

/// Labels as indices, and the classes they are indices into.
fn labels(y: &Array, classes: Option<Vec<String>>) -> Result<(Vec<i32>, Vec<String>), String> {
    if y.is_text() {
        return named_labels(texts("y", y)?, classes);
    }
    let wrong = || format!("y is {} with values that are no labels; integers or strings are expected", y.dtype_name());
    let numbers = y.integers().ok_or_else(wrong)?;
    if let Some(classes) = classes {
        let index = |&number: &i64| {
            let known = (-1..classes.len() as i64).contains(&number);
            known
                .then_some(number as i32)
                .ok_or_else(|| format!("y has {number}, and there are {} classes", classes.len()))
        };
        let labels = numbers.iter().map(index).collect::<Result<_, _>>()?;
        return Ok((labels, classes));
    }
    let mut distinct: BTreeSet<i64> = numbers.iter().copied().collect();
    // The two labels of the support-vector literature; otherwise −1 is the usual word for "unknown".
    if !distinct.iter().eq(&[-1, 1]) {
        distinct.remove(&-1);
    }
    let distinct: Vec<i64> = distinct.into_iter().collect();
    let name = |number: &i64| match (y.is_bool(), number) {
        (true, 0) => "False".into(),
        (true, _) => "True".into(),
        _ => number.to_string(),
    };
    let labels = numbers.iter().map(|number| distinct.binary_search(number).map_or(-1, |index| index as i32)).collect();
    Ok((labels, distinct.iter().map(name).collect()))
}

fn named_labels(names: Vec<String>, classes: Option<Vec<String>>) -> Result<(Vec<i32>, Vec<String>), String> {
    let classes = classes.unwrap_or_else(|| {
        let distinct: BTreeSet<&String> = names.iter().filter(|name| !name.is_empty()).collect();
        distinct.into_iter().cloned().collect()
    });
    let index: std::collections::HashMap<&str, i32> = classes.iter().map(String::as_str).zip(0..).collect();
    let label = |name: &String| match index.get(name.as_str()) {
        Some(&label) => Ok(label),
        None if name.is_empty() => Ok(-1),
        None => Err(format!("y has {name:?}, which is not in classes")),
    };
    let labels = names.iter().map(label).collect::<Result<_, _>>()?;
    Ok((labels, classes))
}
