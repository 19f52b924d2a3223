//! Head files: what is written comes back, and nothing else is taken for one.

use std::collections::HashMap;
use std::path::Path;

use headstart_cache::{Augmentation, FORMAT_VERSION, Preprocessing, Provenance, Resize, WeightsId};
use headstart_trainer::{
    Bias, CalibrationChoice, CalibrationMethod, Error, Head, HeadKind, Metric, Normalize, ParamGuard, Samples, Source,
    SvmLoss, TrainParams, Validation, train,
};
use ndarray::Array2;
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

fn provenance() -> Provenance {
    Provenance {
        format_version: FORMAT_VERSION,
        tool_version: "0.1.0".into(),
        backbone: "resnet18".into(),
        weights: WeightsId { source: "random:0".into(), sha256: "ab".repeat(32) },
        preprocessing: Some(Preprocessing {
            size: 224,
            resize: Resize::Crop,
            shorter_side: 256,
            channels: 3,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }),
        decoder: Some("turbojpeg".into()),
        compute_dtype: "f32".into(),
        augmentation: Augmentation::none(),
        images: Some("/data/photos".into()),
    }
}

fn head(kind: HeadKind, classes: usize, columns: usize, seed: u64) -> Head {
    calibrated(kind, CalibrationChoice::None, classes, columns, seed)
}

fn calibrated(kind: HeadKind, calibration: CalibrationChoice, classes: usize, columns: usize, seed: u64) -> Head {
    let x = Array2::from_shape_fn((12, columns), |(row, column)| {
        ((row * 31 + column * 17 + seed as usize * 7) % 23) as f32 / 3.0 + (row % classes * (column % 3)) as f32
    });
    let y: Vec<usize> = (0..12).map(|row| row % classes).collect();
    let names: Vec<String> = (0..classes).map(|class| format!("Klasse {class} ✓")).collect();
    let groups: Vec<usize> = (0..12).collect();
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &names,
        scored: None,
        weights: None,
    };
    let c = if kind.has_c() { 0.03 } else { 1.0 };
    let params = TrainParams::new(kind).cs([c]).seed(seed).validation(Validation::KFold(2));
    let params = params.calibration(calibration).check().unwrap();
    let source = Source { layer: "layer4:gap".into(), pool: "gap".into(), provenance: Some(provenance()) };
    train(samples, &params, &|_| ()).unwrap().into_head(source)
}

/// The bytes of a head file whose JSON text went through `edit`.
fn with_text(head: &Head, mut edit: impl FnMut(&mut serde_json::Value)) -> Vec<u8> {
    let bytes = head.to_bytes().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut text = serde_json::from_str(&header.metadata().as_ref().unwrap()["headstart_head"]).unwrap();
    edit(&mut text);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([("headstart_head".to_owned(), text.to_string())]);
    safetensors::serialize(file.tensors(), Some(metadata)).unwrap()
}

/// The bytes of a head file with other tensors.
fn with_tensors(head: &Head, weight: (Dtype, Vec<usize>), bias: Vec<f64>) -> Vec<u8> {
    let bytes = head.to_bytes().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let zeros = vec![0u8; weight.1.iter().product::<usize>() * weight.0.bitsize() / 8];
    let bias_bytes: Vec<u8> = bias.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensors = [
        ("weight", TensorView::new(weight.0, weight.1, &zeros).unwrap()),
        ("bias", TensorView::new(Dtype::F64, vec![bias.len()], &bias_bytes).unwrap()),
    ];
    safetensors::serialize(tensors, header.metadata().clone()).unwrap()
}

fn reason(bytes: &[u8]) -> String {
    Head::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn files_round_trip_and_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads/new/x.head");
    for kind in [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ncm, HeadKind::Knn] {
        let head = head(kind, 3, 5, 1);
        head.save(&path).unwrap();
        assert_eq!(Head::load(&path).unwrap(), head);
        assert_eq!(std::fs::read(&path).unwrap(), head.to_bytes().unwrap());
    }
    let names: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["x.head"], "no partial file is left");
}

