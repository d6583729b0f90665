//! An amount of memory as a pod asks for it: bytes, a share of its limit, or no bound at all.

use super::fraction::Fraction;
use super::quantity::{QuantityFault, parse_bytes};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// A share of the container's memory limit.
    Share(Fraction),
    /// Everything, or no bound.
    Max,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountFault {
    /// Neither of the other forms, and no good quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityFault),
    /// A percent sign after what is no percentage.
    #[error("is not a percentage from 0% to 100%")]
    Percentage,
}

impl Amount {
    /// Reads `512Mi` and every other Kubernetes quantity, `80%`, or `max`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, AmountFault> {
        match text.strip_suffix('%') {
            Some(number) => Fraction::percentage(number).map(Self::Share).ok_or(AmountFault::Percentage),
            None if text == "max" => Ok(Self::Max),
            None => Ok(Self::Bytes(parse_bytes(text)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_are_read() {
        assert_eq!(Amount::parse("1Ki"), Ok(Amount::Bytes(1024)));
        assert_eq!(Amount::parse("max"), Ok(Amount::Max));
        let Ok(Amount::Share(share)) = Amount::parse("80%") else { panic!("no share") };
        assert_eq!(share.of(1000), 800);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for text in ["101%", "-1%", "%", "Max", "unlimited", "1e400%", ""] {
            assert!(Amount::parse(text).is_err(), "{text}");
        }
    }
}
