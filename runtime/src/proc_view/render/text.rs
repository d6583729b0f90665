//! Writing numbers and words at the end of a buffer, without the formatting machinery: this runs for every read.

/// The digits of the greatest number.
const DIGITS_MAX: usize = 20;

/// The end of a buffer that a text is written to.
pub(super) struct Text<'a>(pub(super) &'a mut Vec<u8>);

impl Text<'_> {
    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.0.extend_from_slice(word.as_bytes());
        self
    }

    pub(super) fn spaces(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, b' ');
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.padded(number, 0)
    }

    /// Right-aligned in at least `width` columns, as `%*lu`.
    pub(super) fn padded(&mut self, number: u64, width: usize) -> &mut Self {
        let (digits, first) = digits(number);
        self.spaces(width.saturating_sub(DIGITS_MAX - first));
        self.0.extend_from_slice(digits.get(first..).unwrap_or_default());
        self
    }

    /// In hexadecimal with at least `digits` digits.
    pub(super) fn hexadecimal(&mut self, number: u64, digits: u32) -> &mut Self {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(4);
        for digit in (0..digits.max(needed)).rev() {
            let value = u8::try_from((number >> (digit * 4)) & 0xf).unwrap_or_default();
            self.0.push(if value < 10 { b'0' + value } else { b'a' + value - 10 });
        }
        self
    }

    /// Hundredths as `%lu.%02lu`.
    pub(super) fn hundredths(&mut self, hundredths: u64) -> &mut Self {
        self.number(hundredths / 100).word(if hundredths % 100 < 10 { ".0" } else { "." });
        self.number(hundredths % 100)
    }
}

/// The digits of a number and the index of the first.
fn digits(mut number: u64) -> ([u8; DIGITS_MAX], usize) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    (digits, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_formatted_ones() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut buffer = Vec::new();
            Text(&mut buffer).padded(number, 8).word("|").number(number).word("|").hundredths(number);
            let expected = format!("{number:8}|{number}|{}.{:02}", number / 100, number % 100);
            assert_eq!(String::from_utf8(buffer).unwrap(), expected);
        }
    }
}
