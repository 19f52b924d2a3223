//! A folder per test, and the binary run in it.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A temporary folder, removed when the test ends. Commands run in it, so that relative paths are those of the test.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, making its folders.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The binary with these arguments, separated by spaces, in this folder, with a home of its own: it finds neither the
    /// weights nor the settings of whoever runs the tests.
    pub fn headstart(&self, arguments: &str) -> Headstart {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("HOME", self.path("home")).env_remove("XDG_CACHE_HOME").env_remove("HEADSTART_WEIGHTS");
        command.env_remove("RUST_LOG");
        Headstart { command, shown: format!("headstart {arguments}") }
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub fn run(&self, arguments: &str) -> String {
        self.headstart(arguments).run().exits(0).stdout
    }

    /// Runs a command with `--json` that has to succeed.
    pub fn json(&self, arguments: &str) -> Value {
        self.headstart(&format!("{arguments} --json")).run().exits(0).json()
    }

    /// Runs a command that has to fail with exit code 1, and gives what it said on standard error.
    pub fn fails(&self, arguments: &str) -> String {
        self.headstart(arguments).run().exits(1).stderr
    }

    /// Runs a command that has to be refused as wrong usage (exit code 2).
    pub fn misused(&self, arguments: &str) -> String {
        self.headstart(arguments).run().exits(2).stderr
    }
}

/// A command about to run.
pub struct Headstart {
    command: Command,
    shown: String,
}

impl Headstart {
    #[cfg(feature = "torch")]
    /// Adds an argument as it is, spaces and all.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.shown += &format!(" {}", argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With the weights that `headstart weights get` has put on this machine.
    #[cfg(feature = "torch")]
    pub fn with_real_weights(mut self) -> Self {
        for name in ["HOME", "XDG_CACHE_HOME", "HEADSTART_WEIGHTS"] {
            if let Some(value) = std::env::var_os(name) {
                self.command.env(name, value);
            }
        }
        self
    }

    /// The command itself, for what the methods here do not offer.
    #[cfg(feature = "torch")]
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    pub fn run(mut self) -> Outcome {
        let output = self.command.output().unwrap();
        Outcome::new(self.shown, output)
    }

    /// Starts it in the background.
    #[cfg(feature = "torch")]
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: Some(self.command.spawn().unwrap()), shown: self.shown }
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    shown: String,
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    fn new(shown: String, output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { shown, code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Insists on an exit code. Whatever the command did, it did not panic, it sent no codes for colours to what is no
    /// terminal, and no part of its error is said twice.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(
            self.code == Some(code) && !self.stderr.contains("panicked"),
            "exit code {:?} instead of {code}\n$ {}\n{}{}",
            self.code,
            self.shown,
            self.stdout,
            self.stderr
        );
        assert!(!self.stderr.contains('\u{1b}'), "$ {}\n{:?}", self.shown, self.stderr);
        if let Some(part) = repeated(&self.stderr) {
            panic!("{part:?} is said twice\n$ {}\n{}", self.shown, self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{}: {error}\n{}", self.shown, self.stdout))
    }
}

/// A part of an error, between colons, that is there twice. Short ones are words that may recur.
fn repeated(stderr: &str) -> Option<&str> {
    let error = stderr.lines().find_map(|line| line.strip_prefix("error: "))?;
    let parts: Vec<&str> = error.split(": ").filter(|part| part.len() >= 10).collect();
    (1..parts.len())
        .map(|at| (parts[at], &parts[..at]))
        .find(|(part, before)| before.contains(part))
        .map(|(part, _)| part)
}

#[cfg(feature = "torch")]
/// A command in the background; killed when the test ends without having waited for it.
pub struct Running {
    child: Option<std::process::Child>,
    shown: String,
}

#[cfg(feature = "torch")]
impl Running {
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it is still at work.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory effects, and the process is a child of ours that has not been waited for.
        let failed = unsafe { libc::kill(self.id() as i32, signal) } != 0;
        assert!(!failed, "{}", std::io::Error::last_os_error());
    }

    /// Makes it stand still, and returns when all of it does; false when it had ended. SIGCONT lets it go on.
    pub fn stop(&mut self) -> bool {
        self.signal(libc::SIGSTOP);
        // SAFETY: an all-zero siginfo is a valid place for the answer, which outlives the call; the child, ended or not, stays
        // to be waited for.
        let state = unsafe {
            let mut state: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
            assert_eq!(
                libc::waitid(libc::P_PID, self.id(), &mut state, flags),
                0,
                "{}",
                std::io::Error::last_os_error()
            );
            state
        };
        state.si_code == libc::CLD_STOPPED
    }

    pub fn wait(mut self) -> Outcome {
        let child = self.child.take().unwrap();
        Outcome::new(std::mem::take(&mut self.shown), child.wait_with_output().unwrap())
    }
}

#[cfg(feature = "torch")]
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with these modules, from where scripts/test puts them or its own; none, which is said, where they are not there.
pub fn python(modules: &str) -> Option<Command> {
    let python = std::env::var("HEADSTART_PYTHON").unwrap_or_else(|_| "python3".into());
    let own = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let folders = std::env::split_paths(&own).filter(|folder| folder != Path::new(""));
    let folders = std::env::join_paths(folders.chain([repository().join(".deps/python")])).unwrap();
    let command = || {
        let mut command = Command::new(&python);
        command.env("PYTHONPATH", &folders);
        command
    };
    let found = command().args(["-c", &format!("import {modules}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(command());
    }
    skip(&format!("{python} cannot import {modules}; scripts/test installs it, HEADSTART_PYTHON names another python"));
    None
}

/// Runs a command that has to succeed, and gives what it printed as JSON.
#[track_caller]
pub fn printed_json(mut command: Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Says, so that no one takes it for a pass, that a test did not run.
pub fn skip(why: &str) {
    eprintln!("SKIPPED {}: {why}", std::thread::current().name().unwrap_or("?"));
}

/// Insists that a message says all of these, in any order.
#[track_caller]
pub fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in\n{message}");
    }
}

/// The strings of a JSON array, or one field of each of its objects.
pub fn texts(array: &Value, field: &str) -> Vec<String> {
    let items = array.as_array().unwrap_or_else(|| panic!("no array: {array}"));
    let text = |item: &Value| if field.is_empty() { item.clone() } else { item[field].clone() };
    items.iter().map(|item| text(item).as_str().unwrap_or_else(|| panic!("{field}: {item}")).to_string()).collect()
}
