//! Values of annotations: any text, and by far more often what has the form of one.

use arbitrary::Arbitrary;
use ballast_runtime::Selection;

const WORDS: [&str; 32] = [
    "on",
    "off",
    "files",
    "cpuset",
    "true",
    "false",
    "1",
    "0",
    "max",
    "online",
    "offline",
    "LSE",
    "LSR",
    "LS",
    "BE",
    "SYSTEM",
    "koord-prod",
    "koord-mid",
    "koord-batch",
    "koord-free",
    "LC",
    "HLS",
    "greedy",
    "none",
    "",
    "3",
    "7",
    "8",
    "yes",
    "100%",
    "1000",
    "20ms",
];

/// Of times, percentages and Kubernetes quantities.
const UNITS: [&str; 22] = [
    "us", "ms", "s", "%", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi",
    "Ei", "e3", "e-2",
];

const RATES: [&str; 7] = ["rbps", "wbps", "riops", "wiops", "tx", "rx", "speed"];

const DISKS: [&str; 4] = ["all ", "8:0 ", "259:1 ", "/dev/null "];

/// One of them.
#[derive(Arbitrary, Debug)]
pub(crate) enum Value {
    Text(String),
    Word(u8),
    Number(Number),
    Files(Vec<u8>),
    /// Of disks or of the network.
    Limits(Vec<(Option<u8>, Vec<(u8, Number)>)>),
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Number {
    whole: Whole,
    decimals: Option<u16>,
    unit: u8,
}

/// Most that is accepted is small.
#[derive(Arbitrary, Debug)]
enum Whole {
    Small(u8),
    Middle(u16),
    Large(u64),
}

impl Number {
    fn spell(&self) -> String {
        let unit = pick(&UNITS, self.unit);
        let decimals = self.decimals.map(|decimals| format!(".{decimals}")).unwrap_or_default();
        match self.whole {
            Whole::Small(number) => format!("{number}{decimals}{unit}"),
            Whole::Middle(number) => format!("{number}{decimals}{unit}"),
            Whole::Large(number) => format!("{number}{decimals}{unit}"),
        }
    }
}

impl Value {
    pub(crate) fn spell(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Word(which) => pick(&WORDS, *which).to_owned(),
            Self::Number(number) => number.spell(),
            Self::Files(names) => {
                let names = names.iter().map(|which| pick(&Selection::NAMES, *which));
                names.collect::<Vec<_>>().join(",")
            }
            Self::Limits(parts) => {
                let parts = parts.iter().map(|(disk, rates)| {
                    let disk = disk.map(|which| pick(&DISKS, which)).unwrap_or_default();
                    let rates =
                        rates.iter().map(|(key, rate)| format!("{}={}", pick(&RATES, *key), rate.spell()));
                    format!("{disk}{}", rates.collect::<Vec<_>>().join(" "))
                });
                parts.collect::<Vec<_>>().join(";")
            }
        }
    }
}

fn pick<'a>(texts: &[&'a str], which: u8) -> &'a str {
    texts[usize::from(which) % texts.len()]
}
