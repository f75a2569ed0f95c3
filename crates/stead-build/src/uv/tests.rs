use super::*;

#[test]
fn the_version_is_read_from_what_uv_prints() {
    assert_eq!(
        parse_version("uv 0.8.3 (7e78f54e7 2025-07-24)\n"),
        Some(Version::new(0, 8, 3))
    );
    assert_eq!(parse_version("UltraViolet 1.0"), None);
}
