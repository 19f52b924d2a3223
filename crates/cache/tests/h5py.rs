//! The file in the eyes of h5py, that is, of someone who has never heard of headstart.

mod common;

use common::*;
use headstart_cache::{Store, Writer};

const SCRIPT: &str = r#"
import json, sys, h5py, numpy as np

with h5py.File(sys.argv[1]) as f:
    assert set(f) == {"rows", "layers", "classes"}, set(f)
    assert f.attrs["format_version"] == 1
    provenance = f.attrs["provenance"]
    assert isinstance(provenance, str) and json.loads(provenance)["backbone"] == "resnet18"
    assert list(f["classes"].asstr()) == ["bee", "fourmi rouge é"]
    rows = f["rows"]
    assert set(rows) == {"path", "label", "split", "view", "status", "error"}
    for name in ("path", "split", "error"):
        assert h5py.check_string_dtype(rows[name].dtype).encoding == "utf-8", name
    assert list(rows["path"].asstr()) == [f"dossier été/{i:05}.jpg" for i in range(70)]
    assert list(rows["split"].asstr()) == ["train" if i % 4 else "val" for i in range(70)]
    assert rows["label"].dtype == "i4" and list(rows["label"]) == [i % 3 - 1 for i in range(70)]
    assert rows["view"].dtype == "u4" and not rows["view"][:].any()
    assert rows["status"].dtype == "u1" and list(rows["status"]) == [2 if i % 17 == 5 else 1 for i in range(70)]
    assert list(rows["error"].asstr()) == [f"row {i}: not an image" if i % 17 == 5 else "" for i in range(70)]
    done = rows["status"][:] == 1
    expected = lambda salt, width: (
        (np.arange(70)[:, None] * 31 + np.arange(width) * 7 + salt * 13) % 2003 / 4 - 200)
    for name, salt, dtype, shape in (("a:gap", 1, "f4", (20,)), ("b:raw", 2, "f2", (2, 3, 4))):
        layer = f["layers"][name]
        assert layer.dtype == dtype and layer.shape == (70, *shape), (name, layer)
        assert layer.attrs["committed_rows"] == 70
        assert layer.attrs["layer"] + ":" + layer.attrs["pool"] == name
        assert isinstance(layer.attrs["device"], str) and isinstance(layer.attrs["tool_version"], str)
        values = layer[:].reshape(70, -1)
        assert (values[done] == expected(salt, values.shape[1])[done]).all()
        assert np.isnan(values[~done]).all()
    assert list(f["layers/a:gap"].attrs["shape"]) == [20, 7, 7]
print("as expected")
"#;

#[test]
fn h5py_reads_everything_as_documented() {
    let Some(mut python) = python("h5py") else { return };
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(70), &classes()).unwrap();
    let ids =
        writer.add_layers(&[layer("a", "gap", &[20], Store::F32), layer("b", "raw", &[2, 3, 4], Store::F16)]).unwrap();
    append(&mut writer, 0..70, &[(ids[0], 1, 20), (ids[1], 2, 24)]);
    // The writer is still there: h5py may look while a run is under way.
    let output = python.args(["-c", SCRIPT]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("as expected"), "{text}");
}
