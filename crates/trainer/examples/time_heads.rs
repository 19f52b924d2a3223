use headstart_trainer::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let bytes = std::fs::read(&a[1]).unwrap();
    let int = |i: usize| i32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap());
    let (n, d, k) = (int(0) as usize, int(1) as usize, int(2) as usize);
    let labels: Vec<usize> = (0..n).map(|i| int(3 + i) as usize).collect();
    let x = ndarray::Array2::from_shape_vec(
        (n, d),
        bytes[4 * (3 + n)..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
    )
    .unwrap();
    let classes: Vec<String> = (0..k).map(|i| format!("c{i}")).collect();
    let groups: Vec<usize> = (0..n).collect();
    let samples = Samples {
        features: x.view(),
        labels: &labels,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let kind: HeadKind = a[2].parse().unwrap();
    let mut head = HeadParams::new(kind);
    head.tolerance = a[3].parse().unwrap();
    let (cs, v) = if a[4] == "grid" {
        ((0..10).map(|i| 10f64.powf(-4.0 + 5.0 * i as f64 / 9.0)).collect(), Validation::KFold(5))
    } else {
        (vec![a[4].parse().unwrap()], Validation::None)
    };
    let p = TrainParams::new(head).cs(cs).validation(v).check().unwrap();
    let o = train(samples, &p, &|_| ()).unwrap();
    println!(
        "{:?} cert {:.1e} it {:?} {:?} obj {}",
        o.seconds,
        o.refit.certificate.value,
        o.selection.map(|s| s.points.iter().map(|p| p.iterations.unwrap()).collect::<Vec<_>>()),
        o.refit.iterations,
        o.refit.objective
    );
}
