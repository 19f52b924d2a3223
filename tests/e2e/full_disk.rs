//! No room left: said before a run that cannot fit, survived by one that meets it on the way.

use crate::{
    harness::{Dir, says, skip},
    hdf5_file::Contents,
    resume::caught,
};
use libc::SIGCONT;
use std::{ffi::CString, fs::File, io::Write, os::unix::ffi::OsStrExt, os::unix::process::CommandExt};

/// About 19 kB a picture.
const EXTRACT: &str =
    "extract --images photos --backbone lenet5 --weights random:0 --batch 1 --layers conv1:raw --store f32";
const PICTURES: usize = 400;

/// A file system in memory of so many bytes, unmounted when dropped.
struct SmallDisk(CString);

impl SmallDisk {
    /// None where mounting is not permitted.
    fn mount(dir: &Dir, name: &str, bytes: usize) -> Option<Self> {
        std::fs::create_dir(dir.path(name)).unwrap();
        let place = CString::new(dir.path(name).as_os_str().as_bytes()).unwrap();
        let size = CString::new(format!("size={bytes}")).unwrap();
        let kind = c"tmpfs".as_ptr();
        // SAFETY: all strings end in NUL and outlive the call.
        let failed = unsafe { libc::mount(kind, place.as_ptr(), kind, 0, size.as_ptr().cast()) } != 0;
        (!failed).then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // SAFETY: the string ends in NUL. Detached lazily, so that a process still looking does not keep it mounted.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_disk_that_fills_up_during_a_run_costs_nothing_committed() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], PICTURES / 2);
    let Some(_disk) = SmallDisk::mount(&dir, "disk", 10 << 20) else {
        return skip("mounting a small disk is not permitted here (not root)");
    };
    dir.run(&format!("{EXTRACT} -o whole.h5"));
    let run = caught(&dir, EXTRACT, "disk/x.h5", PICTURES as u64);
    let committed = |shown: &serde_json::Value| shown["layers"][0]["committed"].as_u64().unwrap_or(0);
    // Someone else takes all the room while the run stands still.
    let mut ballast = File::create(dir.path("disk/ballast")).unwrap();
    while ballast.write_all(&[1; 4096]).is_ok() {}
    run.signal(SIGCONT);
    let outcome = run.wait().exits(1);
    says(&outcome.stderr, &["disk/x.h5", "no room left", "free some space and run the same command again"]);
    let shown = dir.json("inspect disk/x.h5");
    let rows = committed(&shown);
    assert!((4..PICTURES as u64).contains(&rows), "{rows} rows");

    // As long as there is no room, the same command says so again, and nothing is lost.
    says(&dir.fails(&format!("{EXTRACT} -o disk/x.h5")), &["disk/x.h5", "disk"]);
    assert_eq!(committed(&dir.json("inspect disk/x.h5")), rows);
    drop(ballast);
    std::fs::remove_file(dir.path("disk/ballast")).unwrap();
    let summary = dir.json(&format!("{EXTRACT} -o disk/x.h5"));
    assert_eq!(summary["computed"], PICTURES as u64 - rows);
    assert!(Contents::read(dir.path("disk/x.h5")) == Contents::read(dir.path("whole.h5")));
}

#[test]
fn a_run_that_cannot_fit_says_so_before_it_starts() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], PICTURES / 2);
    let Some(_disk) = SmallDisk::mount(&dir, "disk", 1 << 20) else {
        return skip("mounting a small disk is not permitted here (not root)");
    };
    let outcome = dir.headstart(&format!("{EXTRACT} -o disk/x.h5")).run().exits(1);
    says(&outcome.stderr, &["disk/x.h5", "MB more", "MB free", "--store f16", "-o"]);
    assert!(!outcome.stderr.contains("images to do"), "{}", outcome.stderr);
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_too() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], PICTURES / 2);
    let mut limited = dir.headstart(&format!("{EXTRACT} -o x.h5"));
    // SAFETY: both calls are safe between fork and exec.
    unsafe {
        limited.command().pre_exec(|| {
            // An ignored signal stays ignored in the program, which then sees the error instead.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: 200_000, rlim_max: 200_000 };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let outcome = limited.run().exits(1);
    says(&outcome.stderr, &["x.h5", "no room left", "File too large", "run the same command again"]);
    dir.run(&format!("{EXTRACT} -o x.h5"));
    dir.run(&format!("{EXTRACT} -o whole.h5"));
    assert!(Contents::read(dir.path("x.h5")) == Contents::read(dir.path("whole.h5")));
}
