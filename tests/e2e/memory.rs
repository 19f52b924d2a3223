//! Training within a bound on memory.

use crate::{
    harness::{Dir, says},
    heads::{clusters, description, number, three_classes},
};
use serde_json::Value;
use std::process::{Command, Stdio};

/// Runs a command that has to succeed and gives the JSON that it printed, with the most memory it had at a time.
fn peak(dir: &Dir, arguments: &str) -> (Value, u64) {
    let output = dir.path("stdout.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_headstart"))
        .args(arguments.split_whitespace())
        .args(["--json"])
        .current_dir(dir.path(""))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The system's own count at the end would include this process, which the child was for a moment.
    let mut most = 0;
    let status = loop {
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most =
            line.and_then(|kilobytes| kilobytes.parse().ok()).map_or(most, |kilobytes: u64| most.max(kilobytes << 10));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert!(status.success(), "{arguments}");
    (serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap(), most)
}

#[test]
fn features_beyond_the_bound_are_streamed_and_give_the_same_head() {
    const ROWS: usize = 80_000;
    const WIDTH: usize = 512;
    const LIMIT: u64 = 32 << 20;
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["ant", "bee", "fly", "owl"], ROWS / 4, WIDTH);
    dir.run("import x.npz -o x.h5");
    clusters(&dir, "small.npz", &["ant", "bee", "fly", "owl"], 100, WIDTH);
    dir.run("import small.npz -o small.h5");
    let train = |cache: &str, head: &str, more: &str| {
        peak(&dir, &format!("train {cache} --c 0.01 --cv none --tol 1e-2 -o {head} {more}"))
    };
    let (_, program) = train("small.h5", "small.head", "");
    let (inside, much) = train("x.h5", "memory.head", "");
    let (outside, little) = train("x.h5", "streamed.head", "--memory 32M");
    assert_eq!((&inside["memory"]["streamed"], &outside["memory"]["streamed"]), (&false.into(), &true.into()));
    assert_eq!(outside["memory"]["limit"], LIMIT);
    // Training and test rows: validation rows are used by neither.
    assert_eq!(outside["memory"]["features"], (ROWS * 3 / 4 * WIDTH * 4) as u64);
    assert_eq!(description(&dir, "memory.head")["objective"], description(&dir, "streamed.head")["objective"]);
    assert_eq!(inside["test"], outside["test"]);
    assert!(number(&outside["test"]["accuracy"]["value"]) > 0.5);
    // What each row has beside its features: path, split, class, group.
    let rows = 400 * ROWS as u64;
    assert!(little < program + LIMIT + rows, "{little} bytes, {program} with next to nothing in memory");
    assert!(much > little + LIMIT, "{much} bytes in memory, {little} streamed");
}

#[test]
fn what_does_not_fit_is_refused_with_the_way_out() {
    let dir = three_classes();
    says(&dir.misused("train x.h5 --memory 1K -o x.head"), &["--memory", "512M"]);
    says(&dir.misused("train x.h5 --memory lots -o x.head"), &["--memory", "lots"]);
    let shown = dir.json("train x.h5 --c 1 --cv none --memory 64M -o x.head");
    assert_eq!(shown["memory"]["streamed"], false);
}

#[cfg(feature = "torch")]
#[test]
fn an_extraction_takes_no_more_memory_for_more_images() {
    let dir = Dir::new();
    let pixels = image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    pixels.save(dir.path("a.jpg")).unwrap();
    let picture = dir.read("a.jpg");
    for index in 0..1200 {
        dir.write(&format!("many/{index:04}.jpg"), &picture);
        if index < 200 {
            dir.write(&format!("few/{index:04}.jpg"), &picture);
        }
    }
    // Maps, so that what is kept of an image would be seen: 1.2 MB as f32.
    let extract = |images: &str| {
        let backbone = "--backbone squeezenet1_1 --weights random:0 --size 64 --threads 2";
        peak(&dir, &format!("extract --images {images} {backbone} --layers features.3:raw --batch 32 -o {images}.h5")).1
    };
    let (few, many) = (extract("few"), extract("many"));
    assert!(many < few + (24 << 20), "{few} bytes for 200 images, {many} for 1200");
}
