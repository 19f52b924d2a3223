//! What opening, extending and appending cost: the columns of the rows, never the values that are there already.
#![cfg(target_os = "linux")]

mod common;

use common::{append, classes, layer, provenance, rows, temporary};
use headstart_cache::{Cache, Store, Writer};

const ROWS: usize = 2000;
const WIDTH: usize = 4096;

/// Bytes that this thread has read from files.
fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn values_that_are_there_are_not_read_again() {
    let (_dir, path) = temporary();
    let wide = layer("layer4", "gap", &[WIDTH], Store::F32);
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(ROWS), &classes()).unwrap();
    let id = writer.add_layer(&wide).unwrap();
    append(&mut writer, 0..ROWS, &[(id, 3, WIDTH)]);
    writer.finish().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size > 32_000_000);

    let start = bytes_read();
    let cache = Cache::open(&path).unwrap();
    assert!(cache.is_complete());
    drop(cache);
    let opened = bytes_read();
    let (mut writer, ids) = Writer::open_or_create(&path, &provenance(), &rows(ROWS + 8), &classes()).unwrap();
    assert_eq!(ids.len(), ROWS + 8);
    let id = writer.add_layer(&wide).unwrap();
    append(&mut writer, ROWS..ROWS + 8, &[(id, 3, WIDTH)]);
    writer.finish().unwrap();
    let extended = bytes_read();
    // Rows that failed are looked at one by one when a file is opened for writing: a seventeenth of these.
    let failed = (ROWS / 17 + 1) as u64 * WIDTH as u64 * 4;
    assert!(opened - start < 2_000_000, "{} of {size} bytes were read to open", opened - start);
    assert!(extended - opened < 3_000_000 + failed, "{} of {size} bytes were read to extend", extended - opened);
}
