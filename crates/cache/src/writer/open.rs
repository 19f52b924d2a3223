//! Making a new file, and extending one that is there.

use std::collections::HashMap;
use std::path::Path;

use hdf5::types::VarLenUnicode;
use hdf5::{File, H5Type};

use super::{OpenFile, OpenLayer, Writer};
use crate::contents::{Contents, Rows};
use crate::error::{At, Error, Result};
use crate::journal::roll_back;
use crate::lock::{Lock, sidecar};
use crate::provenance::{Augmentation, FORMAT_VERSION, Provenance};
use crate::reader::open_file;
use crate::row_digest::RowDigest;
use crate::schema::{
    CLASSES, LAYERS, PROVENANCE, ROW_DIGEST, ROWS, Reason, RowSpec, Status, VERSION, check_signature, create_column,
    create_run_column, file_options, select_rows, to_hdf5, write_string_attr,
};

/// Rows per chunk of the small columns, of `status`, and of `error`.
const CHUNKS: (usize, usize, usize) = (1024, 4096, 64);

impl Writer {
    /// Makes a file with these rows, or opens the one that is there and adds what it lacks.
    ///
    /// A new file has the rows in the order given. In an existing one rows are found by path and view; new ones go to the
    /// end, new classes too, and labels are translated to the file's classes. The second result is the number of each
    /// given row in the file. Missing parent folders are made. No [`Cache`](crate::Cache) of the file may be open in this
    /// process: HDF5 does not open a file for writing that it has open for reading.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process writes the file, [`Error::KeyMismatch`] when it was made with other settings,
    /// [`Error::RowChanged`] when a row has another class or split now, [`Error::BadRow`] for a label without a class or a
    /// path given twice.
    pub fn open_or_create(
        path: impl AsRef<Path>,
        provenance: &Provenance,
        rows: &[RowSpec],
        classes: &[String],
    ) -> Result<(Self, Vec<usize>)> {
        let path = path.as_ref();
        check_rows(rows, classes)?;
        if path.file_name().is_none() {
            return Err(Error::Missing { path: path.to_owned() });
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).at(parent, "cannot make the folder")?;
        }
        let lock = Lock::acquire(path)?;
        if path.try_exists().at(path, "cannot look for the file")? {
            check_signature(path)?;
            roll_back(path)?;
            let mut writer = Self::open_existing(path, lock)?;
            writer.check_key(provenance)?;
            writer.take_augmentation(provenance)?;
            let ids = writer.add_rows(rows, classes)?;
            Ok((writer, ids))
        } else {
            create_file(path, provenance, rows, classes)?;
            Ok((Self::open_existing(path, lock)?, (0..rows.len()).collect()))
        }
    }

    fn open_existing(path: &Path, lock: Lock) -> Result<Self> {
        let file = open_file(path, true)?;
        let contents = Contents::read(&file, path)?;
        contents.refuse_problems(path)?;
        let stale = contents.committed_anywhere();
        let Contents { provenance, classes, rows, layers, .. } = contents;
        let column = |name: &str| file.dataset(&format!("{ROWS}/{name}")).at(path, format!("cannot open /rows/{name}"));
        let (status, error) = (column("status")?, column("error")?);
        let open = |(info, dataset)| OpenLayer::new(info, dataset, path);
        let layers = layers.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut writer = Self {
            layers,
            file: Some(OpenFile { status, error, file }),
            path: path.to_owned(),
            provenance,
            classes,
            rows,
            halves: Vec::new(),
            floats: Vec::new(),
            _lock: lock,
        };
        writer.tidy(stale)?;
        Ok(writer)
    }

    /// Removes the traces of a run that was killed between writing and committing.
    fn tidy(&mut self, committed: usize) -> Result<()> {
        let stale = self.rows.forget_from(committed);
        for &row in &stale {
            self.write_status(row, 1)?;
        }
        let blanked = self.blank_failed_rows()?;
        if !stale.is_empty() || blanked > 0 {
            tracing::info!("{}: continuing after an interruption", self.path.display());
        }
        Ok(())
    }

    fn check_key(&self, run: &Provenance) -> Result<()> {
        let differences = self.provenance.differences(run);
        if !differences.is_empty() {
            return Err(Error::KeyMismatch { path: self.path.clone(), differences });
        }
        if self.provenance.images != run.images {
            let name = |images: &Option<String>| images.clone().unwrap_or_else(|| "nowhere".into());
            tracing::warn!(
                "{}: made from {}, extended from {}; images of the same name are taken to be the same",
                self.path.display(),
                name(&self.provenance.images),
                name(&run.images)
            );
        }
        Ok(())
    }

    /// Notes that the file is getting more views; what can be added is checked already.
    fn take_augmentation(&mut self, run: &Provenance) -> Result<()> {
        let (file, run) = (&self.provenance.augmentation, &run.augmentation);
        if file.views >= run.views {
            return Ok(());
        }
        // The name that the recipe had first stays.
        let recipe = if file.definition.is_none() { &run.recipe } else { &file.recipe };
        let augmentation = Augmentation { recipe: recipe.clone(), ..run.clone() };
        let provenance = Provenance { augmentation, ..self.provenance.clone() };
        let json = provenance_json(&provenance)?;
        let path = self.path.clone();
        self.restructure(|file| {
            let write = || file.attr(PROVENANCE)?.write_scalar(&to_hdf5(&json)?);
            write().at(&path, "cannot note the augmentation")
        })?;
        self.provenance = provenance;
        Ok(())
    }

    /// Finds or adds rows; `rows` are checked already.
    fn add_rows(&mut self, rows: &[RowSpec], classes: &[String]) -> Result<Vec<usize>> {
        let mut all_classes = self.classes.clone();
        let mut translated = Vec::with_capacity(classes.len());
        for class in classes {
            let index = all_classes.iter().position(|own| own == class).unwrap_or_else(|| {
                all_classes.push(class.clone());
                all_classes.len() - 1
            });
            translated.push(index as i32);
        }
        let translate = |label: i32| usize::try_from(label).map_or(-1, |index| translated[index]);

        let known: HashMap<(&str, u32), usize> =
            (0..self.rows.len()).map(|row| ((self.rows.path[row].as_str(), self.rows.view[row]), row)).collect();
        let mut ids = Vec::with_capacity(rows.len());
        let mut new = Vec::new();
        for spec in rows {
            let label = translate(spec.label);
            if let Some(&row) = known.get(&(spec.path.as_str(), spec.view)) {
                self.check_unchanged(row, spec, label, &all_classes)?;
                ids.push(row);
            } else {
                ids.push(self.rows.len() + new.len());
                new.push(RowSpec { label, ..spec.clone() });
            }
        }
        let new_classes = all_classes.split_off(self.classes.len());
        if !new.is_empty() || !new_classes.is_empty() {
            self.extend(&new, &new_classes)?;
        }
        Ok(ids)
    }

    fn check_unchanged(&self, row: usize, spec: &RowSpec, label: i32, classes: &[String]) -> Result<()> {
        let class = |label: i32| {
            let name = usize::try_from(label).ok().and_then(|index| classes.get(index));
            name.cloned().unwrap_or_else(|| "none".into())
        };
        let changed = |what, was: String, now: String| {
            Err(Error::RowChanged { path: self.path.clone(), row: spec.path.clone(), view: spec.view, what, was, now })
        };
        if self.rows.label[row] != label {
            return changed("class", class(self.rows.label[row]), class(label));
        }
        if self.rows.split[row] != spec.split {
            return changed("split", self.rows.split[row].clone(), spec.split.clone());
        }
        Ok(())
    }

    fn extend(&mut self, rows: &[RowSpec], classes: &[String]) -> Result<()> {
        let len = self.rows.len() + rows.len();
        let path = self.path.clone();
        let shapes: Vec<(String, Vec<usize>)> =
            self.layers.iter().map(|layer| (layer.info.name.clone(), layer.info.stored.clone())).collect();
        let all_classes = [&self.classes[..], classes].concat();
        let mut digest = RowDigest::of(&self.rows, &all_classes);
        rows.iter().for_each(|spec| digest.push_spec(spec, &all_classes));
        let digest = digest.finish();
        self.restructure(|file| {
            write_rows(file, rows).at(&path, "cannot add rows")?;
            note_digest(file, &digest).at(&path, "cannot add rows")?;
            append_column(file, CLASSES, &strings(classes.iter()).at(&path, "cannot add classes")?)
                .at(&path, "cannot add classes")?;
            for (name, stored) in &shapes {
                let dims: Vec<usize> = std::iter::once(len).chain(stored.iter().copied()).collect();
                file.dataset(&format!("{LAYERS}/{name}"))
                    .and_then(|dataset| dataset.resize(dims))
                    .at(&path, format!("cannot make layer {name} longer"))?;
            }
            Ok(())
        })?;
        self.classes = all_classes;
        for spec in rows {
            push_row(&mut self.rows, spec);
        }
        for layer in &mut self.layers {
            layer.info.bytes = (len * layer.info.width * layer.info.store.size()) as u64;
        }
        Ok(())
    }
}