#[test]
fn a_head_can_be_read_by_any_safetensors_reader() {
    let head = head(HeadKind::Logistic, 2, 4, 1);
    let bytes = head.to_bytes().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F64, &[2, 4][..]));
    assert_eq!(file.tensor("bias").unwrap().shape(), [2]);
}

#[test]
fn only_what_an_older_reader_would_misread_is_of_a_newer_version() {
    let plain = head(HeadKind::Logistic, 3, 5, 1);
    let mut normalised = plain.clone();
    normalised.model = normalised.model.linear().unwrap().clone().on_rows(Normalize::L2).into();
    for (head, version) in [(&plain, 1), (&normalised, 2)] {
        let bytes = with_text(head, |json| assert_eq!(json["format_version"], version));
        assert_eq!(&Head::from_bytes(&bytes).unwrap(), head);
    }
    // As files were before there was a choice of metrics and of normalisation.
    let older = with_text(&plain, |json| {
        assert!(json.get("normalize").is_none());
        let training = json["training"].as_object_mut().unwrap();
        for field in ["metric", "cv_score", "cv_score_standard_error"] {
            assert!(training.remove(field).is_some(), "{field}");
        }
    });
    let older = Head::from_bytes(&older).unwrap();
    assert_eq!((older.normalize(), older.training.metric), (Normalize::None, Metric::Accuracy));
    assert_eq!(older.model, plain.model);
}

#[test]
fn files_that_are_no_heads_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Head::load(&folder.path().join("none.head")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("none.head"), "{missing}");
    let path = folder.path().join("wrong.head");
    for bytes in [&b""[..], b"PK\x03\x04 a zip", b"\x89HDF\r\n\x1a\n"] {
        std::fs::write(&path, bytes).unwrap();
        let message = Head::load(&path).unwrap_err().to_string();
        assert!(message.contains("wrong.head") && message.contains("not a complete safetensors file"), "{message}");
    }
    let zeros = [0u8; 8];
    let foreign = [("conv1.weight", TensorView::new(Dtype::F32, vec![2], &zeros).unwrap())];
    assert!(reason(&safetensors::serialize(foreign, None).unwrap()).contains("made by headstart train"));
    assert!(Head::load(Path::new("/")).is_err());
    assert!(head(HeadKind::Svm, 2, 3, 0).save(Path::new("/")).is_err());
}

#[test]
fn every_field_is_checked() {
    let head = head(HeadKind::Svm, 3, 4, 2);
    let text = |edit: &dyn Fn(&mut serde_json::Value)| reason(&with_text(&head, edit));
    assert!(text(&|json| json["format"] = "other".into()).contains("format: 'other'"));
    let newer = text(&|json| json["format_version"] = 3.into());
    assert!(newer.contains("format_version: 3") && newer.contains("reads 1 to 2"), "{newer}");
    assert!(text(&|json| json["format_version"] = 0.into()).contains("format_version: 0"));
    assert!(text(&|json| json["normalize"] = "l1".into()).contains("l1"));
    assert!(text(&|json| json["kind"] = "forest".into()).contains("forest"));
    assert!(
        text(&|json| json["classes"] = serde_json::json!(["a", "b"])).contains("weight: shape [3, 4] for 2 classes")
    );
    assert!(text(&|json| json["classes"] = serde_json::json!(["a", "b", "a"])).contains("listed twice"));
    assert!(text(&|json| json["classes"] = serde_json::json!(["a"])).contains("at least 2"));
    assert!(text(&|json| json["c"] = 0.into()).contains("c: 0"));
    assert!(text(&|json| drop(json.as_object_mut().unwrap().remove("c"))).contains("c: the field is missing"));
    assert!(text(&|json| drop(json.as_object_mut().unwrap().remove("source"))).contains("source"));
    assert!(text(&|json| json["training"]["class_counts"] = serde_json::json!([1])).contains("class_counts"));

    assert!(reason(&with_tensors(&head, (Dtype::F64, vec![3, 0]), vec![0.0; 3])).contains("weight: shape [3, 0]"));
    assert!(reason(&with_tensors(&head, (Dtype::F64, vec![2, 4]), vec![0.0; 3])).contains("for 3 classes"));
    assert!(reason(&with_tensors(&head, (Dtype::F64, vec![12]), vec![0.0; 3])).contains("instead of 2 dimension"));
    assert!(reason(&with_tensors(&head, (Dtype::F32, vec![3, 4]), vec![0.0; 3])).contains("dtype F32"));
    assert!(reason(&with_tensors(&head, (Dtype::F64, vec![3, 4]), vec![0.0; 2])).contains("bias: 2 values"));
    assert!(reason(&with_tensors(&head, (Dtype::F64, vec![3, 4]), vec![f64::NAN; 3])).contains("finite"));
}

