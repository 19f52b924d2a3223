//! Heads for programs that know nothing of headstart: ONNX for runtimes, `.npz` for NumPy.

mod npz;
mod onnx;
mod onnx_calibration;
mod onnx_messages;

use std::io::Write;
use std::path::Path;

use crate::classifier::Rule;
use crate::{Error, Head, PartFile};

/// A format that heads are exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A graph from raw features to scores, probabilities and labels.
    Onnx,
    /// Weights, bias and what they mean, as arrays.
    Npz,
}

impl ExportFormat {
    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// [`Error::ExportFormat`] for another ending or none.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "onnx" => Ok(Self::Onnx),
            "npz" => Ok(Self::Npz),
            _ => Err(Error::ExportFormat { path: path.to_owned() }),
        }
    }

    /// The name used in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Npz => "npz",
        }
    }
}

impl Head {
    /// Writes the head for other programs, in the format of the file's ending. The same head writes the same bytes, and the
    /// file appears only when it is complete.
    ///
    /// # Errors
    /// [`Error::ExportFormat`] for other endings, [`Error::ExportSize`] for a head beyond what ONNX holds,
    /// [`Error::ExportNeighbors`] for ONNX of nearest neighbours, and [`Error::Io`].
    pub fn export(&self, path: &Path) -> Result<ExportFormat, Error> {
        let format = ExportFormat::of(path)?;
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let description = self.description()?;
        match format {
            ExportFormat::Onnx => {
                let Rule::Linear(linear) = self.rule() else {
                    return Err(Error::ExportNeighbors { path: path.to_owned() });
                };
                let map = self.calibration().map_or(0, onnx_calibration::numbers);
                let bytes = (linear.weights().len() + linear.bias().len() + map) * size_of::<f64>();
                if bytes + description.len() > onnx::MOST_BYTES {
                    return Err(Error::ExportSize { path: path.to_owned(), bytes });
                }
                let model = onnx::model(&self.model, linear, description);
                let mut file = PartFile::create(path).map_err(failed)?;
                file.write_all(&model).and_then(|()| file.finish()).map_err(failed)?;
            }
            ExportFormat::Npz => {
                let file = PartFile::create(path).map_err(failed)?;
                npz::write(self, file).and_then(PartFile::finish).map_err(failed)?;
            }
        }
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        assert_eq!(ExportFormat::of(Path::new("a/b.ONNX")).unwrap(), ExportFormat::Onnx);
        assert_eq!(ExportFormat::of(Path::new("b.c.npz")).unwrap(), ExportFormat::Npz);
        for other in ["b", "onnx", ".npz", "b.pt"] {
            let message = ExportFormat::of(Path::new(other)).unwrap_err().to_string();
            assert!(message.starts_with(other) && message.contains(".onnx") && message.contains(".npz"), "{message}");
        }
    }
}
