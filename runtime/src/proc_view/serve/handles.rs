//! Open files: what each one's reader has been shown and may still ask the rest of.
//!
//! A container can hold as many descriptors as it likes, so what is kept for them has an end: beyond it the oldest text is
//! made anew when its reader comes back, and further files are opened without anything being kept.

use std::collections::HashMap;

/// Open files that something is kept for.
const HANDLES_MAX: usize = 1024;
/// Bytes of texts that are kept for readers who read in pieces.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The handle of a file for which nothing is kept.
const NOTHING_KEPT: u64 = 0;

/// What a reader has seen.
#[derive(Debug, Default)]
enum Seen {
    #[default]
    Nothing,
    /// All of a text of this length; whoever asks for more is at its end.
    Whole { length: usize },
    /// The beginning of this text.
    Part { text: Box<[u8]> },
}

/// The open files of one mount.
#[derive(Debug, Default)]
pub(super) struct Handles {
    next: u64,
    open: HashMap<u64, Seen>,
    kept_bytes: usize,
}

/// What to answer to a read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// These bytes, none at the end.
    Known(&'a [u8]),
    /// The file has to be rendered.
    Anew,
}

impl Handles {
    pub(super) fn open(&mut self) -> u64 {
        if self.open.len() >= HANDLES_MAX {
            return NOTHING_KEPT;
        }
        self.next += 1;
        self.open.insert(self.next, Seen::Nothing);
        self.next
    }

    pub(super) fn release(&mut self, handle: u64) {
        if let Some(Seen::Part { text }) = self.open.remove(&handle) {
            self.kept_bytes = self.kept_bytes.saturating_sub(text.len());
        }
    }

    /// What is known of a read; a read from the start is always made anew.
    pub(super) fn piece(&self, handle: u64, offset: usize, size: usize) -> Piece<'_> {
        match self.open.get(&handle) {
            _ if offset == 0 => Piece::Anew,
            Some(Seen::Whole { length }) if offset >= *length => Piece::Known(&[]),
            Some(Seen::Part { text }) => Piece::Known(part(text, offset, size)),
            _ => Piece::Anew,
        }
    }

    /// Notes what was rendered for a read of `size` bytes.
    pub(super) fn shown(&mut self, handle: u64, text: &[u8], offset: usize, size: usize) {
        let kept = self.kept_bytes;
        let Some(seen) = self.open.get_mut(&handle) else { return };
        let before = if let Seen::Part { text } = &seen { text.len() } else { 0 };
        *seen = if offset == 0 && text.len() <= size {
            Seen::Whole { length: text.len() }
        } else if kept - before + text.len() <= KEPT_BYTES_MAX {
            Seen::Part { text: text.into() }
        } else {
            Seen::Nothing
        };
        let after = if let Seen::Part { text } = &seen { text.len() } else { 0 };
        self.kept_bytes = kept - before + after;
    }
}

/// The bytes of a text at an offset.
pub(super) fn part(text: &[u8], offset: usize, size: usize) -> &[u8] {
    let rest = text.get(offset..).unwrap_or_default();
    rest.get(..size).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_seen_all_is_at_the_end_until_they_start_again() {
        let mut handles = Handles::default();
        let handle = handles.open();
        assert_eq!(handles.piece(handle, 0, 100), Piece::Anew);
        handles.shown(handle, b"0123456789", 0, 100);
        assert_eq!(handles.piece(handle, 10, 100), Piece::Known(b""));
        assert_eq!(handles.piece(handle, 4, 100), Piece::Anew, "nobody keeps what was read whole");
        assert_eq!(handles.piece(handle, 0, 100), Piece::Anew);
        assert_eq!(handles.kept_bytes, 0);
    }

    #[test]
    fn pieces_are_of_one_text() {
        let mut handles = Handles::default();
        let handle = handles.open();
        handles.shown(handle, b"0123456789", 0, 4);
        assert_eq!(handles.piece(handle, 4, 4), Piece::Known(b"4567"));
        assert_eq!(handles.piece(handle, 8, 4), Piece::Known(b"89"));
        assert_eq!(handles.piece(handle, 10, 4), Piece::Known(b""));
        assert_eq!(handles.piece(handle, 99, 4), Piece::Known(b""));
        handles.release(handle);
        assert_eq!((handles.kept_bytes, handles.open.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let mut handles = Handles::default();
        let text = vec![b'x'; 10_000];
        let opened: Vec<_> = (0..2 * HANDLES_MAX).map(|_| handles.open()).collect();
        assert_eq!(handles.open.len(), HANDLES_MAX);
        for handle in &opened {
            handles.shown(*handle, &text, 0, 1);
        }
        assert!(handles.kept_bytes <= KEPT_BYTES_MAX, "{}", handles.kept_bytes);
        assert_eq!(handles.piece(NOTHING_KEPT, 5, 5), Piece::Anew);
        for handle in opened {
            handles.release(handle);
        }
        assert_eq!((handles.kept_bytes, handles.open.len()), (0, 0));
    }
}
