use super::*;

#[test]
fn a_line_is_one_line_whatever_is_in_it() {
    assert_eq!(one_line("naïve 文件 \u{1f980}"), "naïve 文件 \u{1f980}");
    assert_eq!(one_line("a\nb\u{1b}[2J\r"), "a\\nb\\u{1b}[2J\\r");
    assert_eq!(one_line("a\u{202e}b\u{2069}"), "a\\u{202e}b\\u{2069}");
}
