//! Real weights on real photographs: the names of what is in them. scripts/test fetches both.

use crate::harness::{Dir, repository, skip};

/// The names, likeliest first, that a backbone gives for a photograph of data/photos; none where either is missing.
fn names(backbone: &str, photo: &str) -> Option<Vec<String>> {
    let path = repository().join("data/photos").join(photo);
    if !path.exists() {
        skip("no photographs; get them with: scripts/fetch photos");
        return None;
    }
    let dir = Dir::new();
    let listed = dir.headstart("weights list --json").with_real_weights().run().exits(0).json();
    let here = |entry: &&serde_json::Value| entry["backbone"] == backbone && entry["cached"].is_string();
    if listed.as_array().unwrap().iter().find(here).is_none() {
        skip(&format!("no weights; get them with: headstart weights get {backbone}"));
        return None;
    }
    let classify = dir.headstart(&format!("classify --json --backbone {backbone}")).arg(path).with_real_weights();
    let shown = classify.run().exits(0).json();
    Some(crate::harness::texts(&shown[0]["guesses"], "class"))
}

/// Insists that both backbones put one of `first` on top, and all of `among` into the first five.
#[track_caller]
fn shows(photo: &str, first: &[&str], among: &[&str]) {
    for backbone in ["mobilenet_v2", "resnet18"] {
        let Some(names) = names(backbone, photo) else { return };
        assert!(first.is_empty() || first.contains(&names[0].as_str()), "{backbone} sees {names:?} in {photo}");
        assert!(among.iter().all(|name| names.iter().any(|own| own == name)), "{backbone} sees {names:?} in {photo}");
    }
}

#[test]
fn a_cat() {
    shows("chelsea.png", &["Egyptian cat", "tiger cat", "tabby"], &["Egyptian cat", "tiger cat", "tabby"]);
}

#[test]
fn a_cup_of_coffee() {
    shows("coffee.png", &["espresso"], &["espresso", "cup"]);
}

#[test]
fn a_small_motorcycle() {
    // ImageNet has no motorcycle; these are its motorised two-wheelers.
    shows("motorcycle_left.png", &["moped", "motor scooter"], &["moped", "motor scooter"]);
}

#[test]
fn a_rocket_on_its_launch_pad() {
    // A rocket beside its gantry at night: neither backbone puts it first.
    shows("rocket.jpg", &[], &["missile", "space shuttle"]);
}

#[test]
fn both_backbones_look_at_the_picture() {
    let Some(cat) = names("resnet18", "chelsea.png") else { return };
    let Some(coffee) = names("resnet18", "coffee.png") else { return };
    assert!(cat.iter().all(|name| !coffee.contains(name)), "{cat:?} {coffee:?}");
}
