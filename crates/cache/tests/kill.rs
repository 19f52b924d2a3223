//! Other processes: killed writers, second writers, readers during a run.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use common::*;
use headstart_cache::{Cache, Error, RowOutcome, Store, Writer, summarize, verify};

const ROWS: usize = 9000;

fn open(path: &Path) -> (Writer, [Filled; 2]) {
    let (mut writer, _) = Writer::open_or_create(path, &provenance(), &rows(ROWS), &classes()).unwrap();
    let descs = [layer("a", "gap", &[64], Store::F32), layer("b", "raw", &[3, 7, 7], Store::F16)];
    let ids = writer.add_layers(&descs).unwrap();
    (writer, [(ids[0], 0, 64), (ids[1], 1, 147)])
}

fn spawn(name: &str, path: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut child = child(name, path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    (child, lines.filter(|line| line.contains("now")))
}

/// Some number below `n`, another one each time: the tests hold whatever it is.
fn any(n: u32) -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos() / 100 % n
}

/// Appends everything that is missing in small batches, saying so after each.
#[test]
fn writing_child() {
    let Some(path) = child_argument() else { return };
    let (mut writer, layers) = open(&path);
    while !writer.is_complete() {
        let start = writer.committed(layers[0].0).min(writer.committed(layers[1].0));
        append(&mut writer, start..ROWS.min(start + 7), &layers);
        println!("now at {start}");
    }
    writer.finish().unwrap();
}

#[test]
fn kills_at_any_moment_lose_nothing_committed() {
    let (_dir, path) = temporary();
    for round in 0..12 {
        let (mut child, mut lines) = spawn("writing_child", &path);
        let seen = lines.by_ref().take(1 + any(15) as usize).last();
        std::thread::sleep(Duration::from_micros(u64::from(any(1000))));
        child.kill().unwrap();
        child.wait().unwrap();
        let seen: usize = seen.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let report = verify(&path).unwrap();
        assert!(report.is_clean(), "round {round}: {report:?}");
        let cache = Cache::open(&path).unwrap();
        for layer in cache.layers() {
            assert!(layer.committed >= ROWS.min(seen + 7), "{} after {seen}", layer.committed);
        }
    }
    let (mut child, lines) = spawn("writing_child", &path);
    assert!(lines.count() > 0);
    assert!(child.wait().unwrap().success());

    let cache = Cache::open(&path).unwrap();
    assert!(cache.is_complete());
    assert_layer(&cache, "a", 0);
    assert_layer(&cache, "b", 1);
    let (_dir, at_once) = temporary();
    let (mut writer, layers) = open(&at_once);
    append(&mut writer, 0..ROWS, &layers);
    writer.finish().unwrap();
    let at_once = Cache::open(&at_once).unwrap();
    assert_eq!(cache.rows(), at_once.rows());
    assert_eq!(cache.layers(), at_once.layers());
}

/// Adds rows and layers for ever.
#[test]
fn growing_child() {
    let Some(path) = child_argument() else { return };
    for _ in 0..1000 {
        let have = Cache::open(&path).unwrap();
        let (n, layers) = (have.rows().len() + 37, have.layers().len());
        drop(have);
        let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(n), &classes()).unwrap();
        let (id, committed) = writer.layers().next().map(|(id, info)| (id, info.committed)).unwrap();
        append(&mut writer, committed..n, &[(id, 9, 16)]);
        writer.add_layer(&layer(&format!("l{layers}"), "gap", &[3], Store::F32)).unwrap();
        println!("now {n} rows");
    }
}

#[test]
fn kills_while_rows_and_layers_are_added_leave_a_sound_file() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(10), &classes()).unwrap();
    let id = writer.add_layer(&layer("l0", "gap", &[16], Store::F32)).unwrap();
    append(&mut writer, 0..10, &[(id, 9, 16)]);
    writer.finish().unwrap();
    for round in 0..20 {
        let (mut child, mut lines) = spawn("growing_child", &path);
        assert!(lines.next().is_some(), "round {round}: the child ended by itself");
        std::thread::sleep(Duration::from_micros(u64::from(any(20_000))));
        child.kill().unwrap();
        child.wait().unwrap();
        let report = verify(&path).unwrap();
        assert!(report.is_clean(), "round {round}: {report:?}");
    }
    // What the kills interrupted can be completed.
    let n = Cache::open(&path).unwrap().rows().len();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(n), &classes()).unwrap();
    let (id, start) = writer.layers().next().map(|(id, info)| (id, info.committed)).unwrap();
    append(&mut writer, start..n, &[(id, 9, 16)]);
    writer.finish().unwrap();
    assert_layer(&Cache::open(&path).unwrap(), "l0", 9);
}

/// Commits a hundred rows, then holds the file until its input ends.
#[test]
fn holding_child() {
    let Some(path) = child_argument() else { return };
    let (mut writer, layers) = open(&path);
    append(&mut writer, 0..100, &layers);
    println!("now holding");
    std::io::stdin().lines().for_each(drop);
    let outcomes = vec![RowOutcome::Done; 8];
    writer.append(100, &outcomes, &[(layers[0].0, &values(0, 100..108, 64))]).unwrap();
}

#[test]
fn one_writer_at_a_time_and_readers_meanwhile() {
    let (_dir, path) = temporary();
    let (mut child, mut lines) = spawn("holding_child", &path);
    lines.next().unwrap();
    let error = Writer::open_or_create(&path, &provenance(), &rows(ROWS), &classes()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {} on ", child.id())), "{error}");

    let summary = summarize(&path).unwrap();
    assert!(summary.writer.unwrap().contains(&child.id().to_string()));
    assert_eq!((summary.rows.pending, summary.complete), (ROWS - 100, false));
    let cache = Cache::open(&path).unwrap();
    let a = cache.find_layer("a").unwrap();
    assert_eq!(a.committed, 100);
    assert_eq!(cache.read(a, 0..2).unwrap().as_slice().unwrap(), values(0, 0..2, 64));
    assert!(verify(&path).unwrap().is_clean());

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    // The reader keeps what it saw; the next one sees more. The lock went with its holder.
    assert_eq!(cache.find_layer("a").unwrap().committed, 100);
    drop(cache);
    assert_eq!(Cache::open(&path).unwrap().find_layer("a").unwrap().committed, 108);
    assert!(summarize(&path).unwrap().writer.is_none());
    open(&path);
}
