//! `augment --preview`: the contact sheet, which needs no libtorch.

use crate::harness::{Dir, says};
use image::{Rgb, RgbImage};

fn photo(dir: &Dir, name: &str, shade: u8) {
    let path = dir.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(60, 40, |x, y| Rgb([(x * 4) as u8, (y * 6) as u8, shade])).save(path).unwrap();
}

#[test]
fn a_sheet_shows_every_view_of_every_image() {
    let dir = Dir::new();
    for (shade, name) in [(0, "photos/a.png"), (100, "photos/b.png"), (200, "photos/c.png")] {
        photo(&dir, name, shade);
    }
    dir.write("photos/d.png", "broken");
    let outcome = dir.headstart("augment --preview photos --size 32 -o sheet.png").run().exits(0);
    says(&outcome.stdout, &["sheet.png: 8 views by standard", "a.png", "c.png"]);
    says(&outcome.stderr, &["d.png: "]);
    let sheet = image::open(dir.path("sheet.png")).unwrap().to_rgb8();
    assert_eq!(sheet.dimensions(), (8 * 38 + 6, 3 * 44 + 6));
    let cell = |sheet: &RgbImage, view: u32, row: u32| {
        image::imageops::crop_imm(sheet, view * 38 + 6, row * 44 + 6, 32, 32).to_image().into_raw()
    };
    let all: Vec<Vec<u8>> = (0..8).map(|view| cell(&sheet, view, 1)).collect();
    assert!((0..8).all(|view| (0..view).all(|other| all[view] != all[other])), "views are the same");

    // An image of the same name has the same views, alone too; another seed gives others.
    photo(&dir, "b.png", 100);
    dir.run("augment --preview b.png --size 32 --views 4 -o one.png");
    let one = image::open(dir.path("one.png")).unwrap().to_rgb8();
    assert!((0..4).all(|view| cell(&one, view, 0) == all[view as usize]));
    dir.run("augment --preview b.png --size 32 --views 4 --augment-seed 1 -o other.png");
    let other = image::open(dir.path("other.png")).unwrap().to_rgb8();
    assert!(cell(&other, 0, 0) == all[0] && cell(&other, 1, 0) != all[1]);

    // Grey backbones get grey.
    let shown = dir.json("augment --preview b.png --augment razavian --backbone lenet5 -o grey.png");
    assert_eq!((&shown["views"], &shown["images"][0]), (&16.into(), &"b.png".into()));
    let grey = image::open(dir.path("grey.png")).unwrap().to_rgb8();
    assert!(grey.pixels().all(|Rgb([r, g, b])| r == g && g == b));

    says(&dir.fails("augment --preview photos/d.png -o x.png"), &["photos/d.png", "none of the images"]);
    says(&dir.misused("augment --preview photos -o x.gif"), &["x.gif", ".png"]);
    says(&dir.fails("augment --preview absent.png -o x.png"), &["absent.png"]);
}
