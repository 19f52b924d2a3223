//! Runs that are ended from outside: by `kill -9` at any moment, by a polite signal, by a second writer.

use crate::{
    harness::{Dir, Running, says},
    hdf5_file::Contents,
    pictures::{Noise, picture_name},
};
use libc::{SIGCONT, SIGINT, SIGKILL, SIGTERM};
use serde_json::Value;
use std::{fs::remove_file, thread::sleep, time::Duration};

/// Long enough to be interrupted: two pictures at a time, each written and flushed.
const EXTRACT: &str =
    "extract --images photos --backbone lenet5 --weights random:0 --batch 2 --layers conv1:raw,conv2:grid2,fc1,tanh_3";

/// Two classes of `count` pictures, of which three are broken.
fn photos(count: usize) -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], count);
    for index in [1, count / 2, count - 1] {
        dir.write(&picture_name("photos", "cat", index), "broken");
    }
    dir
}

/// Rows that every layer has, as `inspect --json` shows them.
fn committed(shown: &Value) -> u64 {
    let layers = shown["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["committed"].as_u64().unwrap()).min().unwrap_or(0)
}

/// The same by what `inspect` calls, which is quicker than a process; none when there is no whole file yet.
fn progress(dir: &Dir, file: &str) -> Option<u64> {
    let summary = headstart_cache::summarize(dir.path(file)).ok()?;
    summary.layers.iter().map(|layer| layer.committed as u64).min()
}

/// Lets a run go on, a moment at a time, until `rows` rows are committed; false when it ended before. It stands still when it is
/// looked at and when this returns, so that nothing depends on how soon anybody looks.
pub fn advance(dir: &Dir, file: &str, rows: u64, run: &mut Running) -> bool {
    while run.stop() {
        if progress(dir, file).is_some_and(|now| now >= rows) {
            return true;
        }
        run.signal(SIGCONT);
        sleep(Duration::from_millis(1));
    }
    false
}

/// A run that makes `file` anew, standing still when it has committed four rows and has more than half of its `rows` to do. One
/// that got further between two looks is started again.
pub fn caught(dir: &Dir, extract: &str, file: &str, rows: u64) -> Running {
    for _ in 0..50 {
        let mut run = dir.headstart(&format!("{extract} -o {file}")).start();
        let standing = advance(dir, file, 4, &mut run);
        if standing && progress(dir, file).is_some_and(|now| now < rows / 2) {
            return run;
        }
        run.signal(SIGCONT);
        run.wait().exits(0);
        remove_file(dir.path(file)).unwrap();
    }
    panic!("fifty runs had done half of their work before they were seen to begin");
}

#[test]
fn twenty_kills_leave_the_same_file_as_none() {
    const KILLS: u32 = 20;
    const ROWS: u64 = 1200;
    let dir = photos(ROWS as usize / 2);
    dir.run(&format!("{EXTRACT} -o whole.h5"));
    let whole = Contents::read(dir.path("whole.h5"));
    let mut noise = Noise(20);
    let (mut landed, mut attempts, mut before) = (0, 0, 0);
    while landed < KILLS {
        assert!(attempts < 10 * KILLS, "only {landed} of {attempts} kills came before the end");
        let mut run = dir.headstart(&format!("{EXTRACT} -o killed.h5")).start();
        // Every third kill comes at any moment since the start, also while the file is being made or opened; the others
        // after a few more rows, at any moment of the batch then under way.
        if attempts % 3 == 0 {
            sleep(Duration::from_millis(noise.below(400).into()));
        } else {
            let more = u64::from(noise.below(ROWS as u32 / KILLS));
            if advance(&dir, "killed.h5", (before + more).min(ROWS - 1), &mut run) {
                run.signal(SIGCONT);
            }
            sleep(Duration::from_micros(noise.below(10_000).into()));
        }
        attempts += 1;
        if run.is_running() {
            run.signal(SIGKILL);
        }
        let killed = run.wait().code.is_none();
        let now = progress(&dir, "killed.h5").unwrap_or(0);
        assert!(now >= before, "kill {attempts}: {now} rows are left of {before}");
        before = now;
        landed += u32::from(killed && now < ROWS);
        if !killed {
            // How far a run gets before its kill is the machine's affair: one that got to the end leaves the whole file,
            // and the kills go on with a new one.
            assert!(Contents::read(dir.path("killed.h5")) == whole, "kill {attempts}: the file differs");
            remove_file(dir.path("killed.h5")).unwrap();
            before = 0;
        }
    }

    let shown = dir.json("inspect killed.h5");
    assert_eq!((committed(&shown), &shown["writer"]), (before, &Value::Null));
    let summary = dir.json(&format!("{EXTRACT} -o killed.h5"));
    assert_eq!(summary["computed"], ROWS - before, "what was committed is computed again");
    let killed = Contents::read(dir.path("killed.h5"));
    for (layer, other) in killed.layers.iter().zip(&whole.layers) {
        for row in 0..ROWS as usize {
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(layer.row(row)), bits(other.row(row)), "{} row {row}", layer.name);
        }
    }
    assert!(killed == whole, "columns differ");
    assert_eq!(whole.status.iter().filter(|&&status| status == 2).count(), 3);
    assert_eq!(dir.json("inspect killed.h5 --verify")["verified"]["problem_count"], 0);
}

