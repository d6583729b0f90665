//! Kubernetes quantities as numbers of bytes (k8s.io/apimachinery, `resource.Quantity`), exactly: no floating point.

/// The greatest number that Kubernetes takes.
const BYTES_MAX: u128 = i64::MAX as u128;
/// Powers of ten beyond this one are out of every range.
const POWER_OF_TEN_MAX: i32 = 27;

/// Why a text is no number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityFault {
    /// Not of a quantity's form.
    #[error("is not a Kubernetes quantity, as in 512Mi, 1.5Gi or 128974848")]
    Malformed,
    /// Less than nothing.
    #[error("is negative")]
    Negative,
    /// More than Kubernetes takes.
    #[error("is more than 2^63-1 bytes")]
    TooLarge,
}

/// Reads a quantity. A part of a byte counts as a whole one, as `Quantity.Value()` rounds.
///
/// # Errors
/// When it is none, or out of range.
pub fn parse_bytes(text: &str) -> Result<u64, QuantityFault> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)),
        Some(b'+') => (false, text.get(1..)),
        _ => (false, Some(text)),
    };
    let rest = rest.ok_or(QuantityFault::Malformed)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at_checked(end).ok_or(QuantityFault::Malformed)?;
    let scale = Scale::parse(suffix).ok_or(QuantityFault::Malformed)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.contains('.') || (whole.is_empty() && decimals.is_empty()) {
        return Err(QuantityFault::Malformed);
    }
    let whole = whole.trim_start_matches('0');
    let decimals = decimals.trim_end_matches('0');
    let bytes = scale.apply(whole, decimals)?;
    if negative && bytes > 0 {
        return Err(QuantityFault::Negative);
    }
    Ok(bytes)
}

/// What a suffix multiplies with: a power of two or of ten.
#[derive(Clone, Copy)]
enum Scale {
    Two(u32),
    Ten(i32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "Ki" => Self::Two(10),
            "Mi" => Self::Two(20),
            "Gi" => Self::Two(30),
            "Ti" => Self::Two(40),
            "Pi" => Self::Two(50),
            "Ei" => Self::Two(60),
            "n" => Self::Ten(-9),
            "u" => Self::Ten(-6),
            "m" => Self::Ten(-3),
            "" => Self::Ten(0),
            "k" => Self::Ten(3),
            "M" => Self::Ten(6),
            "G" => Self::Ten(9),
            "T" => Self::Ten(12),
            "P" => Self::Ten(15),
            "E" => Self::Ten(18),
            exponent => Self::Ten(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
        })
    }

    fn apply(self, whole: &str, decimals: &str) -> Result<u64, QuantityFault> {
        let digits = format!("{whole}{decimals}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(0);
        }
        let places = i32::try_from(decimals.len()).map_err(|_| QuantityFault::Malformed)?;
        let (two, ten) = match self {
            Self::Two(power) => (power, 0_i32),
            Self::Ten(power) => (0, power),
        };
        let ten = ten.saturating_sub(places);
        let count = i32::try_from(digits.len()).map_err(|_| QuantityFault::TooLarge)?;
        // Twenty digits before the point are more than the greatest number has, none by far are less than a byte.
        if count.saturating_add(ten) > 20 {
            return Err(QuantityFault::TooLarge);
        }
        if ten < -POWER_OF_TEN_MAX {
            return Err(QuantityFault::Malformed);
        }
        let mantissa: u128 = digits.parse().map_err(|_| QuantityFault::TooLarge)?;
        let raised = mantissa.checked_mul(1 << two).ok_or(QuantityFault::TooLarge)?;
        let power = 10_u128.pow(ten.unsigned_abs());
        let bytes = if ten < 0 {
            raised.div_ceil(power)
        } else {
            raised.checked_mul(power).ok_or(QuantityFault::TooLarge)?
        };
        if bytes > BYTES_MAX {
            return Err(QuantityFault::TooLarge);
        }
        u64::try_from(bytes).map_err(|_| QuantityFault::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_quantity_is_a_number_of_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 123 << 20),
            ("128974848000m", 128_974_848),
            ("512Mi", 512 << 20),
            ("1.5Gi", 3 << 29),
            ("0.5Gi", 1 << 29),
            (".5Gi", 1 << 29),
            ("1.Gi", 1 << 30),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            ("12e-1", 2),
            ("100M", 100_000_000),
            ("100k", 100_000),
            ("500m", 1),
            ("1n", 1),
            ("0.000", 0),
            ("-0", 0),
            ("+1Ki", 1024),
            ("0001Ki", 1024),
            ("7Ei", 7 << 60),
            ("9223372036854775807", (1 << 63) - 1),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_the_reason() {
        for text in
            ["", "Mi", ".", "1.2.3", "12Qi", "12 Mi", " 12", "1Gi ", "0x10", "1K", "1mi", "1e", "1e1.5", "é"]
        {
            assert_eq!(parse_bytes(text), Err(QuantityFault::Malformed), "{text}");
        }
        assert_eq!(parse_bytes("-1Mi"), Err(QuantityFault::Negative));
        for text in
            ["8Ei", "9223372036854775808", "1e19", "1e999999999", "99999999999999999999999999999999999999999"]
        {
            assert_eq!(parse_bytes(text), Err(QuantityFault::TooLarge), "{text}");
        }
    }
}
