//! A head as plain arrays, for `numpy.load(path)` (no pickles in it):
//!
//! | array | what |
//! |---|---|
//! | `weight`, `bias` | float64, classes × width and classes: scores are `X @ weight.T + bias` on raw features |
//! | `vectors`, `labels` | for heads of kind `knn` in place of these: float32, rows × width, and int64, rows |
//! | `neighbors`, `knn_metric` | how many of the nearest vectors vote, and `euclidean` or `cosine` |
//! | `mean`, `scale` | float64, width: what is compared is `(X - mean) / scale`; absent without standardisation |
//! | `calibration` | one text: JSON of the map from scores to probabilities as in the head file, `null` where there is none |
//! | `normalize` | one text: `none`; or `l2`: rows of `X` are divided by their Euclidean norms first, rows of zeros stay |
//! | `classes` | names, in the order of the scores |
//! | `kind`, `layer` | one text each: `logistic`, `layer4:gap` |
//! | `provenance` | one text: JSON of the cache's provenance, `null` where there is none |

use std::io::{self, Seek, Write};

use headstart_cache::NpzWriter;

use crate::Head;
use crate::classifier::Rule;
use crate::neighbors::Standardization;

pub(super) fn write<W: Write + Seek>(head: &Head, out: W) -> io::Result<W> {
    let (classes, width) = (head.classes().len(), head.width());
    let provenance = serde_json::to_string(&head.source.provenance)?;
    let calibration = serde_json::to_string(&head.calibration())?;
    let mut npz = NpzWriter::new(out);
    match head.rule() {
        Rule::Linear(linear) => {
            npz.floats("weight", &[classes, width], linear.weights().iter().copied())?;
            npz.floats("bias", &[classes], linear.bias().iter().copied())?;
        }
        Rule::Neighbors(model) => {
            let rows = model.labels().len();
            npz.singles("vectors", &[rows, width], model.vectors().iter().copied())?;
            npz.integers("labels", &[rows], model.labels().iter().map(|&label| label as i64))?;
            npz.integers("neighbors", &[], [model.neighbors() as i64])?;
            npz.texts("knn_metric", &[], &[model.metric().name()])?;
            if let Some(Standardization { mean, scale }) = model.standardization() {
                npz.floats("mean", &[width], mean.iter().copied())?;
                npz.floats("scale", &[width], scale.iter().copied())?;
            }
        }
    }
    npz.texts("normalize", &[], &[head.normalize().name()])?;
    npz.texts("classes", &[classes], head.classes())?;
    npz.texts("kind", &[], &[head.kind().name()])?;
    npz.texts("layer", &[], &[&head.source.layer])?;
    npz.texts("provenance", &[], &[provenance])?;
    npz.texts("calibration", &[], &[calibration])?;
    npz.finish()
}
