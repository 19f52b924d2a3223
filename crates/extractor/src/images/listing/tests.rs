use super::*;
use std::fs;
use tempfile::TempDir;

/// A folder with these files in it, each holding its own name; a name that ends in `/` is an empty folder.
fn folder(names: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in names {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }
    root
}

/// A CSV file with this content in a folder of its own.
fn csv_file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("list.csv");
    fs::write(&file, content).unwrap();
    (root, file)
}

/// Each row as `name label split`, the label by name.
fn rows(listing: &Listing) -> Vec<String> {
    let label = |item: &Item| item.label.map_or("-", |label| &listing.classes[label]).to_owned();
    listing.items.iter().map(|item| format!("{} {} {}", item.name, label(item), item.split)).collect()
}

fn message(path: &Path) -> String {
    list(path).unwrap_err().to_string()
}

#[test]
fn class_folders() {
    let root =
        folder(&["b/2.PNG", "b/deep/1.jpeg", "a/x.jpg", "a/notes.txt", "README.md", "a/.hidden.jpg", ".git/y.jpg"]);
    let listing = list(root.path()).unwrap();
    assert_eq!(rows(&listing), ["a/x.jpg a ", "b/2.PNG b ", "b/deep/1.jpeg b "]);
    assert_eq!((listing.ignored, listing.root.as_path()), (2, root.path()));
    for item in &listing.items {
        assert_eq!(fs::read_to_string(&item.path).unwrap(), item.name);
    }
}

#[test]
fn names_are_in_byte_order() {
    let root = folder(&["a/10.jpg", "a/9.jpg", "a/B.jpg", "a/ä.jpg", "a-b/1.jpg", "a/z.jpg"]);
    let names: Vec<String> = list(root.path()).unwrap().items.into_iter().map(|item| item.name).collect();
    assert_eq!(names, ["a-b/1.jpg", "a/10.jpg", "a/9.jpg", "a/B.jpg", "a/z.jpg", "a/ä.jpg"]);
}

#[test]
fn split_folders_share_their_classes_and_may_have_no_labels() {
    let root = folder(&[
        "Train/cat/1.jpg",
        "Train/dog/1.jpg",
        "valid/cat/2.jpg",
        "test/3.jpg",
        "docs/about.txt",
        "valid/dog/",
    ]);
    let listing = list(root.path()).unwrap();
    assert_eq!(
        rows(&listing),
        ["Train/cat/1.jpg cat train", "Train/dog/1.jpg dog train", "test/3.jpg - test", "valid/cat/2.jpg cat val"]
    );
    assert_eq!(
        (&listing.classes[..], &listing.empty[..]),
        (&["cat".into(), "dog".into()][..], &["valid/dog".into()][..])
    );
}

#[test]
fn a_class_may_be_called_train() {
    let root = folder(&["train/1.jpg", "plane/1.jpg"]);
    assert_eq!(rows(&list(root.path()).unwrap()), ["plane/1.jpg plane ", "train/1.jpg train "]);
    let root = folder(&["train/a/1.jpg", "test/a/1.jpg", "extra/a/1.jpg"]);
    assert!(message(root.path()).contains("extra/ lies beside the split folders test, train"));
}

#[test]
fn flat_folders_have_no_labels() {
    let root = folder(&["b.jpg", "a.webp", "c.txt"]);
    let listing = list(root.path()).unwrap();
    assert_eq!(rows(&listing), ["a.webp - ", "b.jpg - "]);
    assert!(listing.classes.is_empty());
}

#[test]
fn digits_as_class_folders_keep_their_value() {
    let root = folder(&["10/a.png", "9/a.png", "0/a.png"]);
    assert_eq!(list(root.path()).unwrap().classes, ["0", "9", "10"]);
    let root = folder(&["10/a.png", "9/a.png", "x/a.png"]);
    assert_eq!(list(root.path()).unwrap().classes, ["10", "9", "x"]);
}

