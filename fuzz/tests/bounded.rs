//! Every target with a bounded number of inputs, the same each time: for machines that cannot or need not fuzz.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ballast_fuzz::TARGETS;

/// Of each target.
const INPUTS: u64 = 1000;
const LONGEST_BYTES: u64 = 2048;

fn directory(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Numbers that look random (Steele, Lea and Flood's SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Bytes, more of them the ends of ranges and of text than chance has.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % LONGEST_BYTES;
        let mut byte = || {
            let number = self.next();
            match number % 4 {
                0 => [0, 0xff, b'0', b'9', b' ', b'\n', b':', b'-'][(number >> 8) as usize % 8],
                1 => b' ' + (number >> 8) as u8 % 95,
                _ => (number >> 8) as u8,
            }
        };
        (0..length).map(|_| byte()).collect()
    }
}

#[test]
fn every_target_bears_what_chance_makes() {
    for (index, (name, check)) in TARGETS.iter().enumerate() {
        let mut numbers = Numbers(index as u64);
        println!("{name}");
        for _ in 0..INPUTS {
            check(&numbers.bytes());
        }
    }
}

#[test]
fn what_once_failed_does_so_no_more() {
    for (name, check) in TARGETS {
        let Ok(inputs) = fs::read_dir(directory("regressions").join(name)) else { continue };
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
        }
    }
}

#[test]
fn every_target_is_one_of_libfuzzers_and_the_other_way_round() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = fs::read_dir(directory("fuzz_targets")).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(known, files);
    let manifest = fs::read_to_string(directory("Cargo.toml")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is no [[bin]]");
    }
}
