//! `import`: vectors made elsewhere become a cache, or are refused by name.

use crate::{
    harness::{Dir, says, texts},
    heads::{clusters, three_classes},
    npz::Npz,
};
use serde_json::json;

#[test]
fn imported_vectors_become_a_cache() {
    let dir = Dir::new();
    let vectors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let npz = Npz::new().floats("X", 2, &vectors).integers("y", &[1, 0, 1, -1]);
    npz.strings("classes", &["no", "yes"]).strings("paths", &["a", "b", "c", "d"]).save(&dir.path("x.npz"));
    says(&dir.run("import x.npz -o deep/er/x.h5"), &["4 rows × 2", "2 classes"]);
    let shown = dir.json("inspect deep/er/x.h5 --verify");
    assert_eq!(shown["rows"]["done"], 4);
    assert_eq!(texts(&shown["classes"], "name"), ["no", "yes"]);
    assert_eq!(shown["classes"][1]["splits"], json!({"": 2}));
    assert_eq!(shown["unlabelled"], json!({"": 1}));
    assert_eq!(texts(&shown["layers"], "name"), ["features:flatten"]);
    assert_eq!((&shown["provenance"]["backbone"], &shown["complete"]), (&json!("imported"), &json!(true)));
    let file = crate::hdf5_file::Contents::read(dir.path("deep/er/x.h5"));
    assert_eq!(file.layer("features:flatten").values, vectors);
    assert_eq!((&file.path[..], &file.label[..]), (&["a", "b", "c", "d"].map(String::from)[..], &[1, 0, 1, -1][..]));

    says(&dir.fails("import x.npz -o deep/er/x.h5"), &["deep/er/x.h5", "exists already", "-o"]);
}

#[test]
fn arrays_that_cannot_be_imported_are_named() {
    let dir = Dir::new();
    Npz::new().floats("X", 2, &[1.0; 8]).save(&dir.path("no-y.npz"));
    says(&dir.fails("import no-y.npz -o x.h5"), &["no-y.npz", "no array y", "X"]);
    Npz::new().floats("X", 2, &[1.0; 8]).integers("y", &[0, 1]).save(&dir.path("short.npz"));
    says(&dir.fails("import short.npz -o x.h5"), &["short.npz", "y has shape [2]", "4 rows"]);
    Npz::new().floats("X", 2, &[1.0, f32::NAN]).integers("y", &[0]).save(&dir.path("nan.npz"));
    says(&dir.fails("import nan.npz -o x.h5"), &["nan.npz", "X[0, 1] is NaN"]);
    dir.write("text.npz", "no zip");
    says(&dir.fails("import text.npz -o x.h5"), &["text.npz", "not an .npz file", "numpy.savez"]);
    says(&dir.fails("import absent.npz -o x.h5"), &["absent.npz", "No such file"]);
    assert!(!dir.exists("x.h5"));
}

#[test]
fn imported_vectors_of_the_same_layer_and_width_can_be_scored() {
    let dir = three_classes();
    dir.run("train x.h5 -o x.head");
    clusters(&dir, "y.npz", &["ant", "bee"], 40, 12);
    dir.run("import y.npz -o y.h5");
    assert_eq!(dir.json("evaluate x.head y.h5")["n"], 20);
    clusters(&dir, "z.npz", &["ant", "bee"], 40, 11);
    dir.run("import z.npz -o z.h5");
    says(&dir.fails("evaluate x.head z.h5"), &["12 features", "11"]);
}
