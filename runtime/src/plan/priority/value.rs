//! The values of annotations about priority: their forms and units. Knows no annotation's name.

use ballast_cgroups::DeviceNumber;
use ballast_cgroups::memory_qos::{QuantityFault, parse_bytes};
use ballast_cgroups::priority::{
    DiskLimit, DiskTarget, DiskWeight, Level, LevelFault, Microseconds, NetLimits, OutOfRange,
    PageCacheLimit, Percent,
};
use rustix::fs::{FileType, major, minor, stat};
use rustix::io::Errno;

/// What is wrong with a value, to be read after it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ValueFault {
    #[error(transparent)]
    Level(#[from] LevelFault),
    #[error(transparent)]
    Range(#[from] OutOfRange),
    #[error("is neither true nor false")]
    Switch,
    #[error("is not a length of time with its unit, as in 500us, 20ms or 1s")]
    Time,
    #[error("is not a percentage from 1% to 100%")]
    Percent,
    #[error(transparent)]
    Quantity(#[from] QuantityFault),
    #[error("is less than a page")]
    TooSmall,
    #[error("has no rates after {0:?}")]
    NoRates(String),
    #[error("has {0:?}, which is not of the form key=rate with one of the keys {1}")]
    Rate(String, &'static str),
    #[error("says {0} twice")]
    Twice(String),
    #[error("has the rate {0:?}, which {1}")]
    BadRate(String, QuantityFault),
    #[error(
        "names {0:?}, which is no disk: neither all, nor a device number as in 8:0, nor a path below /dev"
    )]
    Target(String),
    #[error("names {0:?}, which is no block device ({1})")]
    NoDevice(String, Errno),
}

pub(super) fn level(text: &str) -> Result<Level, ValueFault> {
    Ok(text.parse()?)
}

pub(super) fn switch(text: &str) -> Result<bool, ValueFault> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ValueFault::Switch),
    }
}

