//! Listing a CSV file with the columns `path`, `label` and `split`.

use super::{Item, ListError, Listing, index_classes, is_image, split_name};
use csv::StringRecord;
use std::collections::HashMap;
use std::path::{Component, Path};

/// Where the columns are that matter.
struct Columns {
    path: usize,
    label: Option<usize>,
    split: Option<usize>,
}

pub(super) fn list(file: &Path) -> Result<Listing, ListError> {
    let not_csv = |reason: String| ListError::NotCsv { path: file.into(), reason };
    if is_image(file) {
        return Err(not_csv("it is an image; give the folder that holds it".into()));
    }
    let root = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(|error| ListError::Io { path: file.into(), source: error.into() })?;
    let columns = match reader.headers() {
        Ok(header) if header.is_empty() => return Err(not_csv("it is empty".into())),
        Ok(header) => Columns::find(header).map_err(not_csv)?,
        Err(error) => return Err(not_csv(reason(&error))),
    };

    let mut rows = Vec::new();
    let mut lines = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| {
        let line = error.position().map_or(0, csv::Position::line);
        ListError::Line { path: file.into(), line, reason: reason(&error) }
    })? {
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |reason: String| ListError::Line { path: file.into(), line, reason };
        let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
        let path = cell(Some(columns.path));
        if path.is_empty() {
            return Err(wrong("column `path` is empty; name an image or remove the line".into()));
        }
        let name = row_name(path, root);
        let split = cell(columns.split);
        let split = split_name(split).unwrap_or(split).to_owned();
        // As in the cache and in arrays to import, -1 is the number of no class.
        let label = Some(cell(columns.label)).filter(|label| !label.is_empty() && *label != "-1").map(str::to_owned);
        // `join` keeps an absolute path as it is.
        lines.push(line);
        rows.push((Item { path: root.join(path), name, label: None, split }, label));
    }
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
fn row_name(path: &str, root: &Path) -> String {
    let path = Path::new(path);
    let path = path.strip_prefix(root).ok().filter(|_| path.is_absolute()).unwrap_or(path);
    let start = if path.is_absolute() { "/" } else { "" };
    let parts: Vec<_> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    format!("{start}{}", parts.join("/"))
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