/// Files from before loss, bias and tolerance were written down.
#[test]
fn older_heads_know_no_loss_bias_and_tolerance() {
    let head = head(HeadKind::Svm, 3, 4, 2);
    let said = |head: &Head| (head.training.loss, head.training.bias, head.training.tolerance);
    assert_eq!(said(&head), (Some(SvmLoss::Hinge), Bias::Free, 1e-4));
    let bytes = with_text(&head, |json| {
        let training = json["training"].as_object_mut().unwrap();
        ["loss", "bias", "tolerance"].iter().for_each(|field| assert!(training.remove(*field).is_some(), "{field}"));
    });
    let older = Head::from_bytes(&bytes).unwrap();
    assert_eq!(said(&older), (None, Bias::Free, 1e-4));
    assert_eq!(older.model, head.model);
}

#[test]
fn a_calibrated_head_is_of_a_version_that_older_readers_refuse() {
    let version = |head: &Head| {
        let mut version = serde_json::Value::Null;
        with_text(head, |json| version = json["format_version"].clone());
        version
    };
    let head = head(HeadKind::Svm, 3, 4, 2);
    assert_eq!(version(&head), 1);
    for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic, CalibrationMethod::Temperature] {
        let head = calibrated(HeadKind::Svm, CalibrationChoice::Method(method), 3, 4, 2);
        assert_eq!(version(&head), 2);
        let bytes = head.to_bytes().unwrap();
        let back = Head::from_bytes(&bytes).unwrap();
        assert_eq!((&back, back.calibration().unwrap().method()), (&head, method));
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }
    let head = calibrated(HeadKind::Svm, CalibrationChoice::Auto, 3, 4, 2);
    let text = |edit: &dyn Fn(&mut serde_json::Value)| reason(&with_text(&head, edit));
    assert!(text(&|json| json["calibration"]["slope"] = serde_json::json!([1])).contains("1 outputs for 3 classes"));
    assert!(text(&|json| json["calibration"]["method"] = "beta".into()).contains("beta"));
}

#[test]
fn every_field_of_nearest_neighbours_is_checked() {
    let head = head(HeadKind::Knn, 3, 4, 2);
    let text = |edit: &dyn Fn(&mut serde_json::Value)| reason(&with_text(&head, edit));
    let without = |field: &str| text(&|json| drop(json.as_object_mut().unwrap().remove(field)));
    assert!(without("neighbors").contains("neighbors: the field is missing"));
    assert!(without("knn_metric").contains("knn_metric: the field is missing"));
    assert!(text(&|json| json["neighbors"] = 13.into()).contains("neighbors: 13 of 12 vectors"));
    assert!(text(&|json| json["kind"] = "ncm".into()).contains("weight: the tensor is missing"));
    assert!(text(&|json| json["classes"] = serde_json::json!(["a", "b"])).contains("labels: 2 among 2 classes"));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = head(HeadKind::Logistic, 2, 3, 3).to_bytes().unwrap();
    for length in 0..bytes.len() {
        assert!(Head::from_bytes(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        thread_local!(static BYTES: Vec<u8> = head(HeadKind::Logistic, 2, 3, 4).to_bytes().unwrap());
        let mut bytes = BYTES.with(Clone::clone);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = Head::from_bytes(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Head::from_bytes(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn heads_round_trip(svm in any::<bool>(), classes in 2usize..5, columns in 1usize..40, seed in 0u64..1000) {
        let head = head(if svm { HeadKind::Svm } else { HeadKind::Logistic }, classes, columns, seed);
        let bytes = head.to_bytes().unwrap();
        let back = Head::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&back, &head);
        prop_assert_eq!(back.to_bytes().unwrap(), bytes);
    }
}
