use super::*;
use crate::predict::Scores;
use headstart_trainer::{HeadKind, ParamGuard, Samples, Source, TrainParams, Validation, train};
use ndarray::array;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

const CLASSES: [&str; 2] = ["ant, \"big\"", "Käfer"];

fn head(kind: HeadKind) -> Head {
    let classes = CLASSES.map(String::from);
    let features = array![[0.0_f32], [1.0], [0.1], [0.9]];
    let samples = Samples {
        features: features.view().into(),
        labels: &[0, 1, 0, 1],
        groups: &[0, 1, 2, 3],
        classes: &classes,
        scored: None,
        weights: None,
    };
    let params = TrainParams::new(kind).cs(vec![1.0]).validation(Validation::None).check().unwrap();
    let outcome = train(samples, &params, &|_| ()).unwrap();
    outcome.into_head(Source { layer: "features:flatten".into(), pool: "flatten".into(), provenance: None })
}

fn rows() -> Vec<Scored> {
    let scored = |path: &str, label: Option<usize>, outcome| Scored {
        path: path.into(),
        label: label.map(|label| CLASSES[label].to_string()),
        outcome,
    };
    let scores = |decision: [f64; 2]| {
        Ok(Scores {
            decision: decision.to_vec(),
            probabilities: None,
            predicted: usize::from(decision[1] > decision[0]),
        })
    };
    vec![
        scored("a.png", Some(1), scores([0.1, 1.0 / 3.0])),
        scored("b, c.png", None, scores([1e-300, -2.5])),
        scored("broken.png", Some(0), Err("cut off".into())),
    ]
}

fn written(name: &str, labelled: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut file = PredictionFile::create(&path, &head(HeadKind::Svm), labelled).unwrap();
    rows().iter().for_each(|row| file.write(row).unwrap());
    assert!(!path.exists(), "it is not complete yet");
    file.finish().unwrap();
    (folder, path)
}

#[test]
fn comma_separated_values() {
    let (_folder, path) = written("x.csv", true);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("path,label,predicted,\"score:ant, \"\"big\"\"\",score:Käfer,error"));
    assert_eq!(lines.next(), Some("a.png,Käfer,Käfer,0.1,0.3333333333333333,"));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records[1].iter().take(3).collect::<Vec<_>>(), ["b, c.png", "", "ant, \"big\""]);
    assert_eq!(records[1][3].parse::<f64>().unwrap(), 1e-300);
    assert_eq!(records[2].iter().collect::<Vec<_>>(), ["broken.png", "ant, \"big\"", "", "", "", "cut off"]);
}

#[test]
fn json_lines() {
    let (_folder, path) = written("x.JSONL", false);
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows[0],
        serde_json::json!({"path": "a.png", "predicted": "Käfer", "score:ant, \"big\"": 0.1,
                           "score:Käfer": 1.0 / 3.0, "error": null})
    );
    assert_eq!((&rows[2]["predicted"], &rows[2]["error"]), (&serde_json::Value::Null, &"cut off".into()));
    assert_eq!(rows.len(), 3);
}

#[test]
fn parquet() {
    let (_folder, path) = written("x.parquet", true);
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["path", "label", "predicted", "score:ant, \"big\"", "score:Käfer", "error"]);
    let rows: Vec<parquet::record::Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].get_string(0).unwrap().as_str(), rows[0].get_string(2).unwrap().as_str()), ("a.png", "Käfer"));
    assert_eq!((rows[0].get_double(3).unwrap(), rows[0].get_double(4).unwrap()), (0.1, 1.0 / 3.0));
    let is_null =
        |row: usize, column: usize| rows[row].get_column_iter().nth(column).unwrap().1 == &parquet::record::Field::Null;
    assert!(is_null(1, 1) && is_null(0, 5) && is_null(2, 2) && is_null(2, 3) && is_null(2, 4));
    assert_eq!(rows[2].get_string(5).unwrap(), "cut off");
}

#[test]
fn groups_of_rows_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut file = PredictionFile::create(&path, &head(HeadKind::Svm), false).unwrap();
    let count = (1 << 16) + 10;
    for row in 0..count {
        let decision = vec![row as f64, 0.5];
        let outcome = Ok(Scores { decision, probabilities: None, predicted: 0 });
        file.write(&Scored { path: row.to_string(), label: None, outcome }).unwrap();
    }
    file.finish().unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    for (row, record) in reader.get_row_iter(None).unwrap().enumerate() {
        let record = record.unwrap();
        assert_eq!(
            (record.get_string(0).unwrap().as_str(), record.get_double(2).unwrap()),
            (&*row.to_string(), row as f64)
        );
    }
}

#[test]
fn probabilities_have_another_name_and_other_endings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    PredictionFile::create(&path, &head(HeadKind::Logistic), false).unwrap().finish().unwrap();
    assert!(std::fs::read_to_string(path).unwrap().starts_with("path,predicted,\"p:ant"));
    for name in ["x.xlsx", "csv", "x"] {
        let error = PredictionFormat::of(Path::new(name)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(".parquet"), "{error}");
    }
}
