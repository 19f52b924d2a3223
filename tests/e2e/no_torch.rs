//! The binary without libtorch: it does everything that runs no network, and says what it cannot do.

use crate::harness::{Dir, says, texts};

#[test]
fn commands_that_run_a_network_say_what_is_missing() {
    let dir = Dir::new();
    for (command, arguments) in [
        ("extract", "--images photos --backbone resnet18 --layers layer4 -o x.h5"),
        ("predict", "x.head a.png"),
        ("classify", "--backbone resnet18 a.png"),
    ] {
        let error = dir.fails(&format!("{command} {arguments}"));
        says(&error, &[command, "built without libtorch", "scripts/setup", "cargo build --release"]);
    }
    says(&dir.run("doctor"), &["built without it", "extract, classify and predict with images are not available"]);
}

#[test]
fn the_binary_is_not_linked_to_libtorch() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_headstart")).unwrap();
    let needed = needed_libraries(&bytes);
    assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
    for foreign in ["torch", "libc10", "hdf5", "jpeg", "cuda"] {
        assert!(!needed.iter().any(|name| name.contains(foreign)), "{needed:?}");
    }
}

#[test]
fn a_cache_and_a_head_made_elsewhere_are_of_use() {
    // Vectors that were extracted on another machine, as this binary sees them: a cache file.
    let dir = Dir::new();
    let x: Vec<f32> = (0..40).flat_map(|row| [(row % 2) as f32 + 0.01 * row as f32, 1.0 / (row + 1) as f32]).collect();
    let y: Vec<&str> = (0..40).map(|row| ["no", "yes"][row % 2]).collect();
    let split: Vec<&str> = (0..40).map(|row| if row < 24 { "train" } else { "test" }).collect();
    let npz = crate::npz::Npz::new().floats("X", 2, &x).strings("y", &y).strings("split", &split);
    npz.save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    says(&dir.run("inspect x.h5 --verify"), &["40 done", "0 problems"]);
    dir.run("train x.h5 -o x.head");
    assert!(dir.json("evaluate x.head x.h5")["accuracy"]["value"].as_f64().unwrap() > 0.9);
    assert_eq!(texts(&dir.json("sweep x.h5")["rows"], "head"), ["logistic", "svm"]);
    assert_eq!(dir.json("models").as_array().unwrap().len(), 26);
    assert_eq!(dir.json("layers resnet18")["backbone"], "resnet18");
}

/// Names of the shared libraries that a little-endian 64-bit ELF file asks for (System V ABI, "Dynamic Section").
fn needed_libraries(elf: &[u8]) -> Vec<String> {
    const PT_LOAD: u64 = 1;
    const PT_DYNAMIC: u64 = 2;
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;
    let number = |at: u64, bytes: usize| -> u64 {
        let at = at as usize;
        elf[at..at + bytes].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    };
    assert_eq!(elf[..6], *b"\x7fELF\x02\x01");
    // Type, offset in the file, address in memory, size in the file.
    let segments: Vec<[u64; 4]> = (0..number(56, 2))
        .map(|index| number(32, 8) + index * number(54, 2))
        .map(|at| [number(at, 4), number(at + 8, 8), number(at + 16, 8), number(at + 32, 8)])
        .collect();
    let [_, start, _, size] = *segments.iter().find(|segment| segment[0] == PT_DYNAMIC).unwrap();
    let entries: Vec<(u64, u64)> =
        (start..start + size).step_by(16).map(|at| (number(at, 8), number(at + 8, 8))).collect();
    let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB).unwrap().1;
    let [_, offset, address, _] = *segments
        .iter()
        .find(|[kind, _, address, size]| *kind == PT_LOAD && (*address..address + size).contains(&strings))
        .unwrap();
    let name = |value: u64| {
        let bytes = &elf[(strings - address + offset + value) as usize..];
        String::from_utf8(bytes.split(|&byte| byte == 0).next().unwrap().to_vec()).unwrap()
    };
    entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|&(_, value)| name(value)).collect()
}
