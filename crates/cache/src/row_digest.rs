//! A digest of everything that is listed about the rows, so that a run can tell that they are the ones it was given without
//! reading a million of them.

use sha2::{Digest, Sha256};

use crate::contents::Rows;
use crate::schema::RowSpec;

/// Bytes that are hashed at once.
const BLOCK: usize = 1 << 16;

/// Takes in rows in their order: path, view, class and split of each.
#[derive(Debug, Default)]
pub struct RowDigest {
    hash: Sha256,
    /// Not yet hashed.
    pending: Vec<u8>,
    rows: usize,
}

impl RowDigest {
    /// Of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next row; `class`: the name of its class, none for a row without one.
    pub fn push(&mut self, path: &str, view: u32, class: Option<&str>, split: &str) {
        self.text(path);
        self.pending.extend(view.to_le_bytes());
        self.pending.push(class.is_some().into());
        self.text(class.unwrap_or_default());
        self.text(split);
        self.rows += 1;
        if self.pending.len() >= BLOCK {
            self.flush();
        }
    }

    /// Its length goes before a text, so that no other texts look the same one after another.
    fn text(&mut self, text: &str) {
        self.pending.extend((text.len() as u64).to_le_bytes());
        self.pending.extend(text.as_bytes());
    }

    fn flush(&mut self) {
        self.hash.update(&self.pending);
        self.pending.clear();
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// sha256 in hex.
    pub fn finish(mut self) -> String {
        self.flush();
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Of the rows of a file.
    pub(crate) fn of(rows: &Rows, classes: &[String]) -> Self {
        let mut digest = Self::new();
        for row in 0..rows.len() {
            digest.push(&rows.path[row], rows.view[row], class(rows.label[row], classes), &rows.split[row]);
        }
        digest
    }

    /// Takes in a row of the classes of a file.
    pub(crate) fn push_spec(&mut self, spec: &RowSpec, classes: &[String]) {
        self.push(&spec.path, spec.view, class(spec.label, classes), &spec.split);
    }
}

/// The name of a class, none for the label −1.
fn class(label: i32, classes: &[String]) -> Option<&str> {
    usize::try_from(label).ok().and_then(|label| classes.get(label)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, u32, Option<&str>, &str)]) -> String {
        let mut digest = RowDigest::new();
        rows.iter().for_each(|&(path, view, class, split)| digest.push(path, view, class, split));
        digest.finish()
    }

    #[test]
    fn whatever_differs_differs() {
        let one = ("a.png", 0, Some("cat"), "train");
        let all = [
            of(&[]),
            of(&[one]),
            of(&[one, one]),
            of(&[("a.png", 1, Some("cat"), "train")]),
            of(&[("a.png", 0, Some("dog"), "train")]),
            of(&[("a.png", 0, Some(""), "train")]),
            of(&[("a.png", 0, None, "train")]),
            of(&[("a.png", 0, Some("cat"), "test")]),
            of(&[("a.pngc", 0, Some("at"), "train")]),
            of(&[("b.png", 0, Some("cat"), "train"), one]),
            of(&[one, ("b.png", 0, Some("cat"), "train")]),
        ];
        let distinct: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn blocks_do_not_show() {
        let names: Vec<String> = (0..5000).map(|row| format!("{row}.png")).collect();
        let mut digest = RowDigest::new();
        let mut whole = Vec::new();
        for name in &names {
            digest.push(name, 0, None, "");
            whole.extend((name.len() as u64).to_le_bytes());
            whole.extend(name.as_bytes());
            whole.extend([0; 4 + 1 + 8 + 8]);
        }
        assert_eq!(digest.rows(), 5000);
        let expected: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest.finish(), expected);
    }
}
