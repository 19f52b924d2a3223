//! A head as plain arrays, for `numpy.load(path)` (no pickles in it):
//!
//! | array | what |
//! |---|---|
//! | `weight`, `bias` | float64, classes × width and classes: scores are `X @ weight.T + bias` on raw features |
//! | `normalize` | one text: `none`; or `l2`: rows of `X` are divided by their Euclidean norms first, rows of zeros stay |
//! | `classes` | names, in the order of the scores |
//! | `kind`, `layer` | one text each: `logistic`, `layer4:gap` |
//! | `provenance` | one text: JSON of the cache's provenance, `null` where there is none |

use std::io::{self, Seek, Write};

use headstart_cache::NpzWriter;

use crate::Head;

pub(super) fn write<W: Write + Seek>(head: &Head, out: W) -> io::Result<W> {
    let (classes, width) = (head.classes().len(), head.width());
    let provenance = serde_json::to_string(&head.source.provenance)?;
    let mut npz = NpzWriter::new(out);
    npz.floats("weight", &[classes, width], head.weights().iter().copied())?;
    npz.floats("bias", &[classes], head.bias().iter().copied())?;
    npz.texts("normalize", &[], &[head.normalize().name()])?;
    npz.texts("classes", &[classes], head.classes())?;
    npz.texts("kind", &[], &[head.kind().name()])?;
    npz.texts("layer", &[], &[&head.source.layer])?;
    npz.texts("provenance", &[], &[provenance])?;
    npz.finish()
}
