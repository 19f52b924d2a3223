//! Small copies of images, as text that a page can hold.

use headstart_extractor::images::decode;
use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops};
use std::path::Path;

/// The longer side, in pixels.
const SIDE: u32 = 160;
const JPEG_QUALITY: u8 = 80;

/// A picture as a `data:` address, or why there is none.
pub type Thumbnail = Result<String, String>;

/// The thumbnail of a row's image, upright. `listed_from`: the folder or CSV that the row's path is relative to.
pub fn of(listed_from: Option<&str>, path: &str) -> Thumbnail {
    let listed_from = Path::new(listed_from.ok_or("where the images are is not known")?);
    let folder = if listed_from.is_dir() { Some(listed_from) } else { listed_from.parent() };
    // `join` keeps an absolute path as it is, as a CSV may hold.
    let file = folder.unwrap_or(listed_from).join(path);
    // Opening what is no file, a pipe say, could take forever.
    let kind = std::fs::metadata(&file).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("not a file".into());
    }
    let bytes = std::fs::read(&file).map_err(|error| error.to_string())?;
    let image = decode(&bytes).map_err(|error| error.to_string())?;
    let image = RgbImage::from_raw(image.width, image.height, image.pixels).ok_or("not an image")?;
    let small = shrink(image);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&small).map_err(|error| error.to_string())?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&jpeg)))
}

/// Fits an image into the square; small ones stay as they are.
fn shrink(image: RgbImage) -> RgbImage {
    let longer = image.width().max(image.height());
    if longer <= SIDE {
        return image;
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    imageops::thumbnail(&image, scaled(image.width()), scaled(image.height()))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char;
            text.push(if at <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn images_fit_the_square_and_keep_their_shape() {
        for (from, to) in
            [((640, 320), (160, 80)), ((32, 32), (32, 32)), ((4000, 3), (160, 1)), ((100, 400), (40, 160))]
        {
            assert_eq!(shrink(RgbImage::new(from.0, from.1)).dimensions(), to);
        }
    }

    #[test]
    fn a_row_is_found_beside_its_csv_and_below_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        RgbImage::new(300, 200).save(dir.path().join("a.png")).unwrap();
        std::fs::write(dir.path().join("list.csv"), "path\na.png\n").unwrap();
        std::fs::write(dir.path().join("bad.png"), "no image").unwrap();
        let from = |root: &Path, path: &str| of(Some(root.to_str().unwrap()), path);
        let folder = from(dir.path(), "a.png").unwrap();
        assert!(folder.starts_with("data:image/jpeg;base64,/9j/"), "{folder}");
        assert_eq!(from(&dir.path().join("list.csv"), "a.png").unwrap(), folder);
        assert_eq!(from(Path::new("/elsewhere"), dir.path().join("a.png").to_str().unwrap()).unwrap(), folder);
        assert!(from(dir.path(), "bad.png").unwrap_err().contains("not an image"));
        assert!(from(dir.path(), "none.png").unwrap_err().contains("No such file"));
        assert_eq!(from(dir.path(), ".").unwrap_err(), "not a file");
        assert!(of(None, "a.png").is_err());
    }
}