#[test]
fn a_class_folder_without_images_is_told_and_is_no_class() {
    let root = folder(&["cat/1.jpg", "dog/1.txt", "bird/"]);
    let listing = list(root.path()).unwrap();
    assert_eq!((listing.classes, listing.empty), (vec!["cat".into()], vec!["bird".into(), "dog".into()]));
}

#[test]
fn images_beside_class_folders_are_refused() {
    let root = folder(&["cat/1.jpg", "stray.jpg"]);
    let said = message(root.path());
    assert!(said.contains("stray.jpg lies beside folders of images such as cat/"), "{said}");
    let root = folder(&["train/cat/1.jpg", "train/stray.jpg", "test/2.jpg"]);
    let said = message(root.path());
    assert!(said.contains("train: stray.jpg lies beside") && said.contains("cat/"), "{said}");
    let root = folder(&["train/cat/1.jpg", "test/2.jpg", "stray.jpg"]);
    assert!(message(root.path()).contains("stray.jpg lies beside"));
}

#[test]
fn what_is_missing_or_empty_is_said_with_the_way_out() {
    let root = folder(&["a/notes.txt"]);
    assert!(message(&root.path().join("nowhere")).contains("no such file or folder; give a folder of images or a CSV"));
    let said = message(root.path());
    assert!(said.contains("no images in this folder (1 other files)") && said.contains("jpg"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let elsewhere = folder(&["1.jpg"]);
    let root = folder(&["cat/1.jpg"]);
    symlink(elsewhere.path(), root.path().join("dog")).unwrap();
    symlink(root.path(), root.path().join("cat/loop")).unwrap();
    symlink(root.path().join("nowhere.jpg"), root.path().join("cat/gone.jpg")).unwrap();
    symlink(root.path().join("nowhere"), root.path().join("cat/gone")).unwrap();
    let listing = list(root.path()).unwrap();
    assert_eq!(rows(&listing), ["cat/1.jpg cat ", "cat/gone.jpg cat ", "dog/1.jpg dog "]);
    assert_eq!(listing.ignored, 1);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let root = folder(&["cat/1.jpg"]);
    fs::write(root.path().join("cat").join(OsStr::from_bytes(b"caf\xe9.jpg")), "").unwrap();
    let said = message(root.path());
    assert!(said.contains("caf\\xE9.jpg") && said.contains("not UTF-8"), "{said}");
}

#[test]
fn a_csv_file_with_everything() {
    let (root, file) = csv_file(
        "\u{feff}bytes, Path ,class,split\n\
         1,b/1.jpg,dog,Training\n\
         2,\"a, b/./2.jpg\",\"the \"\"cat\"\"\",valid\r\n\
         \n\
         3,/far/away.jpg,,fold3\n\
         4,missing.jpg,dog,\n",
    );
    let listing = list(&file).unwrap();
    assert_eq!(
        rows(&listing),
        ["b/1.jpg dog train", "a, b/2.jpg the \"cat\" val", "/far/away.jpg - fold3", "missing.jpg dog "]
    );
    assert_eq!(listing.root, root.path());
    assert_eq!(listing.items[0].path, root.path().join("b/1.jpg"));
    assert_eq!(listing.items[2].path, Path::new("/far/away.jpg"));
}

#[test]
fn minus_one_in_a_csv_file_is_no_class() {
    let (_root, file) = csv_file("path,label\na.jpg,1\nb.jpg,-1\nc.jpg,0\nd.jpg,\n");
    let listing = list(&file).unwrap();
    assert_eq!(listing.classes, ["0", "1"]);
    assert_eq!(rows(&listing), ["a.jpg 1 ", "b.jpg - ", "c.jpg 0 ", "d.jpg - "]);
}

#[test]
fn a_csv_file_with_paths_alone() {
    let (root, file) = csv_file("path\nx.jpg\n");
    assert_eq!(rows(&list(&file).unwrap()), ["x.jpg - "]);
    let absolute = root.path().join("sub/y.jpg");
    fs::write(&file, format!("path\n{}\n", absolute.display())).unwrap();
    let item = &list(&file).unwrap().items[0];
    assert_eq!((item.name.as_str(), &item.path), ("sub/y.jpg", &absolute));
}

#[test]
fn numbers_as_labels_are_ordered_by_value_and_label_goes_before_class() {
    let (_root, file) = csv_file("class,label,path\nx,10,a.jpg\nx,9,b.jpg\nx,0,c.jpg\n");
    let listing = list(&file).unwrap();
    assert_eq!(listing.classes, ["0", "9", "10"]);
    assert_eq!(listing.items[0].label, Some(2));
}

#[test]
fn wrong_csv_files_are_refused_with_file_and_line() {
    for (content, expected) in [
        (&b"path,label\na.jpg,x\nb.jpg,x\n./a.jpg,y\n"[..], "list.csv, line 4: a.jpg is listed in line 2 already"),
        (b"path,label\na.jpg,x\nb.jpg\n", "list.csv, line 3: 1 fields where the header has 2"),
        (b"path,label\na.jpg,x\n,x\n", "list.csv, line 3: column `path` is empty"),
        (b"path,label\na.jpg,\xff\n", "list.csv, line 2: field 2 is not UTF-8"),
        (b"path,label\n", "list.csv: no line follows the header"),
        (b"file,label\na.jpg,x\n", "not a CSV file with a column `path`: the first line is `file,label`"),
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\xff\xfe", "not a CSV file"),
    ] {
        let (_root, file) = csv_file(content);
        let said = message(&file);
        assert!(said.contains(expected), "{said}");
    }
    let root = folder(&["one.jpg"]);
    assert!(message(&root.path().join("one.jpg")).contains("it is an image; give the folder that holds it"));
}

/// A listing of classes with these many images each.
fn listing_of(sizes: &[usize]) -> Listing {
    let items = sizes.iter().enumerate().flat_map(|(class, &size)| {
        (0..size).map(move |index| Item {
            path: PathBuf::new(),
            name: format!("{class:02}/{index:05}"),
            label: Some(class),
            split: String::new(),
        })
    });
    Listing {
        root: PathBuf::new(),
        items: items.collect(),
        classes: (0..sizes.len()).map(|class| class.to_string()).collect(),
        ignored: 0,
        empty: vec![],
    }
}

#[test]
fn a_limit_spreads_over_the_listing() {
    let mut listing = listing_of(&[10, 10]);
    listing.limit(4);
    assert_eq!(rows(&listing), ["00/00000 0 ", "00/00005 0 ", "01/00000 1 ", "01/00005 1 "]);
    let mut unlimited = listing_of(&[3, 2]);
    unlimited.limit(5);
    assert_eq!(unlimited, listing_of(&[3, 2]));
}

proptest::proptest! {
    #[test]
    fn a_limit_meets_every_class_in_proportion(
        sizes in proptest::collection::vec(1usize..200, 1..12), wanted in 0usize..400,
    ) {
        let all = listing_of(&sizes);
        let mut kept = all.clone();
        kept.limit(wanted);
        proptest::prop_assert_eq!(kept.items.len(), wanted.min(all.items.len()));
        proptest::prop_assert!(kept.items.is_sorted_by(|a, b| a.name < b.name));
        if wanted >= sizes.len() && wanted < all.items.len() {
            for (class, &size) in sizes.iter().enumerate() {
                let count = kept.items.iter().filter(|item| item.label == Some(class)).count();
                let share = 1.0 + (size - 1) as f64 * (wanted - sizes.len()) as f64
                    / (all.items.len() - sizes.len()) as f64;
                proptest::prop_assert!((count as f64 - share).abs() <= 1.0, "{} of {}", count, size);
            }
        }
    }
}