fn push_row(rows: &mut Rows, spec: &RowSpec) {
    rows.path.push(spec.path.clone());
    rows.label.push(spec.label);
    rows.split.push(spec.split.clone());
    rows.view.push(spec.view);
    rows.status.push(Status::Pending);
    rows.error.push(String::new());
}

fn check_rows(rows: &[RowSpec], classes: &[String]) -> Result<()> {
    let mut names = HashMap::new();
    for class in classes {
        if class.contains('\0') || names.insert(class, ()).is_some() {
            return Err(Error::BadSchema(format!("class {class:?} is listed twice or has a NUL character")));
        }
    }
    let mut seen = HashMap::with_capacity(rows.len());
    for (index, spec) in rows.iter().enumerate() {
        let bad = |detail: String| Err(Error::BadRow { index, row: spec.path.clone(), detail });
        if spec.path.is_empty() || spec.path.contains('\0') || spec.split.contains('\0') {
            return bad("path and split must be text without NUL characters, and the path not empty".into());
        }
        if spec.label < -1 || spec.label >= classes.len() as i32 {
            return bad(format!("label {} is neither -1 nor one of {} classes", spec.label, classes.len()));
        }
        if let Some(first) = seen.insert((spec.path.as_str(), spec.view), index) {
            return bad(format!("the same path and view as row {first}"));
        }
    }
    Ok(())
}

