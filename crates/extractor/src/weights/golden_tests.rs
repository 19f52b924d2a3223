//! Every layout against what PyTorch and numpy read from it (`scripts/golden_weights.py`), and files made to do harm.

use super::tensor::Budget;
use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights")
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn every_layout_gives_the_values_that_its_writer_gives() {
    let golden = golden();
    let files = golden["files"].as_object().unwrap();
    assert!(files.len() > 20);
    for (file, tensors) in files {
        let state = read(&folder().join(file)).unwrap_or_else(|error| panic!("{error}"));
        let tensors = tensors.as_object().unwrap();
        assert_eq!(state.keys().collect::<Vec<_>>(), {
            let mut keys: Vec<_> = tensors.keys().collect();
            keys.sort();
            keys
        });
        for (key, expected) in tensors {
            let shape: Vec<f64> = state[key].shape.iter().map(|&d| d as f64).collect();
            let data: Vec<f64> = state[key].data.iter().map(|&v| v.into()).collect();
            assert_eq!((shape, data), (numbers(&expected["shape"]), numbers(&expected["data"])), "{file}: {key}");
        }
    }
}

#[test]
fn what_is_no_plain_state_dict_is_refused_by_name() {
    let golden = golden();
    for (file, word) in golden["refused"].as_object().unwrap() {
        let error = read(&folder().join(file)).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(word.as_str().unwrap()), "{file}: {error}");
    }
    let error = read(&folder().join("hostile_system.pkl")).unwrap_err().to_string();
    assert!(error.contains("refused: the file wants to call posix.system"), "{error}");
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    for file in golden()["files"].as_object().unwrap().keys() {
        let bytes = std::fs::read(folder().join(file)).unwrap();
        for length in (1..bytes.len()).step_by(if bytes.len() > 3000 { 7 } else { 1 }) {
            // An ONNX file cut between two initializers is a shorter, valid ONNX file.
            if read_bytes(&bytes[..length]).is_ok() {
                assert!(file.ends_with(".onnx"), "{file} cut to {length} bytes");
            }
        }
    }
}

#[test]
fn other_files_are_told_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"not weights at all", "not a known weights file"),
        (b"PK\x03\x04 nothing", "zip"),
        (b"\x80\x02}.", "no tensors"),
        (b"\x80\x02K\x01.", "something else than a dictionary"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(read(folder.path()).unwrap_err().to_string().contains("not a file"));
    assert!(read(&folder.path().join("absent")).unwrap_err().to_string().contains("absent"));
}

/// A pickle of protocol 4 with this body.
fn pickle(body: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x04"[..], &body.concat(), b"."].concat()
}

#[track_caller]
fn refused(bytes: &[u8], word: &str) {
    let error = read_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains(word), "{error}");
}

#[test]
fn lengths_beyond_the_file_allocate_nothing() {
    refused(&pickle(&[b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"]), "ends in the middle");
    refused(&pickle(&[b"B\xff\xff\xff\xff"]), "ends in the middle");
    refused(&pickle(&[b"\x8b\xff\xff\xff\xff"]), "ends in the middle");
}

#[test]
fn nesting_does_not_overflow_the_stack() {
    // A list in a list in a list, half a million deep.
    let deep = [b"\x80\x04".to_vec(), vec![b']'; 500_000], vec![b'a'; 499_999], b".".to_vec()].concat();
    refused(&deep, "something else than a dictionary");
    // A dictionary that holds itself.
    refused(&pickle(&[b"}\x94\x8c\x01ah\x00s"]), "nested too deeply");
}

#[test]
fn shared_dictionaries_do_not_multiply() {
    // Sixteen levels, each holding the one below a hundred times under different keys: 100^16 visits.
    let mut body = b"}\x94".to_vec();
    for level in 0..15u8 {
        body.extend(b"}\x94(");
        for i in 0..100u8 {
            body.extend([0x8c, 2, b'a' + i / 10, b'a' + i % 10, b'h', level]);
        }
        body.push(b'u');
    }
    refused(&pickle(&[&body]), "over and over");
}

#[test]
fn endless_programs_stop() {
    let loops = [b"\x80\x04".to_vec(), b"N0".repeat(1_100_000), b".".to_vec()].concat();
    refused(&loops, "two million steps");
}

#[test]
fn a_small_file_cannot_hold_a_large_tensor() {
    let floats = b"\x8c\x05torch\x8c\x0cFloatStorage\x93".as_slice();
    let id = [b"(\x8c\x07storage".as_slice(), floats, b"\x8c\x010\x8c\x03cpuK\x01tQ"].concat();
    let rebuild = b"\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93(".as_slice();
    // Two to the forty elements, all of them the same one.
    let view = b"K\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x85K\x00\x85\x89NtR".as_slice();
    let object = pickle(&[b"}\x8c\x01w", rebuild, &id, view, b"s"]);
    let head = [
        pickle(&[b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"]),
        pickle(&[b"M\xe9\x03"]),
        pickle(&[b"}"]),
        object,
        pickle(&[b"]\x8c\x010a"]),
    ]
    .concat();
    let sound = [&head[..], &1u64.to_le_bytes(), &1f32.to_le_bytes()].concat();
    refused(&sound, "w: a tensor of shape 1099511627776 holds more than the whole file");
    let overstated = [&head[..], &(u64::MAX / 2).to_le_bytes(), &1f32.to_le_bytes()].concat();
    refused(&overstated, "the file ends inside storage \"0\"");
}

#[test]
fn streams_nested_in_streams_end() {
    let mut stream = pickle(&[b"}"]);
    for _ in 0..10 {
        let length = (stream.len() as u32).to_le_bytes();
        let load = b"\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93";
        stream = pickle(&[load, b"B", &length, &stream, b"\x85R"]);
    }
    refused(&stream, "nested in streams too deeply");
}

/// Whatever comes in, a result comes out.
fn survives(bytes: &[u8]) {
    let _ = read_bytes(bytes);
    // Most random bytes end at the first test of the format; these go in behind it.
    let mut budget = Budget::for_file(bytes.len());
    let _ = torch_file::read_pickle(bytes, &mut budget);
    let _ = onnx::read(bytes, &mut budget);
    let _ = safetensors::read(bytes, &mut budget);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
        survives(&[b"\x80\x04", &bytes[..]].concat());
    }

    #[test]
    fn random_programs_never_panic(
        opcodes in proptest::collection::vec(proptest::sample::select(&b"()}]tuaesdNKh\x94\x85\x86\x87R\x81bQ0122\x93lq"[..]), 0..200),
    ) {
        survives(&[b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93\x94", &opcodes[..], b"."].concat());
    }

    #[test]
    fn damaged_files_never_panic(
        pick in any::<proptest::sample::Index>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let golden = golden();
        let files: Vec<&String> = golden["files"].as_object().unwrap().keys().collect();
        let mut bytes = std::fs::read(folder().join(pick.get(&files))).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        survives(&bytes);
    }
}
