//! `headstart bench`: that it measures what it says, in every form. How fast anything is, no test asks.

use crate::harness::{Dir, says};

#[test]
fn decoding_and_writing_are_measured_and_leave_nothing_behind() {
    let dir = Dir::new();
    let few = "--repeats 2 --seconds 0 --limit 3 --megabytes 1 --folder out";
    let report = dir.json(&format!("bench --what decode,write --threads 1,3 {few}"));
    assert!(!report["machine"]["cpu"].as_str().unwrap().is_empty());
    assert!(report["machine"]["threads"].as_u64().unwrap() > 0);
    let rates = report["decode"]["rates"].as_array().unwrap();
    assert_eq!(rates.iter().map(|rate| rate["threads"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for rate in rates {
        let [low, median, high] = ["low", "median", "high"].map(|of| rate["images_per_second"][of].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high, "{rate}");
    }
    assert!(report["write"]["megabytes_per_second"]["low"].as_f64().unwrap() > 0.0);
    assert!(report.get("forward").is_none() && report.get("extract").is_none());
    assert_eq!(std::fs::read_dir(dir.path("out")).unwrap().count(), 0);
    says(&dir.run(&format!("bench --what write {few}")), &["MB/s", "until the disk has it", "threads ("]);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let dir = Dir::new();
    says(&dir.misused("bench --what swim"), &["swim", "decode"]);
    says(&dir.misused("bench --what write --seconds 4000"), &["--seconds"]);
    says(&dir.fails("bench --what decode --images nowhere"), &["nowhere", "no such file"]);
    dir.write("photos/a.png", "no picture");
    says(&dir.fails("bench --what decode --images photos"), &["photos", "not an image"]);
    #[cfg(not(feature = "torch"))]
    says(&dir.fails("bench"), &["bench --what forward", "built without libtorch"]);
}

#[cfg(feature = "torch")]
#[test]
fn networks_and_extractions_are_measured() {
    let dir = Dir::new();
    let few = "--repeats 1 --seconds 0 --limit 3 --backbone lenet5";
    let report = dir.json(&format!("bench --what forward,extract {few} --batch 1,4 --device cpu"));
    let forward = report["forward"].as_array().unwrap();
    assert_eq!(forward.len(), 2);
    assert_eq!(forward[1]["batch"], 4);
    assert_eq!(forward[1]["parameters"], 61_706);
    assert_eq!((&forward[0]["device"], &forward[0]["dtype"]), (&"cpu".into(), &"f32".into()));
    let one = |of: &str| forward[1][of]["median"].as_f64().unwrap();
    assert!((one("ms_per_step") - 4.0 * one("ms_per_image")).abs() < 1e-9);
    assert!((one("images_per_second") * one("ms_per_image") - 1000.0).abs() < 1e-6);
    let extract = &report["extract"][0];
    assert!(extract["images_per_second"]["low"].as_f64().unwrap() > 0.0);
    assert!(extract["bottleneck"]["advice"].is_string());
    let shown = dir.run(&format!("bench --what forward,extract {few}"));
    says(&shown, &["lenet5", "ms per image", "GFLOP/s", "images/s", "busy: reading"]);
    says(&dir.misused("bench --backbone resnet19"), &["resnet19", "resnet18"]);
}