/// Builds the skeleton beside its final place and moves it there whole.
fn create_file(path: &Path, provenance: &Provenance, rows: &[RowSpec], classes: &[String]) -> Result<()> {
    let temporary = sidecar(path, "new");
    // The lock is ours, so a file of this name is from a run that was killed.
    let _ = std::fs::remove_file(&temporary);
    let doing = "cannot make the file";
    let build = || -> Result<()> {
        let json = provenance_json(provenance)?;
        let write = || -> hdf5::Result<()> {
            let file = file_options().create(&temporary)?;
            file.new_attr::<u32>().create(VERSION)?.write_scalar(&FORMAT_VERSION)?;
            write_string_attr(&file, PROVENANCE, &json)?;
            file.create_group(LAYERS)?;
            create_column::<VarLenUnicode>(&file, CLASSES, 0, 64)?;
            append_column(&file, CLASSES, &strings(classes.iter())?)?;
            let group = file.create_group(ROWS)?;
            create_column::<VarLenUnicode>(&group, "path", 0, CHUNKS.0)?;
            create_column::<i32>(&group, "label", 0, CHUNKS.0)?;
            create_column::<VarLenUnicode>(&group, "split", 0, CHUNKS.0)?;
            create_column::<u32>(&group, "view", 0, CHUNKS.0)?;
            create_run_column::<u8>(&group, "status", 0, CHUNKS.1)?;
            create_run_column::<Reason>(&group, "error", 0, CHUNKS.2)?;
            drop(group);
            write_rows(&file, rows)?;
            let mut digest = RowDigest::new();
            rows.iter().for_each(|spec| digest.push_spec(spec, classes));
            note_digest(&file, &digest.finish())?;
            file.flush()?;
            file.close()
        };
        write().at(path, doing)?;
        std::fs::File::open(&temporary).and_then(|file| file.sync_all()).at(path, doing)?;
        std::fs::rename(&temporary, path).at(path, doing)?;
        // The new name itself survives a power cut only when the folder is synced; not every file system can do that.
        if let Some(Ok(folder)) = path.parent().map(std::fs::File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    build().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

fn provenance_json(provenance: &Provenance) -> Result<String> {
    serde_json::to_string_pretty(provenance)
        .map_err(|error| Error::BadSchema(format!("provenance cannot be written as JSON: {error}")))
}

/// Writes what says which rows there are; files of older versions have none.
fn note_digest(file: &File, digest: &str) -> hdf5::Result<()> {
    let group = file.group(ROWS)?;
    match group.attr(ROW_DIGEST) {
        Ok(attribute) => attribute.write_scalar(&to_hdf5(digest)?),
        Err(_) => write_string_attr(&group, ROW_DIGEST, digest).map(drop),
    }
}

/// Makes every column of `/rows` longer by `rows`.
fn write_rows(file: &File, rows: &[RowSpec]) -> hdf5::Result<()> {
    let column = |name: &str| format!("{ROWS}/{name}");
    append_column(file, &column("path"), &strings(rows.iter().map(|row| &row.path))?)?;
    append_column(file, &column("label"), &rows.iter().map(|row| row.label).collect::<Vec<_>>())?;
    append_column(file, &column("split"), &strings(rows.iter().map(|row| &row.split))?)?;
    append_column(file, &column("view"), &rows.iter().map(|row| row.view).collect::<Vec<_>>())?;
    append_column(file, &column("status"), &vec![Status::Pending.code(); rows.len()])?;
    append_column(file, &column("error"), &vec![Reason::new(); rows.len()])
}

fn append_column<T: H5Type>(file: &File, name: &str, values: &[T]) -> hdf5::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let dataset = file.dataset(name)?;
    let old = dataset.size();
    dataset.resize(old + values.len())?;
    dataset.write_slice(values, select_rows(old..old + values.len(), 1))
}

fn strings<'a>(texts: impl Iterator<Item = &'a String>) -> hdf5::Result<Vec<VarLenUnicode>> {
    texts.map(|text| to_hdf5(text)).collect()
}
