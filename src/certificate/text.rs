//! Text out of certificates: whoever made one put there what he liked.

/// As many characters of one text as are kept: a domain name has 253 at most.
const MOST: usize = 255;

/// Makes a text safe to show: characters that a terminal acts on, or that are invisible, are
/// escaped, and a long text is cut.
pub(super) fn shown(text: &str) -> String {
    escaped(text.chars(), |it| !acts(it))
}

/// Makes a domain name safe to show. In a certificate it is ASCII (RFC 5280 section 4.2.1.6); other
/// bytes are escaped, and what is too long is cut.
pub(super) fn shown_name(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(4 * MOST)).unwrap_or_default());
    escaped(text.chars(), |it| it.is_ascii_graphic())
}

fn escaped(text: impl Iterator<Item = char>, plain: impl Fn(char) -> bool) -> String {
    let mut shown = String::new();
    for (at, it) in text.enumerate() {
        if at == MOST {
            shown.push('\u{2026}');
            break;
        }
        if plain(it) {
            shown.push(it);
        } else {
            shown.extend(it.escape_unicode());
        }
    }
    shown
}

/// Returns whether it is a control character, turns the direction of text or has no width.
fn acts(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(
            shown("CN=B\u{fc}cher\u{1b}[2J\n\u{202e}"),
            "CN=B\u{fc}cher\\u{1b}[2J\\u{a}\\u{202e}"
        );
        assert_eq!(
            shown_name(b"a.example\0.b \xff\xc3\xbc"),
            "a.example\\u{0}.b\\u{20}\\u{fffd}\\u{fc}"
        );
    }

    #[test]
    fn what_is_too_long_is_cut() {
        for text in [shown(&"x".repeat(70_000)), shown_name("x".repeat(70_000).as_bytes())] {
            assert_eq!((text.chars().count(), text.ends_with('\u{2026}')), (256, true));
        }
        assert_eq!(shown(&"x".repeat(255)).len(), 255);
        assert!(shown(&"\0".repeat(70_000)).len() <= 255 * 10 + 3);
    }
}
