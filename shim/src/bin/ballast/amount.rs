//! Numbers of bytes for a person and for a program.

use std::fmt;

use serde::{Serialize, Serializer};

/// Bytes; `u64::MAX` stands for "max".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) u64);

const UNITS: [(&str, u32); 4] = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];

impl fmt::Display for Amount {
    /// Exactly, in the largest unit that allows it, as a Kubernetes quantity.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX {
            return formatter.write_str("max");
        }
        let whole = UNITS.iter().find(|(_, shift)| self.0 != 0 && self.0.is_multiple_of(1 << shift));
        match whole {
            Some((unit, shift)) => write!(formatter, "{}{unit}", self.0 >> shift),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl Amount {
    /// Exactly where that is short, as what people write is; rounded otherwise.
    pub(crate) fn brief(self) -> String {
        if self.0 >> 20 == 0 || self.0 == u64::MAX || self.0.is_multiple_of(1 << 20) {
            self.to_string()
        } else {
            self.rounded()
        }
    }

    /// Rounded to a tenth of the unit, for numbers that change all the time.
    pub(crate) fn rounded(self) -> String {
        let unit = UNITS.iter().find(|(_, shift)| self.0 >> shift > 0);
        match unit {
            Some((unit, shift)) => {
                let tenths = (u128::from(self.0) * 10) >> shift;
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            }
            None => self.0.to_string(),
        }
    }
}

impl Serialize for Amount {
    /// A number, or `"max"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            u64::MAX => serializer.serialize_str("max"),
            bytes => serializer.serialize_u64(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_the_exact_number() {
        for (bytes, text) in [
            (0, "0"),
            (4095, "4095"),
            (4096, "4Ki"),
            (512 << 20, "512Mi"),
            (3 << 29, "1536Mi"),
            (u64::MAX, "max"),
        ] {
            assert_eq!(Amount(bytes).to_string(), text);
        }
        assert_eq!(Amount((3 << 29) + 12_345).rounded(), "1.5Gi");
        assert_eq!(Amount(505_524 << 10).brief(), "493.6Mi");
        assert_eq!(
            [Amount(500 << 20), Amount(4096), Amount(u64::MAX)].map(Amount::brief),
            ["500Mi", "4Ki", "max"]
        );
        assert_eq!(Amount(100).rounded(), "100");
    }

    #[test]
    fn a_program_reads_a_number_or_max() {
        assert_eq!(serde_json::to_string(&[Amount(4096), Amount(u64::MAX)]).unwrap(), r#"[4096,"max"]"#);
    }
}
