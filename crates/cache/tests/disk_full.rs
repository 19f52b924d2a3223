//! No room left, on a small file system of its own and under a file size limit.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use headstart_cache::{Cache, Error, Store, Writer, verify};

const ROWS: usize = 1000;
const WIDTH: usize = 1024;

/// Runs the test `name` of this binary as the last words of a shell script, in which `"$0" "$@"` stands for it.
fn under(launcher: &mut Command, script: &str, name: &str, dir: &Path) -> std::process::Output {
    let program = child(name, dir);
    launcher.args(["sh", "-c", script]).arg(program.get_program()).args(program.get_args());
    launcher.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    launcher.env("DIR", dir).output().unwrap()
}

fn assert_ran(output: &std::process::Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("went through"), "{out}\n{err}");
    assert!(!err.contains("HDF5-DIAG"), "HDF5 wrote on stderr: {err}");
}

fn open(path: &Path) -> headstart_cache::Result<(Writer, [Filled; 1])> {
    let (mut writer, _) = Writer::open_or_create(path, &provenance(), &rows(ROWS), &classes())?;
    let id = writer.add_layer(&layer("a", "gap", &[WIDTH], Store::F32))?;
    Ok((writer, [(id, 4, WIDTH)]))
}

/// Appends until the end or an error.
fn fill(writer: &mut Writer, layer: Filled) -> headstart_cache::Result<()> {
    while !writer.is_complete() {
        let start = writer.committed(layer.0);
        let rows = start..ROWS.min(start + 16);
        let outcomes: Vec<_> = rows.clone().map(outcome).collect();
        writer.append(start, &outcomes, &[(layer.0, &values(layer.1, rows, layer.2))])?;
    }
    Ok(())
}

fn assert_sound(path: &Path) {
    let report = verify(path).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn full_disk_child() {
    let Some(dir) = child_argument() else { return };
    let path = dir.join("x.h5");
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 600 << 10]).unwrap();
    let (mut writer, [layer]) = open(&path).unwrap();
    let error = fill(&mut writer, layer).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    let committed = writer.committed(layer.0);
    assert!(committed > 0);
    let closed = writer.append(committed, &[outcome(0)], &[(layer.0, &values(4, 0..1, WIDTH))]).unwrap_err();
    assert!(matches!(closed, Error::Closed { .. }), "{closed}");
    drop(writer);
    assert_sound(&path);
    assert_eq!(Cache::open(&path).unwrap().find_layer("a").unwrap().committed, committed);

    // Adding rows with more and more room: each attempt succeeds, or changes nothing.
    let mut failures = 0;
    for room in (0..600).rev().step_by(20) {
        std::fs::write(&ballast, vec![]).unwrap();
        if std::fs::write(&ballast, vec![1; room << 10]).is_err() {
            continue;
        }
        let output = child("extending_child", &path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_sound(&path);
        let rows = Cache::open(&path).unwrap().rows().len();
        if String::from_utf8_lossy(&output.stdout).contains("extended") {
            assert_eq!(rows, ROWS + 500);
            break;
        }
        assert_eq!(rows, ROWS);
        failures += 1;
    }
    assert!(failures > 3 && Cache::open(&path).unwrap().rows().len() > ROWS, "{failures} failures");

    // With some room the same process gets further, and with enough another one to the end.
    std::fs::remove_file(&ballast).unwrap();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(ROWS), &classes()).unwrap();
    assert!(matches!(fill(&mut writer, layer), Err(Error::DiskFull { .. })));
    assert!(writer.committed(layer.0) > committed);
    drop(writer);
    let grown = Command::new("mount").args(["-o", "remount,size=32m"]).arg(&dir).status().unwrap();
    assert!(grown.success());
    let (mut writer, [layer]) = open(&path).unwrap();
    append(&mut writer, 0..ROWS + 500, &[layer]);
    writer.finish().unwrap();
    assert_sound(&path);
    assert_layer(&Cache::open(&path).unwrap(), "a", 4);
    println!("went through");
}

/// Adds rows where there may be no room for them.
#[test]
fn extending_child() {
    let Some(path) = child_argument() else { return };
    match Writer::open_or_create(&path, &provenance(), &rows(ROWS + 500), &classes()) {
        Ok((writer, _)) => {
            assert_eq!(writer.row_count(), ROWS + 500);
            println!("extended");
        }
        Err(error) => {
            assert!(matches!(error, Error::DiskFull { .. }), "{error}");
            // HDF5 would show this process its own unwritten idea of the file.
            if let Err(error) = Cache::open(&path) {
                assert!(matches!(error, Error::Abandoned { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_full_disk_costs_only_what_was_not_committed() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=3m tmpfs \"$DIR\" || exit 77; exec \"$0\" \"$@\"";
    let mut launcher = Command::new("unshare");
    launcher.args(["--map-root-user", "--mount"]);
    let possible = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a small file system cannot be mounted here (unshare is not permitted)");
        return;
    }
    let output = under(&mut launcher, script, "full_disk_child", dir.path());
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return;
    }
    assert_ran(&output);
}

#[test]
fn size_limit_child() {
    let Some(dir) = child_argument() else { return };
    let path = dir.join("x.h5");
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(matches!(Cache::open(&path), Err(Error::Abandoned { .. })));
    println!("went through");
}

#[test]
fn a_file_size_limit_refuses_a_layer_and_nothing_else() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // In units of 512 bytes or 1 KiB, depending on the shell: 1 or 2 MiB.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    assert_ran(&under(&mut Command::new("env"), script, "size_limit_child", dir.path()));
    // The layer did not fit, the rows did, and without the limit the layer does as well.
    let path = dir.path().join("x.h5");
    assert_sound(&path);
    assert!(Cache::open(&path).unwrap().layers().is_empty());
    let (mut writer, [layer]) = open(&path).unwrap();
    fill(&mut writer, layer).unwrap();
    writer.finish().unwrap();
    assert_layer(&Cache::open(&path).unwrap(), "a", 4);
}
