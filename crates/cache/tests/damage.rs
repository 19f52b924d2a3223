//! Files that are not what they should be: each refused in words, none a crash, and `verify` finds what was planted.

mod common;

use std::path::Path;

use common::*;
use headstart_cache::{Cache, Error, Store, Writer, verify};
use proptest::prelude::*;

fn sample(path: &Path) {
    let (mut writer, _) = Writer::open_or_create(path, &provenance(), &rows(40), &classes()).unwrap();
    let ids = writer
        .add_layers(&[layer("a", "gap", &[6], Store::F32), layer("b", "flatten", &[5], Store::F16)].map(|mut desc| {
            if desc.pool == "flatten" {
                desc.shape = vec![5];
            }
            desc
        }))
        .unwrap();
    append(&mut writer, 0..40, &[(ids[0], 1, 6), (ids[1], 2, 5)]);
    writer.finish().unwrap();
}

#[test]
fn every_way_of_not_being_a_cache_has_its_own_words() {
    let (dir, path) = temporary();
    assert!(matches!(Cache::open(&path), Err(Error::Missing { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Cache::open(&path), Err(Error::NotHdf5 { .. })));
    std::fs::write(&path, "PK\x03\x04 and so on, a zip").unwrap();
    assert!(matches!(Cache::open(&path), Err(Error::NotHdf5 { .. })));
    let refused = Writer::open_or_create(&path, &provenance(), &rows(1), &classes()).unwrap_err();
    assert!(matches!(refused, Error::NotHdf5 { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"PK\x03\x04 and so on, a zip", "the file was not touched");

    let foreign = dir.path().join("foreign.h5");
    hdf5::File::create(&foreign).unwrap().create_group("rows").unwrap();
    let error = Cache::open(&foreign).unwrap_err();
    assert!(matches!(error, Error::NotACache { .. }), "{error}");

    let newer = dir.path().join("newer.h5");
    sample(&newer);
    hdf5::File::open_rw(&newer).unwrap().attr("format_version").unwrap().write_scalar(&99_u32).unwrap();
    let error = Cache::open(&newer).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    assert!(Cache::open(dir.path()).is_err(), "a folder is no cache");
}

#[test]
fn truncated_files_are_named_as_such() {
    let (dir, path) = temporary();
    sample(&path);
    let whole = std::fs::read(&path).unwrap();
    for part in [1, 8, 20, 50, 90, 99] {
        let cut = dir.path().join(format!("{part}.h5"));
        std::fs::write(&cut, &whole[..whole.len() * part / 100]).unwrap();
        let error = Cache::open(&cut).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{part} %: {error}");
        let error = Writer::open_or_create(&cut, &provenance(), &rows(40), &classes()).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{part} %: {error}");
    }
}

#[test]
fn verify_finds_planted_damage() {
    type Plant = fn(&hdf5::File) -> hdf5::Result<()>;
    let plants: [(&str, Plant); 12] = [
        ("the digest of the rows differs", |f| f.dataset("rows/label")?.write_slice(&[0], 3..4)),
        ("label 7", |f| f.dataset("rows/label")?.write_slice(&[7], 3..4)),
        ("row 4 has status 9", |f| f.dataset("rows/status")?.write_slice(&[9_u8], 4..5)),
        ("row 3 is pending", |f| f.dataset("rows/status")?.write_slice(&[0_u8], 3..4)),
        ("row 5 (dossier été/00005.jpg): the row failed, but has numbers", |f| {
            f.dataset("layers/a:gap")?.write_slice(&ndarray::arr2(&[[1.0_f32; 6]]), ndarray::s![5..6, ..])
        }),
        ("row 7 (dossier été/00007.jpg): 1 of 6 values", |f| {
            f.dataset("layers/a:gap")?.write_slice(&ndarray::arr2(&[[f32::NAN]]), ndarray::s![7..8, 2..3])
        }),
        ("failed without a reason", |f| {
            f.dataset("rows/error")?.write_slice(&[hdf5::types::FixedUnicode::<160>::new()], 5..6)
        }),
        ("/rows/view has 39 rows", |f| f.dataset("rows/view")?.resize(39)),
        ("layer a:gap has 12 rows", |f| f.dataset("layers/a:gap")?.resize((12, 6))),
        ("layer b:flatten has 40 rows and 41 committed", |f| {
            f.dataset("layers/b:flatten")?.attr("committed_rows")?.write_scalar(&41_u64)
        }),
        ("rows 1 and 2 are both", |f| {
            let paths = f.dataset("rows/path")?;
            let first: Vec<hdf5::types::VarLenUnicode> = paths.read_slice_1d(1..2)?.to_vec();
            paths.write_slice(&first, 2..3)
        }),
        ("layer b:flatten has rows of shape", |f| f.dataset("layers/b:flatten")?.attr("shape")?.write_raw(&[6_u64])),
    ];
    for (expected, plant) in plants {
        let (_dir, path) = temporary();
        sample(&path);
        assert!(verify(&path).unwrap().is_clean());
        let file = hdf5::File::open_rw(&path).unwrap();
        plant(&file).unwrap();
        file.close().unwrap();
        let report = verify(&path).unwrap();
        assert!(report.problems.iter().any(|problem| problem.contains(expected)), "{expected}: {report:?}");
    }
}

#[test]
fn reading_broken_files_child() {
    let Some(path) = child_argument() else { return };
    let read = || assert!(Cache::open(&path).is_err());
    std::thread::scope(|scope| {
        scope.spawn(read);
        scope.spawn(read);
    });
    read();
    println!("went through");
}

#[test]
fn hdf5_never_writes_on_stderr() {
    let (_dir, path) = temporary();
    sample(&path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let output = child("reading_broken_files_child", &path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("went through"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("HDF5"));
}

#[test]
fn a_torn_journal_is_thrown_away_and_a_whole_one_is_for_its_file() {
    let (dir, path) = temporary();
    sample(&path);
    let before = std::fs::read(&path).unwrap();
    let journal = dir.path().join(".x.h5.undo");
    for torn in [&b""[..], b"hsundo1\n", &[7; 500]] {
        std::fs::write(&journal, torn).unwrap();
        assert!(verify(&path).unwrap().is_clean());
        assert!(!journal.exists());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Bytes changed anywhere in the raw data or strings: an error or a report, never a panic.
    #[test]
    fn flipped_bytes_are_survived(changes in proptest::collection::vec((0.0..1.0_f64, 1..=255_u8), 1..4)) {
        let (_dir, path) = temporary();
        sample(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = (bytes.len() - 1) as f64;
        for (place, flip) in changes {
            bytes[(place * last) as usize] ^= flip;
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(report) = verify(&path) {
            prop_assert!(report.problems.len() as u64 <= report.problem_count);
        }
    }
}
