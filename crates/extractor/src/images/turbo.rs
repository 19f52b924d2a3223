//! libjpeg-turbo's decompressor, with cropping, which the crate `turbojpeg` does not offer.

use std::ffi::{CStr, c_int};
use turbojpeg::{PixelFormat, raw};

/// Which pixels of a picture are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// What a file says of itself before its picture begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub width: usize,
    pub height: usize,
    /// CMYK or YCCK.
    pub inks: bool,
    pub lossless: bool,
    /// Columns that are decoded together; none for a kind of subsampling without a name.
    pub unit: Option<usize>,
}

/// A TurboJPEG instance.
pub(super) struct Decompressor {
    handle: raw::tjhandle,
}

impl Decompressor {
    /// `scans`: of a progressive file, at most. Accurate DCT and smooth chroma upsampling are TurboJPEG's defaults, and Pillow's.
    pub fn new(scans: i32) -> Result<Self, String> {
        // SAFETY: no argument is a pointer.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let decompressor = Self { handle };
        if handle.is_null() {
            return Err(decompressor.reason());
        }
        // SAFETY: the handle is one of TurboJPEG's, and not destroyed yet.
        decompressor.check(unsafe { raw::tj3Set(handle, raw::TJPARAM_TJPARAM_SCANLIMIT as c_int, scans) })?;
        Ok(decompressor)
    }

    /// Reads the header of a file; what is decoded next has to be the same file.
    pub fn header(&mut self, bytes: &[u8]) -> Result<Header, String> {
        // SAFETY: as in `new`; the pointer is valid for the length given with it.
        self.check(unsafe { raw::tj3DecompressHeader(self.handle, bytes.as_ptr(), bytes.len() as _) })?;
        let get = |parameter: raw::TJPARAM| {
            // SAFETY: as in `new`.
            unsafe { raw::tj3Get(self.handle, parameter as c_int) }
        };
        // Tables without a picture are a file of their own kind.
        let side = |parameter| usize::try_from(get(parameter)).map_err(|_| "there is no picture in it".to_string());
        let colours = get(raw::TJPARAM_TJPARAM_COLORSPACE);
        let unit = match get(raw::TJPARAM_TJPARAM_SUBSAMP) as raw::TJSAMP {
            raw::TJSAMP_TJSAMP_444 | raw::TJSAMP_TJSAMP_GRAY | raw::TJSAMP_TJSAMP_440 | raw::TJSAMP_TJSAMP_441 => {
                Some(8)
            }
            raw::TJSAMP_TJSAMP_422 | raw::TJSAMP_TJSAMP_420 => Some(16),
            raw::TJSAMP_TJSAMP_411 => Some(32),
            _ => None,
        };
        Ok(Header {
            width: side(raw::TJPARAM_TJPARAM_JPEGWIDTH)?,
            height: side(raw::TJPARAM_TJPARAM_JPEGHEIGHT)?,
            inks: [raw::TJCS_TJCS_CMYK, raw::TJCS_TJCS_YCCK].map(|inks| inks as c_int).contains(&colours),
            lossless: get(raw::TJPARAM_TJPARAM_LOSSLESS) != 0,
            unit,
        })
    }

    /// Decodes a region of the picture at 1/`parts` of its size (1, 2, 4 or 8) into `out`, row by row; `left` is a multiple of the
    /// header's unit unless it is 0. What is above and beside the region is read all the same, so that damage there is found.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        parts: usize,
        region: Option<Region>,
        format: PixelFormat,
        out: &mut [u8],
    ) -> Result<(), String> {
        let header = self.header(bytes)?;
        let scaled = |side: usize| side.div_ceil(parts);
        let whole = Region { left: 0, top: 0, width: scaled(header.width), height: scaled(header.height) };
        let Region { left, top, width, height } = region.unwrap_or(whole);
        let pitch = width * format.size();
        assert!(left + width <= whole.width && top + height <= whole.height, "the region is part of the picture");
        assert_eq!(out.len(), pitch * height, "the buffer holds the region");
        let crop = region.map_or(raw::tjregion { x: 0, y: 0, w: 0, h: 0 }, |_| raw::tjregion {
            x: left as c_int,
            y: top as c_int,
            w: width as c_int,
            h: height as c_int,
        });
        // SAFETY: as in `new`. `bytes` is valid for its length. TurboJPEG writes `height` rows of `pitch` bytes, which is what `out`
        // holds: header and region are those it was just told of.
        unsafe {
            self.check(raw::tj3SetScalingFactor(self.handle, raw::tjscalingfactor { num: 1, denom: parts as c_int }))?;
            self.check(raw::tj3SetCroppingRegion(self.handle, crop))?;
            let (bytes, len) = (bytes.as_ptr(), bytes.len());
            self.check(raw::tj3Decompress8(
                self.handle,
                bytes,
                len as _,
                out.as_mut_ptr(),
                pitch as c_int,
                format as c_int,
            ))
        }
    }

    fn check(&self, failed: c_int) -> Result<(), String> {
        if failed == 0 { Ok(()) } else { Err(self.reason()) }
    }

    /// What TurboJPEG says of the last error.
    fn reason(&self) -> String {
        // SAFETY: the text is one of TurboJPEG's, ends with a NUL, and is copied before anything else is asked of it.
        unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.handle)) }.to_string_lossy().into_owned()
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is not used again; a null one is ignored.
        unsafe { raw::tj3Destroy(self.handle) }
    }
}
