//! What holds for every recipe.

use super::*;
use crate::images::geometry::imagenet;
use headstart_cache::Resize;
use proptest::prelude::*;

fn noise_image(width: u32, height: u32, seed: u32) -> Image8 {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let pixels = (0..width * height * 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Image8 { width, height, pixels }
}

fn view(augmenter: &Augmenter, image: &Image8, name: &str, view: u32, preprocessing: &Preprocessing) -> Vec<u8> {
    let mut out = vec![7; (preprocessing.size * preprocessing.size * preprocessing.channels) as usize];
    augmenter.prepare(image, name, view, preprocessing, &mut out).unwrap();
    out
}

fn presets() -> Vec<Recipe> {
    PRESETS.iter().map(|name| Recipe::find(name).unwrap()).collect()
}

#[test]
fn view_0_is_the_image_as_it_is() {
    let image = noise_image(90, 60, 1);
    for recipe in presets() {
        for channels in [1, 3] {
            let preprocessing = Preprocessing { channels, ..imagenet(32) };
            let mut plain = vec![0; (32 * 32 * channels) as usize];
            prepare(&image, &preprocessing, &mut plain).unwrap();
            assert_eq!(view(&Augmenter::new(recipe.clone(), 3), &image, "x", 0, &preprocessing), plain);
        }
    }
}

#[test]
fn views_follow_from_seed_name_and_number_alone() {
    let image = noise_image(70, 50, 2);
    let preprocessing = imagenet(24);
    let make = |seed, name: &str, number| {
        view(&Augmenter::new(Recipe::standard(), seed), &image, name, number, &preprocessing)
    };
    let all: Vec<Vec<u8>> = (0..12).map(|number| make(5, "a.png", number)).collect();
    for (number, first) in all.iter().enumerate().rev() {
        assert_eq!(&make(5, "a.png", number as u32), first, "made again in another order");
        assert!(all.iter().enumerate().all(|(other, view)| other == number || view != first), "views are the same");
    }
    let elsewhere = std::thread::spawn(move || make_in_thread(&noise_image(70, 50, 2))).join().unwrap();
    assert_eq!(elsewhere, all[3]);
    assert_ne!(make(6, "a.png", 3), all[3], "another seed");
    assert_ne!(make(5, "b.png", 3), all[3], "another name");
}

fn make_in_thread(image: &Image8) -> Vec<u8> {
    view(&Augmenter::new(Recipe::standard(), 5), image, "a.png", 3, &imagenet(24))
}

#[test]
fn razavian_lists_sixteen_views_of_which_eight_are_mirror_images() {
    let recipe = Recipe::razavian();
    assert_eq!(recipe.views(None).unwrap(), 16);
    assert!(matches!(recipe.views(Some(17)), Err(RecipeError::TooManyViews { views: 17, listed: 16 })));
    let (image, preprocessing) = (noise_image(60, 60, 3), imagenet(21));
    let augmenter = Augmenter::new(recipe, 0);
    let all: Vec<Vec<u8>> = (0..16).map(|number| view(&augmenter, &image, "x", number, &preprocessing)).collect();
    let line = 21 * 3;
    for number in 0..8 {
        let mirrored: Vec<u8> = all[number]
            .chunks(line)
            .flat_map(|line| line.chunks(3).rev().flatten().copied().collect::<Vec<_>>())
            .collect();
        // A mirrored rotation is interpolated the other way round, which may round otherwise.
        let most = mirrored.iter().zip(&all[number + 8]).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(most <= u8::from(number >= 6), "view {number}: {most}");
    }
    // The crop at the top left is what an image of that part would be: 40 pixels to 24, as 60 to 36.
    let part = Image8 {
        width: 40,
        height: 40,
        pixels: image.pixels.chunks(180).take(40).flat_map(|line| line[..120].to_vec()).collect(),
    };
    let mut alone = vec![0; 21 * line];
    prepare(&part, &preprocessing, &mut alone).unwrap();
    assert!(all[1] == alone, "the crop is not what the part alone gives");
}

#[test]
fn recipes_come_from_toml_and_survive_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Recipe::find(path.to_str().unwrap())
    };
    let recipe =
        read("[mirror]\nprobability = 0.5\n[rotation]\ndegrees = [-5, 5]\n[colour]\nhue = [-0.1, 0.1]\n").unwrap();
    assert_eq!(recipe.rotation, Some(Angles { degrees: [-5.0, 5.0], probability: 1.0 }));
    let list = read("[[view]]\nmirror = true\n[[view]]\nrotation = 90\n").unwrap();
    assert_eq!(list.views(None).unwrap(), 3);
    for recipe in presets().into_iter().chain([recipe, list]) {
        let text = recipe.definition().to_string();
        let stored = Augmentation { definition: serde_json::from_str(&text).unwrap(), ..Augmentation::none() };
        assert_eq!(Augmenter::of(&stored).unwrap(), Some(Augmenter::new(recipe, 0)));
    }
    assert_eq!(Augmenter::of(&Augmentation::none()).unwrap(), None);

    for (text, parts) in [
        ("", &["my.toml", "empty", "mirror"][..]),
        ("[mirorr]\nprobability = 1", &["my.toml", "mirorr", "line 1"]),
        ("[mirror]\nprobability = 2", &["mirror.probability is 2", "0 to 1"]),
        ("[rotation]\ndegrees = [5, -5]", &["rotation.degrees is [5, -5]", "the smaller first"]),
        ("[shear]\ndegrees = [0, 60]", &["shear.degrees", "40"]),
        ("[crop]\narea = [0, 1]", &["crop.area", "0.01"]),
        ("[noise]\ndeviation = [nan, nan]", &["noise.deviation"]),
        ("[mirror]\nprobability = 0.5\n[[view]]\nmirror = true", &["not both"]),
        ("[[view]]\npart = {left = 0.5, top = 0, width = 0.6, height = 1}", &["view 1, part"]),
        ("mirror = ", &["my.toml", "line 1"]),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    assert!(Recipe::find("absent.toml").unwrap_err().to_string().contains("absent.toml"));
    assert!(Recipe::find("strange").unwrap_err().to_string().contains("razavian"));
    let newer = Augmentation { definition: Some(serde_json::json!({"rules": 99})), ..Augmentation::none() };
    assert!(Augmenter::of(&newer).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_image_can_be_augmented_and_one_colour_stays_that_colour(
        width in 1u32..300, height in 1u32..300, size in 1u32..60, longer in 0u32..9, shorter in 0u32..9,
        squash: bool, grey: bool, level: u8, number in 1u32..16, preset in 0usize..3,
    ) {
        let mut recipe = presets().swap_remove(preset);
        // Colours and noise are meant to change it.
        (recipe.colour, recipe.noise) = (None, None);
        let channels = if grey { 1 } else { 3 };
        let resize = if squash { Resize::Squash } else { Resize::Crop };
        let shorter_side = (size + longer).saturating_sub(shorter).max(1);
        let preprocessing = Preprocessing { resize, channels, shorter_side, ..imagenet(size) };
        let image = Image8 { width, height, pixels: vec![level; (width * height * 3) as usize] };
        let pixels = view(&Augmenter::new(recipe, 1), &image, "x", number, &preprocessing);
        // A view that is not listed is the image itself, which may have a black border.
        if preset != 0 || number == 1 {
            prop_assert!(pixels.iter().all(|&byte| byte == level));
        }
    }

    #[test]
    fn colours_and_noise_never_fail(number in 1u32..200, grey: bool, seed: u64) {
        let channels = if grey { 1 } else { 3 };
        let preprocessing = Preprocessing { channels, ..imagenet(17) };
        view(&Augmenter::new(Recipe::standard(), seed), &noise_image(31, 20, 4), "x", number, &preprocessing);
    }
}
