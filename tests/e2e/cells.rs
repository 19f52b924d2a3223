//! The commands for small data on real images with real weights: solar cells, functional or defective. scripts/test fetches both.

use crate::harness::{Dir, Headstart, repository, says, skip, texts};
use serde_json::{Value, json};

/// A folder with a list of some of the cells of data/elpv: `training` and `test` of each of the two classes. None where they are
/// missing.
fn cells(training: usize, test: usize) -> Option<Dir> {
    let folder = repository().join("data/elpv");
    let Ok(listed) = std::fs::read_to_string(folder.join("images.csv")) else {
        skip("no solar cells; get them with: scripts/fetch elpv");
        return None;
    };
    let dir = Dir::new();
    let weights = dir.headstart("weights list --json").with_real_weights().run().exits(0).json();
    let here = |entry: &Value| entry["backbone"] == "resnet18" && entry["cached"].is_string();
    if !weights.as_array().unwrap().iter().any(here) {
        skip("no weights; get them with: headstart weights get resnet18");
        return None;
    }
    let mut list = String::from("path,label,split\n");
    for (label, split, count) in ["functional", "defective"]
        .iter()
        .flat_map(|label| [("train", training), ("test", test)].map(|(split, count)| (label, split, count)))
    {
        let wanted = format!(",{label},{split}");
        for line in listed.lines().filter(|line| line.trim_end().ends_with(&wanted)).take(count) {
            list += &format!("{}/{}\n", folder.display(), line.trim_end());
        }
    }
    dir.write("cells.csv", list);
    Some(dir)
}

fn real(dir: &Dir, arguments: &str) -> Headstart {
    dir.headstart(arguments).with_real_weights()
}

const EXTRACT: &str = "extract --images cells.csv --backbone resnet18";

#[test]
fn layers_heads_and_sizes_are_compared() {
    let Some(dir) = cells(24, 12) else { return };
    let summary = real(&dir, &format!("{EXTRACT} --layers maxpool,layer2,layer4 -o x.h5 --json")).run().exits(0).json();
    assert_eq!((&summary["computed"], &summary["failed"]), (&json!(72), &json!([])));

    let sweep = dir.json("sweep x.h5 --heads logistic,svm --standardize --report sweep");
    let rows = sweep["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let [test, low, high] = ["test", "test_low", "test_high"].map(|field| row[field].as_f64().unwrap());
        assert!(low < test && test < high && row["n_test"] == 24, "{row}");
        assert!(row["multiply_adds"].as_u64().unwrap() > 100_000_000 && row["bytes_per_image"].as_u64().unwrap() > 0);
    }
    // Cells are told apart far better than by guessing, whichever layer is chosen.
    let best = &rows[sweep["groups"][0]["best"].as_u64().unwrap() as usize];
    assert!(best["cv_mean"].as_f64().unwrap() > 0.65 && best["against_best"].is_null(), "{best}");

    let curve =
        dir.json("curve x.h5 --layers layer2,layer4 --standardize --per-class 6,12,all --draws 3 --report curve");
    for line in curve["lines"].as_array().unwrap() {
        let images: Vec<u64> =
            line["points"].as_array().unwrap().iter().map(|p| p["images"].as_u64().unwrap()).collect();
        assert_eq!(images, [12, 24, 48], "{line}");
    }

    let near = dir.json("neighbors x.h5 cell1480.png --layer layer4 -k 3 --report near");
    assert_eq!(near["queries"][0]["neighbors"].as_array().unwrap().len(), 3);
    let units = dir.json("units x.h5 --layer layer4 --top-units 4 --images 5 --report units");
    assert_eq!(units["units"].as_array().unwrap().len(), 4);
    let map = dir.json("map x.h5 --layer layer4 --report map");
    assert_eq!(map["points"].as_array().unwrap().len(), 72);
    for page in ["sweep", "curve", "near", "units", "map"] {
        let html = String::from_utf8(dir.read(&format!("{page}/index.html"))).unwrap();
        assert!(html.contains("headstart") && !html.contains("http://") && !html.contains("https://"), "{page}");
        // The last line of a report of images shows them.
        assert!(!["near", "units"].contains(&page) || html.contains("src=\"data:image/jpeg;base64,"), "{page}");
    }
}

#[test]
fn views_are_trained_on_without_another_extraction() {
    let Some(dir) = cells(8, 6) else { return };
    real(&dir, &format!("{EXTRACT} --layers layer4 -o plain.h5")).run().exits(0);
    let views = format!("{EXTRACT} --layers layer4 --augment standard --views 3 -o views.h5 --json");
    let summary = real(&dir, &views).run().exits(0).json();
    assert_eq!((&summary["rows"], &summary["images"]), (&json!(16 * 3 + 12), &json!(28)));
    let curve = dir.json("curve plain.h5 views.h5 --standardize --per-class 4,all --draws 2 --cv 2");
    assert_eq!(curve["lines"].as_array().unwrap().len(), 2);
    assert!(curve["lines"].as_array().unwrap().iter().all(|line| line["points"][1]["images"] == 16));
    assert_eq!(real(&dir, &views).run().exits(0).json()["computed"], 0);
    real(&dir, "augment --preview cells.csv --augment standard --views 3 -o sheet.png").run().exits(0);
    assert!(dir.read("sheet.png").starts_with(b"\x89PNG"));
}

#[test]
fn cells_are_small_and_different_and_get_the_recipe_for_that() {
    let Some(dir) = cells(40, 10) else { return };
    let advice = real(&dir, "advise cells.csv --json").run().exits(0).json();
    assert_eq!(advice["scenarios"], json!(["small-different"]), "{advice}");
    let said = real(&dir, "scenario 3 cells.csv --cv 3 -o out").run().exits(0).stdout;
    says(&said, &["scenario 3", "svm on", "next: headstart predict out/model.head"]);
    let done = real(&dir, "scenario 3 cells.csv --cv 3 -o out --json").run().exits(0).json();
    assert_eq!(done["extraction"]["computed"], 0, "all is there already");
    assert!(texts(&done["sweep"]["rows"], "head").iter().any(|head| head == "svm"));
    assert!(dir.exists("out/report/index.html") && dir.exists("out/sweep/index.html"));
}
