//! Predictions as Apache Parquet. Its columns are written in groups of rows, so rows are gathered until there is one.

use super::{Columns, Failure, Format};
use crate::predict::Scored;
use headstart_trainer::PartFile;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::sync::Arc;

/// Values gathered for a group: 16 MB of them, whatever the number of classes.
const GROUP_VALUES: usize = 1 << 21;
/// Rows of a group at most, since paths take memory too.
const GROUP_ROWS: usize = 1 << 16;

pub(super) struct Parquet {
    writer: SerializedFileWriter<PartFile>,
    rows: Vec<Scored>,
    group_rows: usize,
}

impl Parquet {
    pub(super) fn new(file: PartFile, columns: &Columns) -> Result<Self, Failure> {
        let text = |name: &str, repetition| {
            Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_repetition(repetition)
                .build()
        };
        let number = |name: &String| {
            Type::primitive_type_builder(name, Physical::DOUBLE).with_repetition(Repetition::OPTIONAL).build()
        };
        let mut fields = vec![text("path", Repetition::REQUIRED)?];
        if columns.label {
            fields.push(text("label", Repetition::OPTIONAL)?);
        }
        fields.push(text("predicted", Repetition::OPTIONAL)?);
        for name in &columns.values {
            fields.push(number(name)?);
        }
        fields.push(text("error", Repetition::OPTIONAL)?);
        let fields = fields.into_iter().map(Arc::new).collect();
        let schema = Type::group_type_builder("predictions").with_fields(fields).build()?;
        let created_by = concat!("headstart version ", env!("CARGO_PKG_VERSION"));
        let properties = WriterProperties::builder().set_created_by(created_by.into()).build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            rows: Vec::new(),
            group_rows: (GROUP_VALUES / columns.values.len()).clamp(1, GROUP_ROWS),
        })
    }

    /// Writes the gathered rows, column by column in the order of the schema.
    fn write_group(&mut self, columns: &Columns) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        let paths: Vec<ByteArray> = rows.iter().map(|row| row.path.as_str().into()).collect();
        let mut column = group.next_column()?.ok_or("the schema has no column path")?;
        column.typed::<ByteArrayType>().write_batch(&paths, None, None)?;
        column.close()?;
        if columns.label {
            write_texts(&mut group, rows.iter().map(|row| row.label.as_deref()))?;
        }
        write_texts(
            &mut group,
            rows.iter().map(|row| row.scores().map(|scores| columns.classes[scores.predicted].as_str())),
        )?;
        for class in 0..columns.values.len() {
            let (values, present) = present(rows.iter().map(|row| row.scores().map(|scores| scores.values()[class])));
            let mut column = group.next_column()?.ok_or("the schema lacks a column of values")?;
            column.typed::<DoubleType>().write_batch(&values, Some(&present), None)?;
            column.close()?;
        }
        write_texts(&mut group, rows.iter().map(|row| row.outcome.as_ref().err().map(String::as_str)))?;
        group.close()?;
        Ok(())
    }
}

impl Format for Parquet {
    fn write(&mut self, columns: &Columns, scored: &Scored) -> Result<(), Failure> {
        self.rows.push(scored.clone());
        if self.rows.len() == self.group_rows { self.write_group(columns) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, columns: &Columns) -> Result<PartFile, Failure> {
        if !self.rows.is_empty() {
            self.write_group(columns)?;
        }
        Ok(self.writer.into_inner()?)
    }
}

/// Writes the next column, one of texts that may be absent.
fn write_texts<'a>(
    group: &mut SerializedRowGroupWriter<'_, PartFile>,
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), Failure> {
    let (values, present) = present(texts.map(|text| text.map(ByteArray::from)));
    let mut column = group.next_column()?.ok_or("the schema lacks a column of texts")?;
    column.typed::<ByteArrayType>().write_batch(&values, Some(&present), None)?;
    Ok(column.close()?)
}

/// The values that are there, and for each row 1 where it has one and 0 where it has none (Parquet's definition levels).
fn present<T>(rows: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for value in rows {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    (values, levels)
}