#[test]
fn a_kill_while_a_layer_is_added_spares_the_others() {
    let dir = photos(200);
    let both = EXTRACT.replace("tanh_3", "tanh_3,conv2:raw,fc2");
    dir.run(&format!("{EXTRACT} -o x.h5"));
    let before = Contents::read(dir.path("x.h5"));
    for attempt in 0..5_u32 {
        let run = dir.headstart(&format!("{both} -o x.h5")).start();
        sleep(Duration::from_millis((100 * attempt).into()));
        run.signal(SIGKILL);
        run.wait();
        // Whoever opens the file undoes a change of its structure that was cut off; HDF5 alone would not.
        assert!(progress(&dir, "x.h5").is_some(), "kill {attempt}");
        let now = Contents::read(dir.path("x.h5"));
        for layer in &before.layers {
            assert!(now.layer(&layer.name) == layer, "kill {attempt} changed {}", layer.name);
        }
        assert_eq!(now.status, before.status);
    }
    dir.run(&format!("{both} -o x.h5"));
    dir.run(&format!("{both} -o whole.h5"));
    assert!(Contents::read(dir.path("x.h5")) == Contents::read(dir.path("whole.h5")));
}

#[test]
fn polite_signals_end_a_run_resumably() {
    let dir = photos(400);
    dir.run(&format!("{EXTRACT} -o whole.h5"));
    for signal in [SIGINT, SIGTERM] {
        let file = format!("x{signal}.h5");
        let run = caught(&dir, EXTRACT, &file, 800);
        run.signal(signal);
        run.signal(SIGCONT);
        let outcome = run.wait().exits(4);
        says(&outcome.stdout, &["interrupted", &file, "same command continues"]);
        let shown = dir.json(&format!("inspect {file}"));
        let rows = committed(&shown);
        assert!((4..800).contains(&rows), "{rows} rows");
        assert_eq!(shown["complete"], false);
        says(&dir.run(&format!("inspect {file}")), &["incomplete", "same extract command continues"]);
        let summary = dir.json(&format!("{EXTRACT} -o {file}"));
        assert_eq!((&summary["computed"], &summary["interrupted"]), (&(800 - rows).into(), &false.into()));
        assert!(Contents::read(dir.path(&file)) == Contents::read(dir.path("whole.h5")), "signal {signal}");
    }
}

#[test]
fn an_incomplete_layer_is_not_trained_on() {
    let dir = photos(400);
    let run = caught(&dir, EXTRACT, "x.h5", 800);
    run.signal(SIGKILL);
    run.wait();
    let error = dir.fails("train x.h5 --layer fc1 -o x.head");
    says(&error, &["x.h5", "fc1:flatten", "of 800 rows", "run its extract command again"]);
}

#[test]
fn a_second_writer_is_refused_and_inspect_says_how_far_the_first_is() {
    let dir = photos(400);
    let first = caught(&dir, EXTRACT, "x.h5", 800);
    let process = format!("process {}", first.id());
    let error = dir.fails(&format!("{EXTRACT} -o x.h5"));
    says(&error, &["x.h5", "being written by", &process, "-o"]);
    let shown = dir.json("inspect x.h5");
    says(shown["writer"].as_str().unwrap(), &[&process]);
    assert!((4..800).contains(&committed(&shown)), "{}", committed(&shown));
    assert_eq!(shown["complete"], false);
    says(&dir.run("inspect x.h5"), &["being written by", &process, "of 800", "pending"]);
    first.signal(SIGCONT);
    first.wait().exits(0);
    let shown = dir.json("inspect x.h5 --verify");
    assert_eq!((&shown["complete"], &shown["writer"]), (&true.into(), &Value::Null));
}
