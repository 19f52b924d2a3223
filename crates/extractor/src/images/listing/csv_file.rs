//! Listing a CSV file with the columns `path`, `label` and `split`.

use super::{Item, ListError, Listing, index_classes, is_image, split_name};
use csv::StringRecord;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Component, Path};

/// Where the columns are that matter.
struct Columns {
    path: usize,
    label: Option<usize>,
    split: Option<usize>,
}

/// A line that names an image.
pub(super) struct Line<'a> {
    /// Counted from 1, the header included.
    number: u64,
    /// The file as written.
    path: &'a str,
    /// The name of its row.
    pub(super) name: Cow<'a, str>,
    /// None where there is no label.
    pub(super) class: Option<&'a str>,
    pub(super) split: &'a str,
}

/// What the names in a CSV file are relative to.
pub(super) fn root(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

pub(super) fn list(file: &Path) -> Result<Listing, ListError> {
    let root = root(file);
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    each(file, |line| {
        lines.push(line.number);
        // `join` keeps an absolute path as it is.
        let (path, name, split) = (root.join(line.path), line.name.into_owned(), line.split.to_owned());
        rows.push((Item { path, name, label: None, split }, line.class.map(str::to_owned)));
    })?;
    if rows.is_empty() {
        return Err(ListError::EmptyCsv { path: file.into() });
    }
    if let Some((before, again)) = first_twice(&rows) {
        let reason =
            format!("{} is listed in line {} already; remove one of the two", rows[again].0.name, lines[before]);
        return Err(ListError::Line { path: file.into(), line: lines[again], reason });
    }
    let (items, classes) = index_classes(rows);
    Ok(Listing { root: root.into(), items, classes, ignored: 0, empty: Vec::new() })
}

/// Hands out the lines, one after another, as far as they can be read.
pub(super) fn each(file: &Path, mut work: impl FnMut(Line)) -> Result<(), ListError> {
    let not_csv = |reason: String| ListError::NotCsv { path: file.into(), reason };
    if is_image(file) {
        return Err(not_csv("it is an image; give the folder that holds it".into()));
    }
    let root = root(file);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(|error| ListError::Io { path: file.into(), source: error.into() })?;
    let columns = match reader.headers() {
        Ok(header) if header.is_empty() => return Err(not_csv("it is empty".into())),
        Ok(header) => Columns::find(header).map_err(not_csv)?,
        Err(error) => return Err(not_csv(reason(&error))),
    };
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| {
        let line = error.position().map_or(0, csv::Position::line);
        ListError::Line { path: file.into(), line, reason: reason(&error) }
    })? {
        let number = record.position().map_or(0, csv::Position::line);
        let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
        let path = cell(Some(columns.path));
        if path.is_empty() {
            let reason = "column `path` is empty; name an image or remove the line".into();
            return Err(ListError::Line { path: file.into(), line: number, reason });
        }
        let split = cell(columns.split);
        // As in the cache and in arrays to import, -1 is the number of no class.
        let class = Some(cell(columns.label)).filter(|label| !label.is_empty() && *label != "-1");
        work(Line { number, path, name: row_name(path, root), class, split: split_name(split).unwrap_or(split) });
    }
    Ok(())
}

/// The first row whose name another one before it has, after that one.
fn first_twice(rows: &[(Item, Option<String>)]) -> Option<(usize, usize)> {
    // Most lists are sorted, and then neighbours tell.
    if rows.windows(2).all(|pair| pair[0].0.name < pair[1].0.name) {
        return None;
    }
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
    rows.iter().enumerate().find_map(|(row, (item, _))| seen.insert(&item.name, row).map(|before| (before, row)))
}

impl Columns {
    /// Finds the columns by name, in any case; `label` goes before `class` if both are there.
    fn find(header: &StringRecord) -> Result<Self, String> {
        let find = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
        let found: Vec<&str> = header.iter().take(8).collect();
        let path = find("path").ok_or_else(|| format!("the first line is `{}`", found.join(",").escape_debug()))?;
        Ok(Self { path, label: find("label").or_else(|| find("class")), split: find("split") })
    }
}

/// The name of a row: the path as written, without `.` and doubled slashes, and below the root where it is absolute.
fn row_name<'a>(path: &'a str, root: &Path) -> Cow<'a, str> {
    // Nearly all are written as they are to be.
    if path.split('/').all(|part| !part.is_empty() && part != ".") {
        return path.into();
    }
    let path = Path::new(path);
    let path = path.strip_prefix(root).ok().filter(|_| path.is_absolute()).unwrap_or(path);
    let start = if path.is_absolute() { "/" } else { "" };
    let parts: Vec<_> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    format!("{start}{}", parts.join("/")).into()
}

/// What is wrong with a line, in words that do not repeat where it is.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "{len} fields where the header has {expected_len}; put double quotes around a field that holds a comma"
        ),
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("field {} is not UTF-8; save the file as UTF-8", err.field() + 1)
        }
        _ => error.to_string(),
    }
}
