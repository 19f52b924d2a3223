//! A command line as it can be pasted into a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The arguments, each quoted where a shell would read it otherwise.
pub fn quoted(arguments: &[OsString]) -> String {
    arguments.iter().map(|argument| quote(argument)).collect::<Vec<_>>().join(" ")
}

fn quote(argument: &OsStr) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    let bytes = argument.as_bytes();
    match argument.to_str() {
        Some(text) if !text.is_empty() && bytes.iter().copied().all(plain) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        // Line breaks, other control characters and bytes that are no UTF-8: bash's and zsh's own quoting.
        _ => format!("$'{}'", bytes.iter().map(|&byte| escape(byte)).collect::<String>()),
    }
}

fn escape(byte: u8) -> String {
    match byte {
        b'\'' | b'\\' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        // Always three digits, so that a digit that follows is not taken for one of them.
        _ => format!("\\{byte:03o}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gives_the_arguments_back() {
        let odd: Vec<OsString> = [
            &b"/bin/echo"[..],
            b"",
            b"--c-grid=1e-4:1e3:8",
            b"two words",
            b"it's",
            b"$HOME `ls` \"x\" \\ * ~ #",
            b"line\nbreak'\\1",
            b"\xff2",
            "ünï".as_bytes(),
        ]
        .iter()
        .map(|bytes| OsStr::from_bytes(bytes).to_owned())
        .collect();
        let line = quoted(&odd);
        assert!(!line.contains('\n'), "{line:?}");
        let script = format!("for part in {line}; do printf '%s\\0' \"$part\"; done");
        let shown = std::process::Command::new("bash").args(["-c", &script]).output().unwrap().stdout;
        let back: Vec<&[u8]> = shown.strip_suffix(b"\0").unwrap().split(|&byte| byte == 0).collect();
        assert_eq!(back, odd.iter().map(|argument| argument.as_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn plain_words_stay_plain() {
        let words: Vec<OsString> = ["headstart", "train", "x.h5", "--c", "1e-3"].map(OsString::from).to_vec();
        assert_eq!(quoted(&words), "headstart train x.h5 --c 1e-3");
    }
}
