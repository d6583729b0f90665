//! Exact fractions: a throttling factor and a percentage are decimal numbers, and a byte more or less is a page.

/// Digits after the point that count; more are refused rather than rounded.
const DECIMALS_MAX: usize = 9;

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: u64,
    denominator: u64,
}

/// Why a text is no throttling factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal number above 0 and at most 1, with at most {DECIMALS_MAX} digits after the point")]
pub struct NotAFactor;

impl Fraction {
    /// A throttling factor (KEP-2570, `memoryThrottlingFactor`): a decimal number `f` with `0 < f <= 1`.
    ///
    /// # Errors
    /// When it is none.
    pub fn factor(text: &str) -> Result<Self, NotAFactor> {
        let fraction = Self::decimal(text, 1).ok_or(NotAFactor)?;
        if fraction.numerator == 0 || fraction.numerator > fraction.denominator {
            return Err(NotAFactor);
        }
        Ok(fraction)
    }

    /// What stands before a percent sign, 0 to 100.
    pub(super) fn percentage(text: &str) -> Option<Self> {
        Self::decimal(text, 100).filter(|fraction| fraction.numerator <= fraction.denominator)
    }

    fn decimal(text: &str, unit: u64) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > DECIMALS_MAX {
            return None;
        }
        let scale = 10_u64.pow(u32::try_from(decimals.len()).ok()?);
        let whole: u64 = whole.parse().ok()?;
        let numerator = whole.checked_mul(scale)?.checked_add(decimals.parse().ok()?)?;
        Some(Self { numerator, denominator: scale.checked_mul(unit)? })
    }

    /// The fraction of a number, rounded down.
    #[must_use]
    pub fn of(self, number: u64) -> u64 {
        let product = u128::from(number) * u128::from(self.numerator) / u128::from(self.denominator);
        // At most 1, so it fits.
        u64::try_from(product).unwrap_or(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_above_zero_and_at_most_one() {
        for text in ["1", "1.0", "0.1", "0.000000001", "0.9"] {
            Fraction::factor(text).unwrap();
        }
        for text in
            ["0", "0.0", "1.000000001", "2", "-0.5", "0.0000000001", "", ".", "0.", ".5", "1e-1", "NaN"]
        {
            assert_eq!(Fraction::factor(text), Err(NotAFactor), "{text}");
        }
    }

    #[test]
    fn percentages_reach_from_none_to_all() {
        assert_eq!(Fraction::percentage("100").unwrap().of(u64::MAX), u64::MAX);
        assert_eq!(Fraction::percentage("0").unwrap().of(u64::MAX), 0);
        assert_eq!(Fraction::percentage("12.5").unwrap().of(1000), 125);
        assert_eq!(Fraction::percentage("100.1"), None);
    }

    #[test]
    fn no_digit_is_lost_where_a_float_would_lose_one() {
        // 0.3 * (2^53 + 2) is not a number that a 64-bit float can hold.
        let number = (1_u64 << 53) + 2;
        assert_eq!(Fraction::factor("0.3").unwrap().of(number), 2_702_159_776_422_298);
        assert_eq!(Fraction::factor("0.7").unwrap().of(10), 7);
    }
}
