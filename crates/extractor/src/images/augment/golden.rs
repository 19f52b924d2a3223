//! Against Pillow, SciPy and colorsys: tests/golden/augment.json, which scripts/golden_augment.py makes.

use super::{
    affine::{IDENTITY, matrix},
    colour::Shift,
    draw,
    frame::Part,
    recipe::Region,
    view::View,
    warp::Field,
};
use crate::images::{Image8, geometry::imagenet};
use headstart_cache::Preprocessing;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    image: Image,
    affine: Vec<Affine>,
    warp: Vec<Warp>,
    small: Vec<u8>,
    colour: Vec<Colour>,
}

#[derive(Deserialize)]
struct Image {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct Affine {
    size: u32,
    start: [i64; 2],
    degrees: f64,
    shear: [f64; 2],
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct Warp {
    size: u32,
    start: [i64; 2],
    cells: usize,
    nodes: Vec<[f64; 2]>,
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct Colour {
    change: String,
    value: f64,
    pixels: Vec<u8>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../../../tests/golden/augment.json")).unwrap()
}

/// The view whose square begins at `start` of the unscaled image.
fn view(golden: &Golden, size: u32, start: [i64; 2], mut view: View) -> Vec<u8> {
    let Image { width, height, ref pixels } = golden.image;
    let image = Image8 { width, height, pixels: pixels.clone() };
    // A part as large as the square, so that nothing is scaled; it may lie outside.
    let share = |pixels: i64, of: u32| pixels as f64 / f64::from(of);
    let [left, top] = [share(start[0], width), share(start[1], height)];
    let (part_width, part_height) = (share(size.into(), width), share(size.into(), height));
    view.part = Part::AsImage(Region { left, top, width: part_width, height: part_height });
    let preprocessing = Preprocessing { shorter_side: size, ..imagenet(size) };
    let mut out = vec![0; (size * size * 3) as usize];
    draw(&image, &view, &preprocessing, &mut out);
    out
}

const PLAIN: View =
    View { part: Part::AsImage(Region::WHOLE), matrix: IDENTITY, field: None, colour: None, noise: None };

#[track_caller]
fn agree(ours: &[u8], theirs: &[u8], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let most = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(most <= 1, "{what}: {most} levels apart");
}

#[test]
fn turned_and_sheared_squares_are_those_of_pillow_and_scipy() {
    let golden = golden();
    for case in &golden.affine {
        // Shears of the file are those of the matrix, whose order does not matter where nothing is turned.
        let turned = View { matrix: matrix(case.degrees, case.shear, false), ..PLAIN };
        let what = format!("{} degrees, shear {:?}, from {:?}", case.degrees, case.shear, case.start);
        agree(&view(&golden, case.size, case.start, turned), &case.pixels, &what);
    }
}

#[test]
fn warped_squares_are_those_of_scipy() {
    let golden = golden();
    for case in &golden.warp {
        let field = Field { cells: case.cells, amplitude: 0.15, nodes: case.nodes.clone() };
        let warped = View { field: Some(field), ..PLAIN };
        agree(&view(&golden, case.size, case.start, warped), &case.pixels, "warp");
    }
}

#[test]
fn colours_are_those_of_pillow_and_colorsys() {
    let golden = golden();
    for case in &golden.colour {
        let mut shift = Shift { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0, levels: [0.0; 3] };
        *match case.change.as_str() {
            "brightness" => &mut shift.brightness,
            "contrast" => &mut shift.contrast,
            "saturation" => &mut shift.saturation,
            _ => &mut shift.hue,
        } = case.value;
        let mut pixels = golden.small.clone();
        shift.apply(&mut pixels);
        agree(&pixels, &case.pixels, &format!("{} {}", case.change, case.value));
    }
}
