//! Predictions as one JSON object a line.

use super::{Columns, Failure, Format};
use crate::predict::Scored;
use headstart_trainer::PartFile;
use serde_json::{Map, Value};
use std::io::{BufWriter, Write};

pub(super) struct JsonLines(BufWriter<PartFile>);

impl JsonLines {
    pub(super) fn new(file: PartFile) -> Self {
        Self(BufWriter::new(file))
    }
}

impl Format for JsonLines {
    fn write(&mut self, columns: &Columns, scored: &Scored) -> Result<(), Failure> {
        let mut object = Map::new();
        object.insert("path".into(), scored.path.clone().into());
        if columns.label {
            object.insert("label".into(), scored.label.clone().into());
        }
        let scores = scored.scores();
        object.insert("predicted".into(), scores.map(|scores| columns.classes[scores.predicted].clone()).into());
        for (class, name) in columns.values.iter().enumerate() {
            object.insert(name.clone(), scores.map(|scores| scores.values()[class]).into());
        }
        object.insert("error".into(), scored.outcome.as_ref().err().cloned().into());
        serde_json::to_writer(&mut self.0, &Value::Object(object))?;
        Ok(self.0.write_all(b"\n")?)
    }

    fn finish(self: Box<Self>, _: &Columns) -> Result<PartFile, Failure> {
        self.0.into_inner().map_err(|error| error.into_error().into())
    }
}
