use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(&text.replace("KEY", KEY), Path::new("/folder"))
}

const SHORTEST: &str = "listen = '[::]:0'\nkey_file = 'k'\nstore = '/s'\npeers = []\n";

#[test]
fn what_is_left_out_has_defaults_and_paths_are_relative_to_the_file() {
    let settings = parse(SHORTEST).unwrap();
    assert_eq!(settings.key_file, Path::new("/folder/k"));
    assert_eq!(settings.store, Path::new("/s"));
    assert_eq!(settings.publish, None);
    assert_eq!((settings.chunk_size, settings.rescan), (131_072, Duration::from_secs(10)));
    assert!(settings.peers.is_empty());
}

#[test]
fn the_example_of_the_readme_is_a_configuration() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```toml").find(|part| part.trim_start().starts_with("listen"));
    let example = example.and_then(|part| part.split("```").next()).unwrap();
    let settings = parse(example).unwrap();
    assert_eq!((settings.listen.as_str(), settings.peers.len()), ("0.0.0.0:4100", 1));
}

#[test]
fn everything_can_be_said() {
    let settings = parse(
        "listen = 'a:1'\nkey_file = 'k'\nstore = 's'\npublish = 'p'\nchunk_size = 1024\n\
         rescan_seconds = 1\n[[peers]]\nkey = 'KEY'\naddress = 'b:2'\n",
    )
    .unwrap();
    assert_eq!(settings.publish.as_deref(), Some(Path::new("/folder/p")));
    assert_eq!((settings.chunk_size, settings.rescan), (1024, Duration::from_secs(1)));
    assert_eq!(settings.peers[0].key, KEY.parse().unwrap());
    assert_eq!(settings.peers[0].address, "b:2");
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let peer = |peer: &str| format!("{}[[peers]]\n{peer}", SHORTEST.replace("peers = []\n", ""));
    for (text, names) in [
        ("listen = 1".to_owned(), "line 1: invalid type: integer `1`, expected a string"),
        ("listen = 'a'\nlisten".to_owned(), "line 2: "),
        (SHORTEST.replace("store", "stroe"), "line 3: unknown field `stroe`"),
        (SHORTEST.replace("store = '/s'\n", ""), "missing field `store`"),
        (format!("{SHORTEST}chunk_size = 1023"), "line 5: chunk_size is 1023, not 1024 to 2097152"),
        (format!("{SHORTEST}chunk_size = -1"), "chunk_size is -1"),
        (format!("{SHORTEST}rescan_seconds = 0"), "rescan_seconds is 0, not 1 to 86400"),
        (peer("key = 'KEY'"), "missing field `address`"),
        (peer("key = 'KEY'\naddress = 'a:1'\nname = 'x'"), "line 7: unknown field `name`"),
        (peer("key = 'KEY0'\naddress = 'a:1'"), "line 5: the key of a peer: an id has 64"),
        (peer("key = 'x'\naddress = 'a:1'"), "64 hexadecimal digits, not 1"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(names), "{text}\n{error}");
        assert!(!error.trim().contains('\n'), "{error}");
    }
}
