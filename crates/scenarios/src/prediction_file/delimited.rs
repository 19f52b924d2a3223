//! Predictions as comma-separated values.

use super::{Columns, Failure, Format};
use crate::predict::Scored;
use headstart_trainer::PartFile;

pub(super) struct Csv(csv::Writer<PartFile>);

impl Csv {
    pub(super) fn new(file: PartFile, columns: &Columns) -> Result<Self, Failure> {
        let mut writer = csv::Writer::from_writer(file);
        let label = columns.label.then_some("label");
        let header = ["path"].into_iter().chain(label).chain(["predicted"]);
        writer.write_record(header.chain(columns.values.iter().map(String::as_str)).chain(["error"]))?;
        Ok(Self(writer))
    }
}

impl Format for Csv {
    fn write(&mut self, columns: &Columns, scored: &Scored) -> Result<(), Failure> {
        let Self(writer) = self;
        writer.write_field(&scored.path)?;
        if columns.label {
            writer.write_field(scored.label.as_deref().unwrap_or_default())?;
        }
        match &scored.outcome {
            Ok(scores) => {
                writer.write_field(&columns.classes[scores.predicted])?;
                // The shortest text that reads back as the same number.
                scores.values().iter().try_for_each(|value| writer.write_field(value.to_string()))?;
                writer.write_field("")?;
            }
            Err(reason) => {
                (0..=columns.values.len()).try_for_each(|_| writer.write_field(""))?;
                writer.write_field(reason)?;
            }
        }
        // No fields: the end of the record.
        Ok(writer.write_record(None::<&[u8]>)?)
    }

    fn finish(self: Box<Self>, _: &Columns) -> Result<PartFile, Failure> {
        self.0.into_inner().map_err(|error| error.into_error().into())
    }
}