/// `500us`, `20ms`, `1s`: whole numbers.
pub(super) fn microseconds(text: &str) -> Result<Microseconds, ValueFault> {
    let (number, factor) = [("us", 1), ("ms", 1_000), ("s", 1_000_000)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .ok_or(ValueFault::Time)?;
    whole(number).and_then(|number| number.checked_mul(factor)).map(Microseconds).ok_or(ValueFault::Time)
}

/// `95%`
pub(super) fn percent(text: &str) -> Result<Percent, ValueFault> {
    let number = text.strip_suffix('%').and_then(whole).and_then(|number| u8::try_from(number).ok());
    number.and_then(|number| Percent::new(number).ok()).ok_or(ValueFault::Percent)
}

/// A quantity of bytes, or a percentage of the memory limit.
pub(super) fn page_cache_limit(text: &str) -> Result<PageCacheLimit, ValueFault> {
    if text.ends_with('%') {
        return percent(text).map(PageCacheLimit::Share);
    }
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    match parse_bytes(text)? {
        bytes if bytes >= page => Ok(PageCacheLimit::Bytes(bytes)),
        _ => Err(ValueFault::TooSmall),
    }
}

pub(super) fn disk_weight(text: &str) -> Result<DiskWeight, ValueFault> {
    let weight = whole(text).and_then(|number| u16::try_from(number).ok()).unwrap_or_default();
    Ok(DiskWeight::new(weight)?)
}

/// `rbps=10Mi wiops=200` for every disk; `8:0 wbps=5Mi; /dev/vdb rbps=1Gi` for some of them. Rates are quantities per second; 0
/// is no bound.
pub(super) fn disk_limits(text: &str) -> Result<Vec<DiskLimit>, ValueFault> {
    let mut limits: Vec<DiskLimit> = Vec::new();
    for part in text.split(';') {
        let mut words = part.split_ascii_whitespace().peekable();
        let target = match words.peek() {
            Some(word) if !word.contains('=') => disk(words.next().unwrap_or_default())?,
            _ => DiskTarget::All,
        };
        if words.peek().is_none() {
            return Err(ValueFault::NoRates(part.trim().to_owned()));
        }
        let mut limit = DiskLimit {
            target,
            read_bytes: None,
            write_bytes: None,
            read_operations: None,
            write_operations: None,
        };
        for word in words {
            let slot = match key_of(word) {
                Some("rbps") => &mut limit.read_bytes,
                Some("wbps") => &mut limit.write_bytes,
                Some("riops") => &mut limit.read_operations,
                Some("wiops") => &mut limit.write_operations,
                _ => return Err(ValueFault::Rate(word.to_owned(), "rbps, wbps, riops and wiops")),
            };
            set_rate(slot, word)?;
        }
        if limits.iter().any(|other| other.target == target) {
            return Err(ValueFault::Twice(target.to_string()));
        }
        limits.push(limit);
    }
    Ok(limits)
}

/// `tx=100M rx=50M`: bits per second; 0 is no bound.
pub(super) fn net_limits(text: &str) -> Result<NetLimits, ValueFault> {
    let mut limits = NetLimits::default();
    for word in text.split_ascii_whitespace() {
        let slot = match key_of(word) {
            Some("tx") => &mut limits.transmit_bits,
            Some("rx") => &mut limits.receive_bits,
            _ => return Err(ValueFault::Rate(word.to_owned(), "tx and rx")),
        };
        set_rate(slot, word)?;
    }
    if limits == NetLimits::default() {
        return Err(ValueFault::NoRates(String::new()));
    }
    Ok(limits)
}

/// The key of `key=rate`.
fn key_of(word: &str) -> Option<&str> {
    word.split_once('=').map(|(key, _)| key)
}

/// Puts the rate of `key=rate` where it belongs.
fn set_rate(slot: &mut Option<u64>, word: &str) -> Result<(), ValueFault> {
    let (key, amount) = word.split_once('=').unwrap_or_default();
    if slot.is_some() {
        return Err(ValueFault::Twice(key.to_owned()));
    }
    *slot = Some(parse_bytes(amount).map_err(|fault| ValueFault::BadRate(amount.to_owned(), fault))?);
    Ok(())
}

fn disk(word: &str) -> Result<DiskTarget, ValueFault> {
    if word == "all" {
        return Ok(DiskTarget::All);
    }
    if word.starts_with("/dev/") {
        let no_device = |errno| ValueFault::NoDevice(word.to_owned(), errno);
        let status = stat(word).map_err(no_device)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::BlockDevice {
            return Err(no_device(Errno::NOTBLK));
        }
        let (major, minor) = (major(status.st_rdev), minor(status.st_rdev));
        return Ok(DiskTarget::Device(DeviceNumber { major, minor }));
    }
    let number = word.split_once(':').and_then(|(major, minor)| {
        let number = |text| whole(text).and_then(|number| u32::try_from(number).ok());
        Some(DeviceNumber { major: number(major)?, minor: number(minor)? })
    });
    number.map(DiskTarget::Device).ok_or_else(|| ValueFault::Target(word.to_owned()))
}

/// Digits only: no sign, no space.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_unit() {
        for (text, micros) in [("500us", 500), ("20ms", 20_000), ("1s", 1_000_000), ("0ms", 0)] {
            assert_eq!(microseconds(text), Ok(Microseconds(micros)), "{text}");
        }
        for text in [
            "20",
            "ms",
            "-1ms",
            "+1ms",
            "1.5ms",
            "20 ms",
            "1h",
            "",
            "99999999999999999999us",
            "18446744073709551615s",
        ] {
            assert_eq!(microseconds(text), Err(ValueFault::Time), "{text}");
        }
    }

    #[test]
    fn percentages_and_amounts_of_page_cache() {
        assert_eq!(percent("95%").unwrap().hundredths(), 95);
        for text in ["0%", "101%", "95", "9.5%", "%", "-1%", "256%", ""] {
            assert_eq!(percent(text), Err(ValueFault::Percent), "{text}");
        }
        assert_eq!(page_cache_limit("64Mi"), Ok(PageCacheLimit::Bytes(64 << 20)));
        assert_eq!(page_cache_limit("20%"), Ok(PageCacheLimit::Share(Percent::new(20).unwrap())));
        assert_eq!(page_cache_limit("1"), Err(ValueFault::TooSmall));
        assert_eq!(page_cache_limit("lots"), Err(ValueFault::Quantity(QuantityFault::Malformed)));
    }

    #[test]
    fn limits_of_disks_are_for_all_or_for_some() {
        let all = DiskLimit {
            target: DiskTarget::All,
            read_bytes: Some(10 << 20),
            write_bytes: None,
            read_operations: None,
            write_operations: Some(200),
        };
        assert_eq!(disk_limits("rbps=10Mi wiops=200"), Ok(vec![all]));
        assert_eq!(disk_limits("all rbps=10Mi  wiops=200"), Ok(vec![all]));
        let some = disk_limits("8:0 wbps=5M; 259:1 riops=1k; rbps=0").unwrap();
        let texts: Vec<String> = some.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["8:0 wbps=5000000", "259:1 riops=1000", "all rbps=0"]);
    }

    #[test]
    fn what_is_no_limit_of_a_disk_is_refused_with_its_part() {
        for (text, reason) in [
            ("", "no rates after"),
            ("8:0", r#"no rates after "8:0""#),
            ("8:0 wbps=1;", "no rates after"),
            ("speed=1", r#"has "speed=1", which is not of the form"#),
            ("rbps=1 fast", r#"has "fast""#),
            ("rbps=1 rbps=2", "says rbps twice"),
            ("8:0 rbps=1; 8:0 wbps=1", "says 8:0 twice"),
            ("rbps=1; all wbps=1", "says all twice"),
            ("rbps=fast", r#"has the rate "fast", which is not a Kubernetes quantity"#),
            ("rbps=-1", "which is negative"),
            ("sda rbps=1", r#"names "sda", which is no disk"#),
            ("8:x rbps=1", r#"names "8:x""#),
            ("/dev/no-such-disk rbps=1", r#"names "/dev/no-such-disk", which is no block device"#),
            ("/dev/null rbps=1", "no block device"),
        ] {
            let error = disk_limits(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn limits_of_the_network_are_bits_per_second() {
        let limits = NetLimits { transmit_bits: Some(100_000_000), receive_bits: None };
        assert_eq!(net_limits("tx=100M"), Ok(limits));
        assert_eq!(net_limits("rx=1G tx=100M").unwrap().receive_bits, Some(1_000_000_000));
        for text in ["", " ", "100M", "tx", "tx=", "tx=1 tx=2", "up=1", "tx=1,rx=2"] {
            assert!(net_limits(text).is_err(), "{text}");
        }
    }

    #[test]
    fn weights_and_switches() {
        assert_eq!(disk_weight("1000").unwrap().number(), 1000);
        for text in ["0", "1001", "65537", "x", "", "-1", "1.5"] {
            assert_eq!(
                disk_weight(text).unwrap_err().to_string(),
                "is not a number from 1 to 1000",
                "{text}"
            );
        }
        assert_eq!((switch("true"), switch("0")), (Ok(true), Ok(false)));
        assert_eq!(switch("yes"), Err(ValueFault::Switch));
    }
}
